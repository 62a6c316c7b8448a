//! The integration tests, one binary.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on must fail"
)]

mod ansible;
mod bed;
mod clients;
mod conformance;
mod crash;
#[cfg(feature = "aws")]
mod doctor;
mod documents;
mod examples;
mod faults;
mod following;
mod fuzz;
mod gates;
#[cfg(feature = "aws")]
mod groups;
mod guarded;
mod host;
mod in_place;
#[cfg(feature = "aws")]
mod instances;
mod invariants;
#[cfg(feature = "aws")]
mod lab;
#[cfg(feature = "aws")]
mod localstack;
#[cfg(feature = "s3")]
mod object;
mod planner;
mod plugin;
#[cfg(feature = "aws")]
mod policy;
mod process;
#[cfg(feature = "aws")]
mod promises;
mod properties;
mod protocol;
#[cfg(feature = "aws")]
mod refresh;
#[cfg(feature = "aws")]
mod refusals;
mod rollout;
#[cfg(feature = "aws")]
mod scale;
mod scenarios;
mod shift;
mod sidecar;
mod stdio;
mod terraform;
#[cfg(feature = "aws")]
mod traffic;
#[cfg(feature = "aws")]
mod updates;
mod wire;
mod world;
