//! Finds settings in a value, and of which tool they are.

use serde_json::Value;

use super::setting::{block, field, spellings};
use super::whole_text::SHAPES;
use crate::document::{Diagnostic, step};

/// Whose settings they are, and in which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SettingsShape {
    /// Elastic Beanstalk's.
    OptionSettings,
    /// Those of an instance refresh, as StartInstanceRefresh takes them.
    Preferences,
    /// Those of an instance refresh, as a block of Terraform's `aws_autoscaling_group`.
    InstanceRefreshBlock,
    /// CodeDeploy's.
    HealthyHosts,
}

/// Settings, and where they are.
#[derive(Debug)]
pub(super) struct FoundSettings<'v> {
    pub(super) shape: SettingsShape,
    pub(super) value: &'v Value,
    /// A JSON Pointer.
    pub(super) place: String,
}

/// What an instance refresh may be told.
pub(super) const PREFERENCES: [&str; 11] = [
    "MinHealthyPercentage",
    "MaxHealthyPercentage",
    "InstanceWarmup",
    "CheckpointPercentages",
    "CheckpointDelay",
    "BakeTime",
    "AutoRollback",
    "AlarmSpecification",
    "ScaleInProtectedInstances",
    "StandbyInstances",
    "SkipMatching",
];

/// How deep settings are looked for: those of a resource in a template or a module are this deep.
const DEEPEST: usize = 8;

/// Returns the only settings in `documents`.
///
/// # Errors
/// When there are none, or several.
pub(super) fn only(documents: &[Value]) -> Result<FoundSettings<'_>, Vec<Diagnostic>> {
    let mut found = Vec::new();
    for (index, document) in documents.iter().enumerate() {
        let place = place_of(documents, index);
        search(document, place, DEEPEST, &mut found);
    }
    if found.len() > 1 && found.iter().any(is_deployed) {
        found.retain(is_deployed);
    }
    let places: Vec<String> = found.iter().map(|it| shown(&it.place)).collect();
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(_), false) => {
            let summary = format!("there are several settings, at {}", places.join(", "));
            Err(vec![Diagnostic::error("", summary).with_remedy("give one of them alone")])
        }
        (None, _) => {
            let summary = "these are no settings that can be converted";
            Err(vec![Diagnostic::error("", summary).with_remedy(SHAPES)])
        }
    }
}

/// Returns the place of a document: only those of a stream have a number.
pub(super) fn place_of(documents: &[Value], index: usize) -> String {
    if documents.len() > 1 { format!("/{index}") } else { String::new() }
}

fn shown(place: &str) -> String {
    if place.is_empty() { "the top".to_owned() } else { place.to_owned() }
}

/// Whether it is the configuration that an environment runs, not one that is being deployed.
fn is_deployed(found: &FoundSettings<'_>) -> bool {
    found.value["DeploymentStatus"] == "deployed"
}

fn search<'v>(value: &'v Value, place: String, depth: usize, found: &mut Vec<FoundSettings<'v>>) {
    if let Some(shape) = shape(value) {
        return found.push(FoundSettings { shape, value, place });
    }
    let Some(depth) = depth.checked_sub(1) else { return };
    match value {
        Value::Object(members) => {
            // A policy of the group itself, with names like those of a refresh.
            let policy = spellings("InstanceMaintenancePolicy");
            for (key, value) in members.iter().filter(|(key, _)| !policy.contains(key)) {
                search(value, format!("{place}/{}", step(key)), depth, found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                search(item, format!("{place}/{index}"), depth, found);
            }
        }
        _ => {}
    }
}

fn shape(value: &Value) -> Option<SettingsShape> {
    if is_option_list(value) {
        return Some(SettingsShape::OptionSettings);
    }
    value.as_object()?;
    let given = |name: &str| field(value, "", name);
    let is_map = |it: &Value| it.as_object().is_some_and(|map| map.keys().any(|k| k.contains(':')));
    if given("OptionSettings").is_some_and(|it| is_option_list(it.value) || is_map(it.value))
        || value.get("setting").is_some_and(|it| is_option_list(it) || is_option(it))
    {
        return Some(SettingsShape::OptionSettings);
    }
    if given("InstanceRefresh").is_some_and(|it| block(it.value, "").0.is_object()) {
        return Some(SettingsShape::InstanceRefreshBlock);
    }
    let preferences = given("Preferences").filter(|it| block(it.value, "").0.is_object());
    let starts = given("AutoScalingGroupName").is_some()
        && ["Preferences", "Strategy", "DesiredConfiguration"].iter().any(|it| given(it).is_some());
    let has_any = |value: &Value| PREFERENCES.iter().any(|name| field(value, "", name).is_some());
    if starts || preferences.is_some_and(|it| has_any(block(it.value, "").0)) || has_any(value) {
        return Some(SettingsShape::Preferences);
    }
    let is_code_deploy = ["MinimumHealthyHosts", "DeploymentConfigName"];
    is_code_deploy.iter().any(|it| given(it).is_some()).then_some(SettingsShape::HealthyHosts)
}

