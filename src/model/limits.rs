//! Limits of EC2 Auto Scaling's instance refresh, by RefreshPreferences in its API Reference.

use std::time::Duration;

/// CheckpointDelay and BakeTime are at most 172800 seconds.
pub const LONGEST_WAIT: Duration = Duration::from_secs(172_800);

/// MaxHealthyPercentage is at most so much above MinHealthyPercentage.
pub const WIDEST: u32 = 100;

/// AlarmSpecification names at most so many.
pub const MOST_ALARMS: usize = 10;
