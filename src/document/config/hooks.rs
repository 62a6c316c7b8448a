//! The hooks of a document: which command or request of the user's is made at which point.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{DurationText, SecretText};

/// Commands and requests that are made at points of the rollout.
///
/// Each is made at least once: again if a try fails, and again with the same id if the program was
/// killed meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = super::support::of_hooks)]
pub(crate) struct HooksConfig {
    /// Before anything of the fleet is changed.
    pub(crate) before_rollout: Option<HookConfig>,
    /// Before instances are deregistered, once for each group of them, with the instances. They
    /// receive requests until it has ended. Also during a rollback, where a failure is only reported.
    pub(crate) before_deregister: Option<HookConfig>,
    /// When the new instances of a batch are healthy, before the batch ends, with the instances.
    pub(crate) after_healthy: Option<HookConfig>,
    /// When a batch has ended, with its new instances.
    pub(crate) after_batch: Option<HookConfig>,
    /// When a rollback begins. It cannot prevent the rollback: a failure is only reported.
    pub(crate) before_rollback: Option<HookConfig>,
    /// At the end, with the outcome, which it cannot change: a failure is only reported. Not when
    /// the rollout is paused or interrupted, since it continues later.
    pub(crate) after_rollout: Option<HookConfig>,
}

/// One hook.
///
/// Exactly one of `command` and `http` must be given.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HookConfig {
    /// A command to run on the machine that rolling runs on.
    pub(crate) command: Option<HookCommandConfig>,
    /// A URL to send a request to.
    pub(crate) http: Option<HookHttpConfig>,
    /// How long one try may take. Default `5m`.
    pub(crate) timeout: Option<DurationText>,
    /// How often it is tried until it succeeds, from 1 to 100. Default 3.
    #[schemars(range(min = 1, max = 100))]
    pub(crate) tries: Option<u32>,
    /// What it means that no try succeeds. `fail`: the rollout fails, and the deployment's
    /// `on_failure` applies. `pause`: it waits for a decision. `ignore`: it continues. Default `fail`;
    /// for `before_rollback` and `after_rollout` only `ignore`.
    pub(crate) on_failure: Option<HookFailureName>,
}

/// A command to run.
///
/// It succeeds with the exit code 0. Its input is in its environment (ROLLING_HOOK,
/// ROLLING_HOOK_ID, ROLLING_ATTEMPT, ROLLING_ROLLOUT, ROLLING_TARGET, ROLLING_REVISION,
/// ROLLING_BATCH, ROLLING_OUTCOME, and the lists ROLLING_INSTANCES, ROLLING_ADDRESSES and
/// ROLLING_ZONES) and as JSON on its standard input.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HookCommandConfig {
    /// The program and its arguments. No shell is involved.
    pub(crate) run: Vec<String>,
    /// Additional environment variables; the place for secrets.
    pub(crate) environment: Option<BTreeMap<String, SecretText>>,
}

/// A request to send.
///
/// It is a POST request with its input as JSON, and succeeds with a status from 200 to 299.
/// Redirects are not followed. If a request needs a secret, use a command.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HookHttpConfig {
    /// The URL.
    #[schemars(regex(pattern = "^https?://[^/]+"))]
    pub(crate) url: String,
}

/// What the failure of a hook means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HookFailureName {
    /// The rollout fails.
    Fail,
    /// The rollout pauses.
    Pause,
    /// The rollout continues.
    Ignore,
}

impl JsonSchema for HookFailureName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "HookFailureName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": ["fail", "pause", "ignore"] })
    }
}
