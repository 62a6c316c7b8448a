//! The version of a launch template that a group, or a refresh of it, names.

use serde_json::{Value, json};

use super::draft::Draft;
use super::setting::{Setting, field};

/// Reads what `object`, at `place`, is to run: its launch template, or that of its mixed instances
/// policy. One that only another tool knows is left out.
pub(super) fn read(object: &Value, place: &str, draft: &mut Draft) {
    let direct = field(object, place, "LaunchTemplate");
    let mixed = field(object, place, "MixedInstancesPolicy");
    let mixed = mixed.and_then(|it| it.field("LaunchTemplate"));
    if let Some(overrides) = mixed.as_ref().and_then(|it| it.field("Overrides")) {
        let summary = "the overrides of a mixed instances policy stay those of the group: a rollout \
                       changes its launch template version only";
        draft.warn(&overrides.place, summary, "set them on the group before the rollout");
    }
    let mixed = mixed.and_then(|it| it.field("LaunchTemplateSpecification"));
    let Some(template) = direct.or(mixed) else { return };
    let named = |names: [&str; 2]| {
        let given = names.iter().find_map(|name| template.field(name));
        given.filter(|it| !it.is_expression()).and_then(|it| it.text())
    };
    let id = named(["LaunchTemplateId", "Id"]);
    let name = named(["LaunchTemplateName", "Name"]);
    let reference = match (id, name) {
        (Some(id), _) => json!({ "id": id }),
        (None, Some(name)) => json!({ "name": name }),
        (None, None) => return,
    };
    let version = template.field("Version");
    let Some(version) = version_of(version.as_ref()) else { return };
    let mut reference = reference;
    reference["version"] = json!(version);
    draft.revisions.insert("launch_template", (reference, template.place));
}

/// Returns the version of a template, where it is known: that of AWS by default.
fn version_of(given: Option<&Setting<'_>>) -> Option<String> {
    let Some(given) = given else { return Some("$Default".to_owned()) };
    let version = given.text().filter(|_| !given.is_expression())?;
    let is_number = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
    (is_number || version == "$Latest" || version == "$Default").then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(object: &Value) -> Option<Value> {
        let mut draft = Draft::new(&[]);
        read(object, "", &mut draft);
        draft.revisions.remove("launch_template").map(|(reference, _)| reference)
    }

    #[test]
    fn a_template_is_read_as_the_api_and_terraform_have_it() {
        let by_id = Some(json!({ "id": "lt-1", "version": "3" }));
        let api = json!({ "LaunchTemplateId": "lt-1", "Version": "3" });
        assert_eq!(found(&json!({ "LaunchTemplate": api })), by_id);
        let mixed = json!({ "LaunchTemplate": { "LaunchTemplateSpecification": api } });
        assert_eq!(found(&json!({ "MixedInstancesPolicy": mixed })), by_id);
        let block = json!({ "launch_template": [{ "id": "lt-1", "version": 3 }] });
        assert_eq!(found(&block), by_id);
        let default = Some(json!({ "name": "web", "version": "$Default" }));
        assert_eq!(found(&json!({ "launch_template": { "name": "web" } })), default);
        for unknown in [
            json!({}),
            json!({ "launch_template": { "id": "${aws_launch_template.web.id}", "version": "1" } }),
            json!({ "launch_template": { "id": "lt-1", "version": "${var.version}" } }),
            json!({ "launch_template": { "name_prefix": "web-" } }),
        ] {
            assert_eq!(found(&unknown), None, "{unknown}");
        }
    }
}
