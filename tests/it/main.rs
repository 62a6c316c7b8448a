//! The integration tests, one binary; CONTRIBUTING.md has their classes.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on must fail"
)]

mod bed;
mod e2e;
#[cfg(feature = "aws")]
mod emulator;
mod fast;
mod host;
#[cfg(feature = "aws")]
mod lab;
mod process;
mod wire;
mod world;