fn is_option_list(value: &Value) -> bool {
    value.as_array().is_some_and(|items| !items.is_empty() && items.iter().all(is_option))
}

/// Whether it is one option, with its namespace and its name.
fn is_option(value: &Value) -> bool {
    let has = |name| field(value, "", name).is_some_and(|it| it.value.is_string());
    has("Namespace") && (has("OptionName") || has("Name"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(value: Value) -> (SettingsShape, String) {
        let documents = [value];
        let found = only(&documents).expect("settings");
        (found.shape, found.place)
    }

    #[test]
    fn settings_are_known_by_their_shape() {
        let option =
            json!({ "Namespace": "aws:elasticbeanstalk:command", "OptionName": "BatchSize" });
        let terraform = json!({ "namespace": "aws:x", "name": "BatchSize", "value": "1" });
        for (value, place) in [
            (json!([option]), ""),
            (json!({ "OptionSettings": [option] }), ""),
            (
                json!({ "ConfigurationSettings": [{ "OptionSettings": [option] }] }),
                "/ConfigurationSettings/0",
            ),
            (
                json!({ "option_settings": { "aws:elasticbeanstalk:command": { "BatchSize": 1 } } }),
                "",
            ),
            (json!({ "option_settings": [{ "namespace": "a", "option_name": "b" }] }), ""),
            (json!({ "setting": [terraform] }), ""),
            (json!({ "setting": terraform }), ""),
            (
                json!({ "Resources": { "Env": { "Properties": { "OptionSettings": [option] } } } }),
                "/Resources/Env/Properties",
            ),
            (
                json!({ "resource": { "aws_elastic_beanstalk_environment": { "web": { "setting": [terraform] } } } }),
                "/resource/aws_elastic_beanstalk_environment/web",
            ),
        ] {
            assert_eq!(found(value), (SettingsShape::OptionSettings, place.to_owned()));
        }
        for value in [
            json!({ "MinHealthyPercentage": 90 }),
            json!({ "min_healthy_percentage": 90 }),
            json!({ "Preferences": { "BakeTime": 60 } }),
            json!({ "AutoScalingGroupName": "web", "Strategy": "Rolling" }),
        ] {
            assert_eq!(found(value), (SettingsShape::Preferences, String::new()));
        }
        let group = json!({ "instance_refresh": [{ "strategy": "Rolling" }] });
        assert_eq!(found(group.clone()).0, SettingsShape::InstanceRefreshBlock);
        let whole = json!({ "resource": [{ "aws_autoscaling_group": { "web": [group] } }] });
        let place = "/resource/0/aws_autoscaling_group/web/0".to_owned();
        assert_eq!(found(whole), (SettingsShape::InstanceRefreshBlock, place));
        for (value, place) in [
            (json!({ "minimumHealthyHosts": { "type": "HOST_COUNT", "value": 1 } }), ""),
            (json!({ "deploymentConfigName": "CodeDeployDefault.OneAtATime" }), ""),
            (
                json!({ "deploymentConfigInfo": { "deploymentConfigName": "x" } }),
                "/deploymentConfigInfo",
            ),
        ] {
            assert_eq!(found(value), (SettingsShape::HealthyHosts, place.to_owned()));
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_shapes_that_are_known() {
        for value in [
            json!({}),
            json!([]),
            json!("web"),
            json!([1]),
            json!({ "setting": [{ "name": "x" }] }),
            json!({ "instance_maintenance_policy": { "min_healthy_percentage": 90 } }),
            json!({ "instance_refresh": [] }),
            json!({ "OptionSettings": [] }),
        ] {
            let documents = [value.clone()];
            let refused = only(&documents).expect_err("no settings")[0].to_string();
            assert!(refused.contains("no settings that can be converted"), "{value}: {refused}");
            assert!(refused.contains("minimumHealthyHosts of CodeDeploy"), "{refused}");
        }
        let two = [json!({ "BakeTime": 1 }), json!({ "a": { "BakeTime": 2 } })];
        let refused = only(&two).expect_err("two")[0].to_string();
        assert!(refused.contains("several settings, at /0, /1/a"), "{refused}");
    }

    #[test]
    fn of_two_configurations_the_deployed_one_counts() {
        let options = json!([{ "Namespace": "a", "OptionName": "b" }]);
        let documents = [json!({ "ConfigurationSettings": [
            { "DeploymentStatus": "pending", "OptionSettings": options },
            { "DeploymentStatus": "deployed", "OptionSettings": options },
        ] })];
        assert_eq!(only(&documents).expect("one").place, "/ConfigurationSettings/1");
    }
}
