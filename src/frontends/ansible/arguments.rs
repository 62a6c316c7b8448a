//! Converts the arguments of a task to a deployment.

use serde_json::{Map, Value, json};

use super::coerce::coerce;
use crate::document::config::{ProviderConfig, RollingDeploymentConfig};
use crate::document::{self, Diagnostic};
use crate::model::spec::RollingDeployment;
use crate::record::command::Command;

/// The JSON Pointer to the provider's configuration in a task.
pub(crate) const PROVIDER: &str = "/provider";

/// The states that a task can ask for. All but the first are commands to a rollout under way.
const STATES: [(&str, Option<Command>); 5] = [
    ("present", None),
    ("paused", Some(Command::Pause)),
    ("resumed", Some(Command::Resume)),
    ("rolled_back", Some(Command::Rollback)),
    ("aborted", Some(Command::Abort)),
];

/// A checked task.
#[derive(Clone, Debug)]
pub struct Task {
    /// The command to a rollout under way; `None` to roll.
    pub(crate) command: Option<Command>,
    /// How to reach the clouds.
    pub(crate) provider: ProviderConfig,
    /// The deployment as the task describes it.
    pub(crate) config: RollingDeploymentConfig,
    /// The validated deployment.
    pub(crate) spec: RollingDeployment,
    /// The arguments after conversion to the types of the schema.
    pub(crate) arguments: Value,
    /// How Ansible asks to run the task.
    pub(crate) mode: Mode,
}

/// How Ansible asks to run a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mode {
    /// Say what would change, and change nothing.
    pub(crate) check: bool,
    /// Show what changes.
    pub(crate) diff: bool,
    /// Show the arguments after conversion.
    pub(crate) tell: bool,
}

/// Returns the JSON Schema of the module's arguments: those of a deployment, and two more.
pub fn schema() -> Value {
    let mut schema = document::schema::<RollingDeploymentConfig>();
    let mut provider = document::schema::<ProviderConfig>();
    if let (Some(ours), Some(more)) =
        (schema["$defs"].as_object_mut(), provider["$defs"].as_object_mut())
    {
        ours.append(more);
    }
    schema["properties"]["provider"] = json!({
        "type": ["object", "null"],
        "description": provider["description"],
        "properties": provider["properties"],
        "additionalProperties": false,
    });
    schema["properties"]["state"] = json!({
        "type": ["string", "null"],
        "enum": STATES.map(|(name, _)| name),
        "description": "`present`: roll to the wanted revision, and wait for the end. `paused`, \
            `resumed`, `rolled_back` and `aborted` control a rollout in progress: stop at the \
            next safe point; continue; roll back to the last completed revision; end it and \
            restore what is borrowed. An engine at work elsewhere obeys within its \
            `poll_interval`; if none is at work, the module carries the command out. Without such \
            a rollout nothing changes. Default `present`.",
    });
    schema
}

/// Reads the arguments from Ansible. Those that Ansible adds itself begin with `_ansible_`.
///
/// # Errors
/// Every finding, each with its place as a JSON Pointer into the arguments.
pub fn read(given: &Map<String, Value>) -> Result<Task, Vec<Diagnostic>> {
    let own = given.iter().filter(|(name, _)| !name.starts_with("_ansible_"));
    let own: Map<String, Value> = own.map(|(key, value)| (key.clone(), value.clone())).collect();
    if own.contains_key("_raw_params") {
        let message = "the arguments are not key=value pairs";
        let remedy = "write policy=rolling and so on, or one JSON object for all of them";
        return Err(vec![Diagnostic::error("", message).with_remedy(remedy)]);
    }

    let schema = schema();
    let mut found = Vec::new();
    let arguments = document::normalised(&coerce(&schema, &Value::Object(own), &mut found));
    if found.is_empty() {
        found = document::check_against(&schema, &arguments, "");
    }
    if !found.is_empty() {
        return Err(found);
    }

    let mut deployment = arguments.clone();
    let mut take = |name: &str| deployment.as_object_mut().and_then(|all| all.remove(name));
    let provider = take("provider").unwrap_or_else(|| json!({}));
    let state = take("state");
    let state = state.as_ref().and_then(Value::as_str);
    let command = STATES.into_iter().find(|(name, _)| Some(*name) == state);
    let provider = document::provider(&provider, PROVIDER)?;
    let (config, spec) = document::deployment(&deployment, "")?;
    let command = command.and_then(|(_, command)| command);
    Ok(Task { command, provider, config, spec, arguments, mode: mode(given) })
}

fn mode(given: &Map<String, Value>) -> Mode {
    let is = |name: &str| given.get(name) == Some(&Value::Bool(true));
    let verbosity = given.get("_ansible_verbosity").and_then(Value::as_u64).unwrap_or_default();
    Mode {
        check: is("_ansible_check_mode"),
        diff: is("_ansible_diff"),
        // As other modules do: with -vvv, and never what the task keeps out of logs.
        tell: verbosity >= 3 && !is("_ansible_no_log"),
    }
}

