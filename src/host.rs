//! The process and the world around it: what it is told, signals, and standard output.

pub mod context;
pub mod handshake;
pub mod signals;
pub mod stdout;
