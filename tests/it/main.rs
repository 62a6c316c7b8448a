//! The integration tests, one binary.

mod rollout;
mod world;
