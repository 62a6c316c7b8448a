//! Rolls a fleet of instances to a new revision, batch by batch.
//!
//! Modules in reading order: a document becomes a spec, the planner turns a spec and a look at
//! the fleet into actions, the engine carries them out and reports events.

pub mod ansible;
pub mod cli;
pub mod clock;
pub mod command;
pub mod control;
pub mod deployment;
pub mod document;
pub mod engine;
pub mod event;
pub mod instance_refresh;
pub mod lease;
pub mod owner;
pub mod ownership;
pub mod plan;
mod probe;
pub mod progress;
pub mod providers;
pub mod record;
pub mod schedule;
pub mod schemas;
pub mod spec;
pub mod state;
pub mod stdio;
pub mod stopping;
pub mod terraform;
