//! The kinds of targets.

use serde_json::Value;

/// What the rest of the program has to know of a kind of target. What cannot be given beside it
/// stands in [`super::support`].
#[derive(Debug)]
pub(crate) struct TargetKind {
    /// The attribute of a deployment that configures it.
    pub(crate) attribute: &'static str,
    /// The places of its name, as JSON Pointers, the widest first: its namespace, where it has one. A
    /// change means another deployment.
    pub(crate) names: &'static [&'static str],
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
        names: &["/auto_scaling_group/name"],
        provider: Some("aws"),
        launch_template: Some("/auto_scaling_group/launch_template"),
        revision: &["/auto_scaling_group/launch_template", "/auto_scaling_group/image_id"],
    },
    TargetKind {
        attribute: "target_group",
        names: &["/target_group/arn"],
        provider: Some("aws"),
        launch_template: Some("/target_group/launch_template"),
        revision: &["/target_group/launch_template"],
    },
    TargetKind {
        attribute: "kubernetes_deployment",
        names: &["/kubernetes_deployment/namespace", "/kubernetes_deployment/name"],
        provider: Some("kubernetes"),
        launch_template: None,
        revision: &["/kubernetes_deployment/images", "/kubernetes_deployment/annotations"],
    },
    TargetKind {
        attribute: "kubernetes_stateful_set",
        names: &["/kubernetes_stateful_set/namespace", "/kubernetes_stateful_set/name"],
        provider: Some("kubernetes"),
        launch_template: None,
        revision: &["/kubernetes_stateful_set/images", "/kubernetes_stateful_set/annotations"],
    },
    TargetKind {
        attribute: "elastic_beanstalk_environment",
        names: &["/elastic_beanstalk_environment/name"],
        provider: Some("aws"),
        launch_template: None,
        revision: &["/elastic_beanstalk_environment/version_label"],
    },
    TargetKind {
        attribute: "simulated_fleet",
        names: &["/simulated_fleet/name"],
        provider: None,
        launch_template: None,
        revision: &["/simulated_fleet/revision"],
    },
];

/// Targets that people ask for and that are not rolled: attribute, and why.
pub(crate) const NOT_ROLLED: &[(&str, &str)] =
    &[("kubernetes_daemon_set", DAEMON_SET), ("kubernetes_daemonset", DAEMON_SET)];
const DAEMON_SET: &str = "a DaemonSet has neither a pause nor a partition, so that nothing could stop it \
                          on its way: roll it with kubectl";

impl TargetKind {
    /// Returns what `config`, a deployment, names its target of this kind: `shop/web`.
    pub(crate) fn name_in(&self, config: &Value) -> Option<String> {
        let (name, scopes) = self.names.split_last()?;
        let name = config.pointer(name)?.as_str()?;
        let scopes = scopes.iter().filter_map(|place| config.pointer(place)?.as_str());
        let parts: Vec<&str> = scopes.chain([name]).collect();
        Some(parts.join("/"))
    }

    /// Whether `config`, a deployment, has a target of this kind.
    pub(crate) fn is_given(&self, config: &Value) -> bool {
        !config[self.attribute].is_null()
    }
}
