//! A rollout that the platform itself carries out, as a report tells it.

use rolling_provider::{DelegatedRollout, Revision};
use schemars::JsonSchema;
use serde::Serialize;

/// A rollout that the platform itself carries out, as last seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DelegatedRolloutReport {
    /// What the platform calls it: `instance refresh`, `environment update`.
    pub kind: &'static str,
    /// Its id.
    pub id: String,
    /// Its status in the cloud's spelling, for example `InProgress`.
    pub status: String,
    /// Why it has that status, in the cloud's words.
    pub reason: Option<String>,
    /// Percentage complete, from 0 to 100. It falls during a rollback.
    pub percent: u32,
    /// The revision that every instance is to run, where it is known.
    pub to: Option<Revision>,
    /// The revision that it takes back, where it deploys what was completed before that again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default)]
    pub takes_back: Option<Revision>,
    /// Whether it still runs, without this program.
    pub still_running: bool,
}

impl From<&DelegatedRollout> for DelegatedRolloutReport {
    fn from(delegated: &DelegatedRollout) -> Self {
        DelegatedRolloutReport {
            kind: delegated.kind,
            id: delegated.id.clone(),
            status: delegated.status.clone(),
            reason: delegated.rollback_reason.clone().or(delegated.reason.clone()),
            percent: delegated.percent,
            to: delegated.to.clone(),
            takes_back: delegated.takes_back.as_ref().map(|it| it.to.clone()),
            still_running: !delegated.state.is_over(),
        }
    }
}
