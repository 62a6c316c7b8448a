//! An instance refresh of the cloud, as a report tells it.

use rolling_provider::{DelegatedRollout, Revision};
use schemars::JsonSchema;
use serde::Serialize;

/// An instance refresh of the cloud, as last seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct InstanceRefreshReport {
    /// Id of the instance refresh.
    pub id: String,
    /// Its status in the cloud's spelling, for example `InProgress`.
    pub status: String,
    /// Why it has that status, in the cloud's words.
    pub reason: Option<String>,
    /// Percentage complete, from 0 to 100. It falls during a rollback.
    pub percent: u32,
    /// The revision that every instance is to run, where it is known.
    pub to: Option<Revision>,
    /// Whether it still runs, without this program.
    pub still_running: bool,
}

impl From<&DelegatedRollout> for InstanceRefreshReport {
    fn from(instance_refresh: &DelegatedRollout) -> Self {
        InstanceRefreshReport {
            id: instance_refresh.id.clone(),
            status: instance_refresh.status.clone(),
            reason: instance_refresh.rollback_reason.clone().or(instance_refresh.reason.clone()),
            percent: instance_refresh.percent,
            to: instance_refresh.to.clone(),
            still_running: !instance_refresh.state.is_over(),
        }
    }
}
