//! What the tests of this module begin with.

use rolling_provider::{DelegatedRollout, DelegatedRolloutState, Timestamp};

use crate::model::spec::RollingDeployment;
use crate::rollout::example;

/// Returns a refresh to the revision `to`.
pub(super) fn delegated(state: DelegatedRolloutState, to: Option<&str>) -> DelegatedRollout {
    DelegatedRollout {
        kind: "instance refresh",
        id: "r-1".into(),
        state,
        status: format!("{state:?}"),
        reason: None,
        rollback_reason: None,
        percent: 30,
        started: Timestamp(0),
        to: to.map(Into::into),
        completed_before: None,
        takes_back: None,
    }
}

/// Returns a deployment with the engine `instance_refresh`.
pub(super) fn spec() -> RollingDeployment {
    example::spec(&serde_json::json!({
        "policy": "immutable", "engine": "instance_refresh",
        "checkpoints": [{ "percentage": 50, "pause": "2h" }],
    }))
}
