//! The process and its surroundings: environment, signals, and standard output.

pub mod context;
pub mod handshake;
pub(crate) mod signals;
pub mod stdout;
