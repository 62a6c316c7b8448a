//! The process and its surroundings: environment, signals, and standard output.

pub mod handshake;
pub mod log_writer;
pub mod process_context;
pub(crate) mod signals;
pub mod stdout;
