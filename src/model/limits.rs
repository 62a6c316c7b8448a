//! Limits of EC2 Auto Scaling's instance refresh, from InstanceRefreshPreferences in its API Reference.

use std::time::Duration;

/// CheckpointDelay and BakeTime are at most 172800 seconds.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(172_800);

/// MaxHealthyPercentage exceeds MinHealthyPercentage by at most this.
pub(crate) const WIDEST: u32 = 100;

/// AlarmSpecification names at most this many alarms.
pub(crate) const MOST_ALARMS: usize = 10;
