//! The process and its surroundings: environment, signals, and standard output.

pub mod context;
pub mod handshake;
pub mod log_writer;
pub(crate) mod signals;
pub mod stdout;