/// Formats a finding in one line, its place as Ansible's users write it: `checkpoints[0].pause`.
pub(crate) fn message(found: &Diagnostic) -> String {
    let mut place = String::new();
    for step in found.pointer.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        if !place.is_empty() && step.chars().all(|c| c.is_ascii_digit()) {
            place.push_str(&format!("[{step}]"));
        } else {
            place.push_str(if place.is_empty() { "" } else { "." });
            place.push_str(&step);
        }
    }
    let place = if place.is_empty() { place } else { format!("{place}: ") };
    let remedy = found.remedy.as_ref().map_or(String::new(), |remedy| format!("; {remedy}"));
    format!("{place}{}{remedy}", found.summary)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(changes: &Value) -> Map<String, Value> {
        let mut all = json!({
            "policy": "rolling", "batch_size_type": "percentage", "batch_size": "30",
            "simulated_fleet": { "name": "web", "revision": "v2" },
            "_ansible_module_name": "rolling_deployment", "_ansible_something_new": [1],
        });
        let all = all.as_object_mut().expect("an object");
        all.append(&mut changes.as_object().expect("an object").clone());
        all.clone()
    }

    fn refused(changes: &Value) -> Vec<String> {
        read(&given(changes)).expect_err("a finding").iter().map(message).collect()
    }

    #[test]
    fn a_task_is_a_deployment_a_provider_and_a_state() {
        let task = read(&given(&json!({ "provider": { "simulator": { "speed": "500" } } })));
        let task = task.expect("a task");
        assert_eq!(task.command, None);
        assert_eq!(task.config.batch_size, Some(30));
        assert_eq!(task.provider.simulator.and_then(|simulator| simulator.speed), Some(500.0));
        for (state, command) in STATES {
            let task = read(&given(&json!({ "state": state }))).expect("a task");
            assert_eq!(task.command, command, "{state}");
        }
        // Null counts as omitted, as `default(omit)` and a null in YAML mean it.
        let task = read(&given(&json!({ "state": null, "provider": null, "health": null })));
        assert_eq!(task.expect("a task").command, None);
    }

    #[test]
    fn ansibles_own_arguments_set_the_mode_and_nothing_else() {
        let mode = |changes: Value| read(&given(&changes)).expect("a task").mode;
        assert_eq!(mode(json!({})), Mode::default());
        assert!(mode(json!({ "_ansible_check_mode": true })).check);
        assert!(mode(json!({ "_ansible_diff": true })).diff);
        assert!(mode(json!({ "_ansible_verbosity": 3 })).tell);
        assert!(!mode(json!({ "_ansible_verbosity": 2 })).tell);
        assert!(!mode(json!({ "_ansible_verbosity": 3, "_ansible_no_log": true })).tell);
    }

    #[test]
    fn each_finding_is_one_line_in_ansibles_terms() {
        for (changes, message) in [
            (
                json!({ "batch_sise": 3 }),
                "batch_sise: there is no attribute \"batch_sise\" here; did you mean \"batch_size\"?",
            ),
            (
                json!({ "stat": "paused" }),
                "stat: there is no attribute \"stat\" here; did you mean \"state\"?",
            ),
            (
                json!({ "state": "pause" }),
                "state: \"pause\" is not one of the choices; did you mean \"paused\"?",
            ),
            (json!({ "batch_size": "x" }), "batch_size: must be a whole number, is string \"x\""),
            (json!({ "batch_size": "30.5" }), "batch_size: must be a whole number, is number 30.5"),
            (json!({ "policy": null }), "the attribute \"policy\" is missing"),
            (
                json!({ "health": { "min_healthy_time": 30 } }),
                "health.min_healthy_time: \"30\" is not a time span; write for instance 30s, 10m \
                 or 1h30m (ms, s, m, h, d), 365d at most",
            ),
            (
                json!({ "checkpoints": [{ "percentage": 50 }, { "percentage": 20 }] }),
                "checkpoints[1].percentage: must be greater than 50, the previous checkpoint",
            ),
            (
                json!({ "provider": { "aws": { "regoin": "x" } } }),
                "provider.aws.regoin: there is no attribute \"regoin\" here; did you mean \
                 \"region\"?",
            ),
            (
                json!({ "simulated_fleet": null }),
                "there is no target; give exactly one of auto_scaling_group, target_group, kubernetes_deployment, kubernetes_stateful_set, elastic_beanstalk_environment and simulated_fleet",
            ),
            (
                json!({ "_raw_params": "web" }),
                "the arguments are not key=value pairs; write policy=rolling and so on, or one \
                 JSON object for all of them",
            ),
        ] {
            assert_eq!(refused(&changes), [message]);
        }
        assert_eq!(refused(&json!({ "batch_size": 0, "on_failure": "x" })).len(), 2);
    }

    #[test]
    fn what_the_two_schemas_have_in_common_means_the_same() {
        let parts = |schema: &Value, part: &str| schema[part].as_object().expect("parts").clone();
        let (ours, theirs) =
            (document::schema::<RollingDeploymentConfig>(), document::schema::<ProviderConfig>());
        for (name, type_of_theirs) in parts(&theirs, "$defs") {
            let of_ours = &ours["$defs"][&name];
            assert!(of_ours.is_null() || *of_ours == type_of_theirs, "{name}");
        }
        let all = parts(&schema(), "properties").len();
        assert_eq!(all, parts(&ours, "properties").len() + 2);
    }
}
