//! What to do after a rollout that did not succeed: the sentences of every front-end.

use crate::model::event::{Cause, DelegatedRolloutReport, Outcome, Report};

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextStep {
    /// Nothing.
    Nothing,
    /// Follow what goes on by itself, or end it.
    Follow,
    /// Correct the revision, and begin again.
    CorrectRevision,
    /// Correct the cause, and begin again.
    CorrectCause,
    /// The same, or go back: some instances run the new revision, or all.
    CorrectOrRollBack,
    /// Correct the cause, and begin again, which only puts back what is borrowed.
    Restore,
    /// Find capacity, and begin again.
    FindCapacity,
    /// Correct a hook of the document, and begin again.
    MendHook,
    /// Have a lifecycle hook of the fleet completed, and begin again.
    CompleteHook,
    /// Begin again when the revision is to be rolled out after all: somebody took it back.
    RollForward,
    /// Begin again, and decide in time.
    DecideInTime,
    /// Leave it to the rollout that came in its place.
    LeaveToAnother,
    /// Begin again, which finishes it.
    Finish,
    /// Begin again, if it is to be rolled out after all.
    BeginAnew,
    /// The same, or go back: some instances run the new revision, or all.
    BeginAnewOrRollBack,
    /// Decide what becomes of a rollout that is paused.
    Decide,
    /// Wait for another engine.
    Wait,
    /// Wait for a rollout of the platform by another document, or end it.
    WaitForPlatform,
    /// Wait for what somebody else does.
    WaitForOthers,
    /// See what is so now.
    LookAgain,
}

/// How somebody acts who has this front-end before them. Each is a clause without a capital.
#[derive(Clone, Debug)]
pub(crate) struct Wording<'a> {
    /// Begins again.
    pub(crate) again: &'a str,
    /// Decides what becomes of a rollout that is paused.
    pub(crate) decide: &'a str,
    /// Goes back to the completed revision.
    pub(crate) roll_back: &'a str,
    /// Follows an instance refresh, or ends it.
    pub(crate) follow: &'a str,
    /// Waits for another engine, or ends it.
    pub(crate) wait: &'a str,
    /// Looks again.
    pub(crate) look: &'a str,
}

impl NextStep {
    /// Returns what to do after this end.
    pub(crate) fn after(report: &Report) -> NextStep {
        let still_running = report.delegated_rollout.as_ref().is_some_and(|it| it.still_running);
        match report.outcome {
            Outcome::Succeeded => NextStep::Nothing,
            Outcome::Locked if report.overtaken => NextStep::LookAgain,
            Outcome::Locked if still_running => NextStep::WaitForPlatform,
            Outcome::Locked if report.cause == Some(Cause::Others) => NextStep::WaitForOthers,
            Outcome::Locked => NextStep::Wait,
            _ if still_running => NextStep::Follow,
            Outcome::Paused if report.cause == Some(Cause::Superseded) => NextStep::LeaveToAnother,
            Outcome::Paused => NextStep::Decide,
            Outcome::Aborted if report.interrupted => NextStep::Finish,
            Outcome::Aborted if can_go_back(report) => NextStep::BeginAnewOrRollBack,
            Outcome::Aborted => NextStep::BeginAnew,
            Outcome::RolledBack | Outcome::Failed => NextStep::after_failure(report),
        }
    }

    /// Returns what to do about what a rollout failed by, or went back for.
    fn after_failure(report: &Report) -> NextStep {
        let is_back = report.outcome == Outcome::RolledBack;
        match report.cause {
            _ if report.is_unrestored() => NextStep::Restore,
            Some(Cause::Capacity) => NextStep::FindCapacity,
            Some(Cause::Hook) => NextStep::MendHook,
            Some(Cause::LifecycleHook) => NextStep::CompleteHook,
            Some(Cause::Command) if is_back => NextStep::RollForward,
            Some(Cause::Undecided) if is_back => NextStep::DecideInTime,
            Some(Cause::Revision) if is_back => NextStep::CorrectRevision,
            _ if !is_back && can_go_back(report) => NextStep::CorrectOrRollBack,
            _ => NextStep::CorrectCause,
        }
    }

    /// Says it as a clause without a capital; empty for nothing.
    pub(crate) fn sentence(self, wording: &Wording<'_>) -> String {
        let Wording { again, decide, roll_back, follow, wait, look } = wording;
        match self {
            NextStep::Nothing => String::new(),
            NextStep::Follow => (*follow).to_owned(),
            NextStep::CorrectRevision => format!("correct the revision, then {again}"),
            NextStep::CorrectCause => format!("correct the cause, then {again}"),
            NextStep::CorrectOrRollBack => {
                format!("correct the cause, then {again}; or {roll_back}")
            }
            NextStep::FindCapacity => format!(
                "wait until there is capacity, raise the quota, or allow other instance types or zones; \
                 then {again}"
            ),
            NextStep::Restore => {
                format!("correct the cause, then {again}, which only restores what is borrowed")
            }
            NextStep::MendHook => format!("see why the hook did not succeed, then {again}"),
            NextStep::CompleteHook => format!(
                "have the lifecycle hook completed in time, or set lifecycle_hooks to complete, then \
                 {again}"
            ),
            NextStep::RollForward => {
                format!("to roll forward all the same, {again}")
            }
            NextStep::DecideInTime => {
                format!("{again}, and decide at the checkpoint before its time is over")
            }
            NextStep::LeaveToAnother => {
                "nothing: the rollout that came in its place goes on from here".to_owned()
            }
            NextStep::Finish => format!("{again} to finish"),
            NextStep::BeginAnew => format!("to roll it out after all, {again}"),
            NextStep::BeginAnewOrRollBack => {
                format!("to roll it out after all, {again}; or {roll_back}")
            }
            NextStep::Decide => (*decide).to_owned(),
            NextStep::Wait => (*wait).to_owned(),
            NextStep::WaitForPlatform => format!(
                "wait for it to end, or end it with the document that it was begun with; then {again}"
            ),
            NextStep::WaitForOthers => format!("wait for that to end, then {again}"),
            NextStep::LookAgain => (*look).to_owned(),
        }
    }
}

/// Capitalizes a message; a path or a name at its start stays as it is.
pub(crate) fn capital(message: &str) -> String {
    let is_word = message
        .split([' ', ':'])
        .next()
        .is_some_and(|first| first.chars().all(|c| c.is_ascii_lowercase()));
    if !is_word || message.split_once(": ").is_some_and(|(first, _)| !first.contains(' ')) {
        return message.to_owned();
    }
    let (first, remaining) = message.split_at(1);
    first.to_ascii_uppercase() + remaining
}

/// Whether instances run the wanted revision, and another one is the completed one. A platform's own
/// rollout that is over is none that could go back.
fn can_go_back(report: &Report) -> bool {
    let wanted = Some(&report.to);
    // Its own way back did not get there.
    let takes_back = |it: &DelegatedRolloutReport| it.takes_back.as_ref() == wanted;
    if report.delegated_rollout.as_ref().is_some_and(takes_back) {
        return true;
    }
    report.delegated_rollout.is_none()
        && report.instances.iter().any(|instance| instance.revision.as_ref() == wanted)
        && report.completed.is_some()
        && report.completed.as_ref() != wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_capitalized_and_a_name_is_not() {
        assert_eq!(capital("one target"), "One target");
        assert_eq!(capital("policy: wrong"), "policy: wrong");
        assert_eq!(capital("\"x\" is wrong"), "\"x\" is wrong");
        assert_eq!(capital("web_1 is wrong"), "web_1 is wrong");
    }
}
