//! Rollouts that EC2 Auto Scaling carries out on its own, as pure functions.
//!
//! They translate a deployment into the preferences of an instance refresh, and evaluate the
//! refresh that is found on a group.
//!
//! Limits are those of InstanceRefreshPreferences in the API Reference of EC2 Auto Scaling.

mod follow;
mod translate;

pub(crate) use follow::{
    Idle, Next, cause, gives_up_after, idle, is_done, leads_there, next, old, status, summary,
    unhealthy, verdict,
};
pub(crate) use translate::{Bounds, bounds, phrases, preferences};
