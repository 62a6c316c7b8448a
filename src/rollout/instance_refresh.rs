//! Rollouts that EC2 Auto Scaling carries out by itself, purely: what its instance refresh is told,
//! and what to make of the one that is found on a group.
//!
//! Limits are those of RefreshPreferences in the API Reference of EC2 Auto Scaling.

mod follow;
mod translate;

pub use follow::{
    Idle, Next, cause, gives_up_after, idle, is_done, leads_there, next, old, status, told,
    unhealthy, verdict,
};
pub use translate::{Bounds, bounds, phrases, preferences};
