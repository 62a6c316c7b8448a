//! The integration tests, one binary; CONTRIBUTING.md has their classes.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on must fail"
)]

mod e2e;
#[cfg(feature = "aws")]
mod emulator;
mod fast;
mod imports;
mod judge;
#[cfg(feature = "aws")]
mod lab;
mod process;
mod terraform_host;
mod test_fleets;
mod wire;
mod world;
