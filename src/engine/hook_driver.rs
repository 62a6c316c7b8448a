//! What a hook is about, in the form in which it reaches the user's program or address.

use std::fmt::Debug;

use async_trait::async_trait;
use rolling_provider::InstanceId;
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::event::Outcome;
use crate::model::spec::{Hook, HookPoint};

/// The longest value of an environment variable that lists instances, in bytes: systems take about
/// 128 KiB for one.
const LONGEST_VARIABLE: usize = 100_000;

/// What a hook is about: the JSON that a command reads from its standard input, and that a request
/// has as its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HookMessage {
    /// The point of the rollout.
    pub hook: HookPoint,
    /// The id, the same whenever the same hook is run again: after a failed try, or after a crash.
    pub id: String,
    /// Which try this is, from 1, in this process.
    pub attempt: u32,
    /// Id of the rollout.
    pub rollout: String,
    /// Name of the fleet, for people.
    pub target: String,
    /// The revision that the rollout leads to: the completed one on the way back.
    pub revision: String,
    /// The number of the batch, by all runs of the rollout; 0 before the first.
    pub batch: u32,
    /// The instances that it is about; none for a hook of the whole rollout.
    pub instances: Vec<HookInstance>,
    /// How the rollout is about to end; only for `after_rollout`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

/// An instance that a hook is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HookInstance {
    /// Id of the instance.
    pub id: InstanceId,
    /// Its private address; `null` where the cloud does not know it.
    pub private_address: Option<String>,
    /// The zone that it runs in.
    pub zone: String,
}

impl HookMessage {
    /// Returns the same as environment variables. Lists are separated by spaces; those that a
    /// system may refuse for their length are left out.
    pub(super) fn variables(&self) -> Vec<(&'static str, String)> {
        let list = |text: &dyn Fn(&HookInstance) -> String| {
            self.instances.iter().map(text).collect::<Vec<_>>().join(" ")
        };
        let unknown = || "-".to_owned();
        let lists = [
            ("ROLLING_INSTANCES", list(&|instance| instance.id.to_string())),
            ("ROLLING_ADDRESSES", list(&|it| it.private_address.clone().unwrap_or_else(unknown))),
            ("ROLLING_ZONES", list(&|instance| instance.zone.clone())),
        ];
        let mut all = vec![
            ("ROLLING_HOOK", self.hook.name().to_owned()),
            ("ROLLING_HOOK_ID", self.id.clone()),
            ("ROLLING_ATTEMPT", self.attempt.to_string()),
            ("ROLLING_ROLLOUT", self.rollout.clone()),
            ("ROLLING_TARGET", self.target.clone()),
            ("ROLLING_REVISION", self.revision.clone()),
            ("ROLLING_BATCH", self.batch.to_string()),
        ];
        all.extend(lists.into_iter().filter(|(_, list)| list.len() <= LONGEST_VARIABLE));
        all.extend(self.outcome.map(|outcome| ("ROLLING_OUTCOME", outcome.name().to_owned())));
        all
    }
}

/// Makes the tries of hooks in place of this program: for programs that embed the engine, and for
/// tests on virtual time.
#[async_trait]
pub trait HookDriver: Debug + Send + Sync {
    /// Makes one try, within the hook's timeout. It is dropped when the rollout no longer waits.
    ///
    /// # Errors
    /// Why it does not succeed, as a sentence.
    async fn attempt(&self, hook: &Hook, message: &HookMessage) -> Result<String, String>;
}
