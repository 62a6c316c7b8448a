//! The API server and its controllers, against what the real ones do.

#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may wait, fail, and say what it saw"
)]

mod api;
mod behaviours;
mod conflicts;
mod faults;
mod http;
mod kubectl;
mod leases;
mod recordings;
mod rollouts;
mod stateful_sets;
mod support;
