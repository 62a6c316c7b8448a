//! Finds the state of a deployment in what front-ends keep: a state of this program itself (of
//! JSON-RPC, or the return values of the Ansible module), what `terraform show -json` prints, or a
//! `terraform.tfstate`.

use serde_json::Value;

/// The type of a deployment in Terraform's state.
const TYPE: &str = "rolling_deployment";

/// What a state of this program has, of whatever version.
const OURS: [&str; 2] = ["id", "completed_revision"];

/// Returns the states of deployments in `stored`.
pub(crate) fn states(stored: &Value) -> Vec<&Value> {
    // An answer of JSON-RPC has the state in it.
    for state in [&stored["state"], stored] {
        if OURS.iter().all(|name| state.get(name).is_some()) {
            return vec![state];
        }
    }
    let mut found = Vec::new();
    of_module(&stored["values"]["root_module"], &mut found);
    for resource in stored["resources"].as_array().into_iter().flatten() {
        let instances = resource["instances"].as_array().into_iter().flatten();
        found.extend(instances.map(|it| &it["attributes"]).filter(|_| resource["type"] == TYPE));
    }
    found
}

fn of_module<'a>(module: &'a Value, found: &mut Vec<&'a Value>) {
    let list = |name: &str| module[name].as_array().into_iter().flatten();
    let resources = list("resources").filter(|resource| resource["type"] == TYPE);
    found.extend(resources.map(|resource| &resource["values"]));
    for child in list("child_modules") {
        of_module(child, found);
    }
}

/// Returns the state of the target with this id.
///
/// # Errors
/// Says which states there are instead.
pub(crate) fn of_target<'a>(stored: &'a Value, id: &str) -> Result<&'a Value, String> {
    let states = states(stored);
    let ids: Vec<&str> = states.iter().filter_map(|state| state["id"].as_str()).collect();
    match states.iter().find(|state| state["id"] == id) {
        Some(state) => Ok(state),
        None if ids.is_empty() => Err(format!(
            "it has no state of a {TYPE} that a rollout has ended; it should be the output of \
             terraform show -json, a terraform.tfstate, or a state of JSON-RPC or Ansible"
        )),
        None => Err(format!("it has the state of {}, not of {id}", ids.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_form_in_which_a_state_is_kept_is_read() {
        let state = json!({ "id": "web", "completed_revision": "v2" });
        let other = json!({ "type": "aws_instance", "values": { "id": "web" } });
        let shown = json!({ "type": TYPE, "values": state });
        let child = json!({ "resources": [shown] });
        let file = json!({ "type": TYPE, "instances": [{ "attributes": state }] });
        for stored in [
            state.clone(),
            json!({ "state": state, "diagnostics": [] }),
            json!({ "values": { "root_module": { "resources": [other, shown] } } }),
            json!({ "values": { "root_module": { "child_modules": [child] } } }),
            json!({ "version": 4, "resources": [{ "type": "aws_instance" }, file] }),
        ] {
            assert_eq!(of_target(&stored, "web"), Ok(&state), "{stored}");
            let message = "it has the state of web, not of db";
            assert_eq!(of_target(&stored, "db"), Err(message.to_owned()), "{stored}");
        }
        for stored in [json!({}), json!([]), json!({ "resources": [other] })] {
            let why = of_target(&stored, "web").expect_err("no state");
            assert!(why.contains("terraform show -json"), "{why}");
        }
    }
}
