//! Keys of our tags, attributes of a document, and limits of calls.

/// The number of ids in one DescribeInstances call. A filter takes 200 at most.
pub(crate) const IDS_A_CALL: usize = 100;

/// The prefix of the keys of our tags.
pub(crate) const OURS: &str = "rolling:";

/// The tag of an instance that counted as failed. Its value names the rollout.
pub(crate) const FAILED: &str = "rolling:failed";

/// The tag of an instance that a rollout leaves alone.
pub(crate) const IGNORE: &str = "rolling:ignore";

/// The most that Elastic Load Balancing describes by name at once: "Maximum number of items: 20".
pub(crate) const MOST_ARNS: usize = 20;

pub(crate) const TEMPLATE: &str = "auto_scaling_group/launch_template";
