//! Restarts: instances of the wanted revision that are replaced all the same.

use super::deadlines::CLOCKS_DIFFER;
use super::input::Input;
use super::{View, run_by};
use crate::model::wait::{Wait, WaitKind};

/// Waits before a restart is begun until its time has passed by any clock.
///
/// What is launched afterwards is thus dated later than that, and the same restart applied again has
/// nothing to do.
pub(super) fn wait_for_clocks(input: &Input<'_>) -> Option<Wait> {
    let deadline = input.target.restart?.before + CLOCKS_DIFFER;
    (input.state.record.is_none() && input.now < deadline).then(|| Wait {
        kind: WaitKind::Change,
        instances: Vec::new(),
        detail: Some("the cloud's clock may be behind the time of the restart".into()),
        deadline,
    })
}

/// Whether the rollout only restarts what the fleet runs: there is no other revision to go back to.
pub(super) fn is_same_again(input: &Input<'_>, view: &View<'_>) -> bool {
    let to = &input.target.revision;
    input.target.restart.is_some() && run_by::adopted(input, view).as_ref() == Some(to)
}
