//! Rollouts that EC2 Auto Scaling carries out on its own, as pure functions.
//!
//! They translate a deployment into the preferences of an instance refresh, and evaluate the
//! refresh that is found on a group.
//!
//! Limits are those of InstanceRefreshPreferences in the API Reference of EC2 Auto Scaling.

mod conditions;
#[cfg(test)]
mod example;
mod follow;
mod following;
mod found;
mod translate;

pub(crate) use conditions::refuse;
pub(crate) use follow::{Idle, RefreshDecision, cause, is_done, old, status, unhealthy, verdict};
pub(crate) use following::{FollowOutcome, Following, unsettled};
pub(crate) use found::{RefreshContext, foreign, is_obeyed};
pub(crate) use translate::{Bounds, bounds, phrases, preferences};
