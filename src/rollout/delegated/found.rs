//! What the refresh that is found on a group means for whoever shows it, begins another or gives it
//! a command.

use rolling_provider::{
    DelegatedRollout, DelegatedRolloutState, Observation, ProviderError, Revision, Target,
};

use super::follow::{self, DelegatedDecision, Idle, idle, leads_there, next, status, summary};
use crate::model::preview::Preview;
use crate::model::spec::{Executor, RollingDeployment};
use crate::record::command::Command;
use crate::rollout::control::{CommandReply, no_op};

/// How to proceed with a refresh that another document has begun.
const ITS_OWN_DOCUMENT: &str = "wait for it to end, use the document that it was begun with, or \
                                end it where it was begun";

/// A group and its latest refresh.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DelegatedContext<'a> {
    /// What the platform calls its rollouts.
    pub(crate) kind: &'static str,
    /// The latest rollout of the platform's own, if there is any.
    pub(crate) latest: Option<&'a DelegatedRollout>,
    /// The deployment.
    pub(crate) spec: &'a RollingDeployment,
    /// The group, with the wanted revision.
    pub(crate) target: &'a Target,
    /// The look at the group.
    pub(crate) look: &'a Observation,
    /// The last revision that the whole group ran, where a front-end that keeps state knows it.
    pub(crate) known_completed: Option<&'a Revision>,
}

impl<'a> DelegatedContext<'a> {
    /// Returns what to do about the group.
    pub(crate) fn next(self) -> DelegatedDecision<'a> {
        next(self.latest, self.spec, self.target, self.look)
    }

    /// Returns the refresh to the wanted revision that is under way, if there is one.
    pub(crate) fn under_way(self) -> Option<&'a DelegatedRollout> {
        match self.next() {
            DelegatedDecision::Join(delegated) => Some(delegated),
            DelegatedDecision::Nothing
            | DelegatedDecision::Start
            | DelegatedDecision::Foreign(_) => None,
        }
    }

    /// Returns a sentence about a refresh of another configuration that is under way, if there is
    /// one.
    pub(crate) fn foreign(self) -> Option<String> {
        match self.next() {
            DelegatedDecision::Foreign(delegated) => Some(foreign(delegated)),
            DelegatedDecision::Nothing | DelegatedDecision::Start | DelegatedDecision::Join(_) => {
                None
            }
        }
    }

    /// Returns how far the refresh to the wanted revision is, or how it ended if that still
    /// matters, and why.
    pub(crate) fn status(self) -> Option<(&'static str, Option<String>)> {
        let latest = self.latest.filter(|latest| leads_there(latest, self.target))?;
        let matters = self.next() != DelegatedDecision::Nothing
            && latest.state != DelegatedRolloutState::Succeeded;
        let reason = || latest.rollback_reason.clone().or(latest.reason.clone());
        matters.then(|| (status(latest), reason()))
    }

    /// Returns the last revision that the whole group is known to have run. There is no record, so
    /// the group shows it, or the caller that keeps state.
    pub(crate) fn completed(self) -> Option<&'a Revision> {
        let live = self.look.instances.values().filter(|instance| instance.lifecycle.is_live());
        let mut revisions = live.map(|instance| instance.revision.as_ref());
        let only = revisions.next().flatten();
        let only = only.filter(|only| revisions.all(|revision| revision == Some(*only)));
        let is_over = self.latest.is_none_or(|latest| latest.state.is_over());
        let is_served =
            |only: &&Revision| **only != self.target.revision || self.unproven().is_none();
        only.filter(|_| is_over).filter(is_served).or(self.known_completed)
    }

    /// Returns the instances that do not serve in a group where the cloud has nothing left to
    /// replace, unless the group is known to have served so before.
    pub(crate) fn unproven(self) -> Option<Idle> {
        let is_rolled = self.next() == DelegatedDecision::Nothing;
        let has_served = self.known_completed == Some(&self.target.revision);
        idle(self.spec, self.target, self.look).filter(|_| is_rolled && !has_served)
    }

    /// Adds to a preview what only the refresh under way tells.
    pub(crate) fn add_to(self, preview: &mut Preview) {
        let warning = match self.next() {
            DelegatedDecision::Start => return,
            DelegatedDecision::Nothing => {
                let Some(idle) = self.unproven() else { return };
                let message = idle.message;
                format!(
                    "no instance has to be replaced, but {message}: an apply waits until they serve"
                )
            }
            DelegatedDecision::Join(delegated) => {
                let DelegatedRollout { kind, id, state, takes_back, .. } = delegated;
                let is_back = *state == DelegatedRolloutState::RollingBack;
                let takes_back = takes_back.as_ref().filter(|_| is_back);
                let back = takes_back.map_or(String::new(), |it| format!(", takes {} back", it.to));
                let summary = summary(delegated);
                format!("{kind} {id} is under way{back} and is followed ({summary})")
            }
            DelegatedDecision::Foreign(delegated) => {
                format!("{}: an apply does nothing while it runs", foreign(delegated))
            }
        };
        preview.changes = true;
        preview.warnings.insert(0, warning);
    }

    /// The attribute that has the platform roll.
    fn attribute(self) -> &'static str {
        match self.spec.engine {
            Executor::Environment { .. } => "elastic_beanstalk_environment",
            _ => "engine",
        }
    }

    /// Refuses what only the platform could do, and cannot.
    ///
    /// # Errors
    /// Says what cannot be done, and what can.
    pub(crate) fn allow(self, command: Command) -> Result<(), ProviderError> {
        let name = command.name();
        if matches!(command, Command::Pause | Command::Resume) {
            let (platform, checkpoints) = match self.spec.engine {
                Executor::InstanceRefresh { .. } => {
                    ("AWS", "checkpoints pause it for a set time; ")
                }
                _ => (self.target.controller.unwrap_or("the platform"), ""),
            };
            let message = format!("{platform} cannot {name} an {}", self.kind);
            let error = ProviderError::invalid(name, self.attribute(), message);
            return Err(error.with_remedy(format!(
                "{checkpoints}`rolling abort` ends it, and `rolling rollback` rolls it back"
            )));
        }
        if let Some(message) = self.foreign() {
            let error = ProviderError::invalid(name, self.attribute(), message);
            let to = self.latest.and_then(|latest| latest.to.as_ref());
            let remedy =
                match to.filter(|_| matches!(self.spec.engine, Executor::Environment { .. })) {
                    Some(to) => {
                        format!("wait for it to end, or use a document with version_label {to}")
                    }
                    None => ITS_OWN_DOCUMENT.to_owned(),
                };
            return Err(error.with_remedy(remedy));
        }
        let is_busy = self.target.options.get("Status").is_some_and(|status| status == "Updating");
        if is_busy && self.under_way().is_none() {
            let message =
                format!("there is no rollout to {name} yet: its options are being changed");
            let error = ProviderError::invalid(name, self.attribute(), message).as_conflict();
            return Err(
                error.with_remedy("wait until the version is being deployed, and try again")
            );
        }
        Ok(())
    }

    /// Returns why `command` could change nothing, if so.
    pub(crate) fn idle(self, command: Command) -> Option<CommandReply> {
        let is_there =
            matches!(self.next(), DelegatedDecision::Join(_) | DelegatedDecision::Foreign(_));
        let is_idle = !is_there && matches!(command, Command::Abort | Command::Rollback);
        no_op(command, None, false).filter(|_| is_idle)
    }

    /// Returns what a refresh to the revision has not done, if anything.
    pub(crate) fn not_rolled(self) -> Option<String> {
        let DelegatedContext { spec, target, look, .. } = self;
        if follow::is_done(spec, target, look) {
            return None;
        }
        let old = follow::old(spec, target, look).next();
        Some(match old {
            Some((id, instance)) => {
                let runs = instance.revision.as_ref().map_or("something else", |r| r.as_str());
                format!("{id} still runs {runs}")
            }
            None => format!("the {} does not have {} yet", target.kind, target.revision),
        })
    }
}

