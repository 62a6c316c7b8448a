//! Tests that need no cloud, not even LocalStack: the planner, the engine on virtual time, and the
//! front-ends on the simulator.

mod blame;
mod commands;
mod conformance;
mod crash;
mod documents;
mod faults;
mod following;
mod frozen;
mod fuzz;
mod gates;
mod guarded;
pub mod hooks;
mod in_place;
mod invariants;
mod layers;
mod lease_waits;
mod left_alone;
mod looks;
mod meanwhile;
mod model;
mod outcomes;
mod ownership;
mod planned;
mod planner;
pub mod plugin;
mod printed;
pub mod properties;
mod protocol;

mod rollback_after;
mod rollout;
mod scenarios;
mod shift;
mod sizes;
mod sources;
mod state_files;
mod stdio;
mod support;
mod terminal;
mod termination;
mod vocabulary;
mod way_back;
mod witness;
