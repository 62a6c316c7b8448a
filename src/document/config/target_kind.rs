//! The kinds of targets.

use serde_json::Value;

/// What the rest of the program has to know of a kind of target. What cannot be given beside it
/// stands in [`super::support`].
#[derive(Debug)]
pub(crate) struct TargetKind {
    /// The attribute of a deployment that configures it.
    pub(crate) attribute: &'static str,
    /// The place of its name, as a JSON Pointer: a change means another deployment.
    pub(crate) name: &'static str,
    /// The place of its launch template, where it has one.
    pub(crate) launch_template: Option<&'static str>,
    /// The places that say which revision is wanted, and nothing else.
    pub(crate) revision: &'static [&'static str],
}

/// Every kind of target. What is refused, planned and imported goes by this table.
pub(crate) const TARGET_KINDS: &[TargetKind] = &[
    TargetKind {
        attribute: "auto_scaling_group",
        name: "/auto_scaling_group/name",
        launch_template: Some("/auto_scaling_group/launch_template"),
        revision: &["/auto_scaling_group/launch_template", "/auto_scaling_group/image_id"],
    },
    TargetKind {
        attribute: "target_group",
        name: "/target_group/arn",
        launch_template: Some("/target_group/launch_template"),
        revision: &["/target_group/launch_template"],
    },
    TargetKind {
        attribute: "simulated_fleet",
        name: "/simulated_fleet/name",
        launch_template: None,
        revision: &["/simulated_fleet/revision"],
    },
];

impl TargetKind {
    /// Whether `config`, a deployment, has a target of this kind.
    pub(crate) fn is_given(&self, config: &Value) -> bool {
        !config[self.attribute].is_null()
    }
}