/// Returns a sentence about a refresh of another configuration that is under way.
pub(crate) fn foreign(delegated: &DelegatedRollout) -> String {
    let to = delegated.to.as_ref().map_or("another configuration", |to| to.as_str());
    format!("{} {} to {to} is under way ({})", delegated.kind, delegated.id, summary(delegated))
}

/// Whether a refresh in `state` does what `command` asks for.
pub(crate) fn is_obeyed(command: Command, state: DelegatedRolloutState) -> bool {
    match command {
        Command::Abort => state == DelegatedRolloutState::Cancelling,
        Command::Rollback | Command::Pause | Command::Resume => {
            state == DelegatedRolloutState::RollingBack
        }
    }
}

#[cfg(test)]
mod tests {
    use rolling_provider::Capacity;

    use super::super::example::{delegated, spec};
    use super::*;
    use crate::rollout::example::{look, target, with_instance};

    const ROLLING: DelegatedRolloutState = DelegatedRolloutState::Rolling;

    /// Has `check` look at a group with this refresh, where one instance runs `runs`.
    fn with_found<T>(
        latest: Option<&DelegatedRollout>,
        runs: &str,
        known_completed: Option<&Revision>,
        check: impl Fn(DelegatedContext<'_>) -> T,
    ) -> T {
        let (spec, target) = (spec(), target());
        let look = with_instance(look(runs), "i-1", runs);
        check(DelegatedContext {
            kind: "instance refresh",
            latest,
            spec: &spec,
            target: &target,
            look: &look,
            known_completed,
        })
    }

    #[test]
    fn a_change_of_options_is_no_rollout_to_abort() {
        let (spec, mut target) = (spec(), target());
        target.options.insert("Status".to_owned(), "Updating".to_owned());
        let look = with_instance(look("lt-1:1"), "i-1", "lt-1:1");
        let found = |latest| DelegatedContext {
            kind: "environment update",
            latest,
            spec: &spec,
            target: &target,
            look: &look,
            known_completed: None,
        };
        let error = found(None).allow(Command::Abort).expect_err("no rollout");
        assert!(error.message.contains("options are being changed"), "{error}");
        let ours = delegated(ROLLING, Some("lt-1:2"));
        assert!(found(Some(&ours)).allow(Command::Abort).is_ok());
    }

    #[test]
    fn a_command_needs_a_refresh_of_this_document_and_one_that_aws_knows() {
        let ours = delegated(ROLLING, Some("lt-1:2"));
        let foreign = delegated(ROLLING, Some("lt-1:3"));
        for (latest, command, allowed, idle) in [
            (Some(&ours), Command::Abort, true, false),
            (Some(&ours), Command::Rollback, true, false),
            (Some(&ours), Command::Pause, false, false),
            (None, Command::Resume, false, false),
            (None, Command::Abort, true, true),
            (None, Command::Rollback, true, true),
            (Some(&foreign), Command::Abort, false, false),
        ] {
            let case = format!("{command:?} {:?}", latest.map(|latest| &latest.to));
            let found = with_found(latest, "lt-1:1", None, |found| {
                (found.allow(command).is_ok(), found.idle(command).is_some())
            });
            assert_eq!(found, (allowed, idle), "{case}");
        }
        let error = with_found(Some(&foreign), "lt-1:1", None, |found| {
            found.allow(Command::Abort).expect_err("a foreign refresh")
        });
        assert!(error.message.contains("r-1 to lt-1:3 is under way"), "{error}");
    }

    #[test]
    fn a_status_is_that_of_a_refresh_to_the_revision_whose_end_the_group_does_not_show() {
        let status = |state, to, runs| {
            let latest = delegated(state, Some(to));
            with_found(Some(&latest), runs, None, |found| found.status().map(|(status, _)| status))
        };
        assert_eq!(status(ROLLING, "lt-1:2", "lt-1:1"), Some("rolling"));
        assert_eq!(status(ROLLING, "lt-1:3", "lt-1:1"), None);
        let failed = DelegatedRolloutState::Failed;
        assert_eq!(status(failed, "lt-1:2", "lt-1:1"), Some("failed"));
        assert_eq!(status(failed, "lt-1:2", "lt-1:2"), None);
        assert_eq!(status(DelegatedRolloutState::Succeeded, "lt-1:2", "lt-1:1"), None);
    }

    #[test]
    fn the_completed_revision_is_what_all_run_and_serve_with_no_refresh_under_way() {
        let known = Revision::from("lt-1:0");
        let ours = delegated(ROLLING, Some("lt-1:2"));
        let completed = |latest, runs| {
            with_found(latest, runs, Some(&known), |found| found.completed().cloned())
        };
        assert_eq!(completed(None, "lt-1:1"), Some("lt-1:1".into()));
        assert_eq!(completed(None, "lt-1:2"), Some("lt-1:2".into()));
        assert_eq!(completed(Some(&ours), "lt-1:1"), Some(known.clone()));
    }

    #[test]
    fn a_group_that_was_rolled_and_does_not_serve_is_unproven_unless_it_is_known_to_have_served() {
        let (spec, target) = (spec(), target());
        let mut look = with_instance(look("lt-1:2"), "i-1", "lt-1:2");
        let unproven = |look: &Observation, known: Option<&Revision>| {
            let (latest, known_completed) = (None, known);
            let found = DelegatedContext {
                kind: "instance refresh",
                latest,
                spec: &spec,
                target: &target,
                look,
                known_completed,
            };
            found.unproven().map(|idle| idle.message)
        };
        assert_eq!(unproven(&look, None), None);
        look.capacity = Some(Capacity { min: 0, max: 4, desired: 2, units: None });
        let message = unproven(&look, None).expect("one is missing");
        assert!(message.starts_with("1 of 2 instances does not serve"), "{message}");
        assert_eq!(unproven(&look, Some(&target.revision)), None);
    }

    #[test]
    fn a_command_is_obeyed_by_a_refresh_in_the_state_that_it_asks_for() {
        assert!(is_obeyed(Command::Abort, DelegatedRolloutState::Cancelling));
        assert!(!is_obeyed(Command::Abort, DelegatedRolloutState::RollingBack));
        assert!(is_obeyed(Command::Rollback, DelegatedRolloutState::RollingBack));
        assert!(!is_obeyed(Command::Rollback, ROLLING));
    }
}
