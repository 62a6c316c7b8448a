//! Tags and attributes of unmanaged instances.

/// Where a document names the target group.
pub(super) const ARN: &str = "target_group/arn";

/// Where it names the launch template.
pub(super) const TEMPLATE: &str = "target_group/launch_template";

/// Tag that marks an instance as one of the fleet behind the target group it names.
pub(crate) const MEMBER: &str = "rolling:target-group";

/// Tag with the ports that an instance is registered on, joined by `+`.
pub(crate) const PORTS: &str = "rolling:ports";

/// Tag with the instance that this one was launched in place of.
pub(crate) const STANDS_FOR: &str = "rolling:stands-for";

/// Tag with the revision that an instance was launched from, for clouds that note none.
pub(crate) const LAUNCHED_FROM: &str = "rolling:launched-from";

/// What EC2 says of an instance that is gone.
pub(super) const NOT_FOUND: &str = "InvalidInstanceID.NotFound";

/// Tag of what an Auto Scaling group has launched.
pub(super) const GROUP: &str = "aws:autoscaling:groupName";
