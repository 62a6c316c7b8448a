//! Rollouts that EC2 Auto Scaling carries out by itself, purely: what its instance refresh is told,
//! and what to make of the one that is found on a group.
//!
//! Limits are those of RefreshPreferences in the API Reference of EC2 Auto Scaling.

use std::time::Duration;

mod follow;
mod translate;

pub use follow::{
    Idle, Next, cause, gives_up_after, idle, is_done, leads_there, next, old, status, told,
    unhealthy, verdict,
};
pub use translate::{Bounds, bounds, phrases, preferences};

/// CheckpointDelay and BakeTime are at most 172800 seconds.
pub const LONGEST_WAIT: Duration = Duration::from_secs(172_800);
/// MaxHealthyPercentage is at most so much above MinHealthyPercentage.
pub const WIDEST: u32 = 100;
/// AlarmSpecification names at most so many.
pub const MOST_ALARMS: usize = 10;
