//! Tags of ours on instances, attributes of a document, and how much a call may name.

/// Ids that one DescribeInstances call is asked about; a filter takes 200 at most.
pub(crate) const IDS_A_CALL: usize = 100;

/// Keys of tags that belong to us.
pub(crate) const OURS: &str = "rolling:";

/// An instance with this tag was counted as failed, by the rollout that the value names.
pub(crate) const FAILED: &str = "rolling:failed";

/// An instance with this tag is left alone.
pub(crate) const IGNORE: &str = "rolling:ignore";

/// Elastic Load Balancing describes at most so many by name at once: "Maximum number of items: 20".
pub(crate) const MOST_ARNS: usize = 20;

pub(crate) const TEMPLATE: &str = "auto_scaling_group/launch_template";
