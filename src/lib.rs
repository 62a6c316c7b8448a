//! Rolls a fleet of instances to a new revision, batch by batch.
//!
//! Modules from the bottom up: each uses only those above it in this list. A document becomes a
//! spec, the planner turns a spec and a look at the fleet into actions, the engine carries them out
//! and reports events, and the front-ends hand both out. ARCHITECTURE.md draws the layers.

pub mod deployment;
pub mod dispatch;
pub mod document;
pub mod engine;
pub mod frontends;
pub mod host;
pub mod model;
pub mod providers;
pub mod record;
pub mod report;
pub mod rollout;
