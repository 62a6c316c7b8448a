//! Tags and attributes of unmanaged instances.

/// Where a document names the target group.
pub(super) const ARN: &str = "target_group/arn";

/// Where a document names the launch template.
pub(super) const TEMPLATE: &str = "target_group/launch_template";

/// Tag that marks an instance as one of the fleet behind the target group that the tag names.
pub(crate) const MEMBER: &str = "rolling:target-group";

/// Tag with the ports that an instance is registered on, joined by `+`.
pub(crate) const PORTS: &str = "rolling:ports";

/// Tag with the instance that this one was launched to replace.
pub(crate) const STANDS_FOR: &str = "rolling:stands-for";

/// Tag with the revision that an instance was launched from, for clouds that do not note it.
pub(crate) const LAUNCHED_FROM: &str = "rolling:launched-from";

/// Error code of EC2 for an instance that is gone.
pub(super) const NOT_FOUND: &str = "InvalidInstanceID.NotFound";

/// Tag of instances that an Auto Scaling group has launched.
pub(super) const GROUP: &str = "aws:autoscaling:groupName";
