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
    /// The part of the provider's block by which its cloud is reached, where it has one.
    pub(crate) provider: Option<&'static str>,
    /// The place of its launch template, where it has one.
    pub(crate) launch_template: Option<&'static str>,
    /// The places that say which revision is wanted, and nothing else.
    pub(crate) revision: &'static [&'static str],
}

/// Every kind of target. What is refused and planned goes by this table, and so does
/// whether the provider's block is missed.
pub(crate) const TARGET_KINDS: &[TargetKind] = &[
    TargetKind {
        attribute: "auto_scaling_group",
        name: "/auto_scaling_group/name",
        provider: Some("aws"),
        launch_template: Some("/auto_scaling_group/launch_template"),
        revision: &["/auto_scaling_group/launch_template", "/auto_scaling_group/image_id"],
    },
    TargetKind {
        attribute: "target_group",
        name: "/target_group/arn",
        provider: Some("aws"),
        launch_template: Some("/target_group/launch_template"),
        revision: &["/target_group/launch_template"],
    },
    TargetKind {
        attribute: "simulated_fleet",
        name: "/simulated_fleet/name",
        provider: None,
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
