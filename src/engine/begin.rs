//! Finds, by reads only, what keeps a rollout from beginning.

use std::sync::Arc;

use rolling_provider::{ErrorKind, ProviderError};

use super::Rollout;
use super::look_up::with_retries;
use crate::model::spec::{OnFailure, Window};
use crate::record::command::Command;
use crate::record::{Ending, Phase, routing_fingerprint};
use crate::rollout::instance_refresh::{self, Next};
use crate::rollout::planner;

impl Rollout {
    /// Checks that nothing stands in the way of the rollout that this document would begin or
    /// continue now.
    ///
    /// # Errors
    /// What stands in the way, or why the cloud could not be asked.
    pub async fn may_begin(&self) -> Result<(), ProviderError> {
        if self.is_instance_refresh() {
            return match self.next() {
                Next::Nothing | Next::Foreign(_) => Ok(()),
                Next::Join(_) => self.ask_whether_it_may(false).await,
                Next::Start => {
                    self.refuse_instance_refresh()?;
                    self.ask_whether_it_may(true).await
                }
            };
        }
        // A rollback does not need what is gone.
        let goes_back =
            self.command.as_ref().is_some_and(|command| command.command == Command::Rollback);
        if let Some(hindrance) = self.target.hindrances.first().filter(|_| !goes_back) {
            return Err(hindrance.clone());
        }
        self.refuse_changed_routing()?;
        self.refuse_surge()?;
        if !planner::is_converged(&self.input(self.look.at)) && !self.waits_for_operator() {
            let is_under_way = self.record().is_some_and(|record| !record.is_over());
            // A command, such as a rollback after a failure, starts from what the failure has left.
            let begins = !is_under_way && self.command.is_none();
            self.ask_whether_it_may(begins).await?;
        }
        self.refuse_shifted_requests()
    }

    /// Whether the rollout is paused, so that another run without a command changes nothing.
    pub fn waits_for_operator(&self) -> bool {
        self.command.is_none()
            && self.record().is_some_and(|record| {
                record.phase == Phase::Halted(Ending::Paused) && record.to == self.wanted
            })
    }

    /// Returns the conflict that keeps any rollout from beginning on the fleet now, if the cloud
    /// reports one.
    pub async fn conflict(&self) -> Option<ProviderError> {
        let refused = self.ask_whether_it_may(false).await.err();
        refused.filter(|error| error.kind == ErrorKind::Conflict)
    }

    async fn ask_whether_it_may(&self, begins: bool) -> Result<(), ProviderError> {
        let (fleet, clock) = (Arc::clone(&self.fleet), Arc::clone(&self.clock));
        with_retries(&*clock, self.caller.jitter, || fleet.may_roll(begins)).await
    }

    /// Refuses surge for a fleet beside which nothing can be launched.
    fn refuse_surge(&self) -> Result<(), ProviderError> {
        let Some(why) = &self.target.no_surge else { return Ok(()) };
        if Window::resolve(self.spec.policy, self.look.desired()).surge == 0 {
            return Ok(());
        }
        let policy = self.spec.policy.name();
        let message = format!("the policy {policy} launches instances beside the fleet, and {why}");
        let error = ProviderError::invalid("check the policy", "policy", message);
        Err(error.with_remedy("use rolling with a batch size, or all_at_once"))
    }

    /// Refuses to begin while requests are shifted: before a rollout none are.
    fn refuse_shifted_requests(&self) -> Result<(), ProviderError> {
        let percent = self.look.shifted.iter().flatten().max().copied().unwrap_or_default();
        if self.record().is_some_and(|record| !record.is_over()) || percent == 0 {
            return Ok(());
        }
        let message = format!(
            "{percent} % of the requests go to the second target group before anything was done"
        );
        let place = "traffic/listener_rule_arns";
        let error =
            ProviderError::invalid("check the listener rules", place, message).as_conflict();
        Err(error.with_remedy("give it the weight 0 in every rule"))
    }

    /// Refuses what stands in the way of an instance refresh.
    fn refuse_instance_refresh(&self) -> Result<(), ProviderError> {
        instance_refresh::preferences(&self.spec, self.size())?;
        let refuse = |attribute: &str, message: String, remedy: &str| {
            let error = ProviderError::invalid("check the group", attribute, message);
            Err(error.with_remedy(remedy))
        };
        let mut old = instance_refresh::old(&self.spec, &self.target, &self.look);
        if let Some((id, _)) = old.find(|(_, instance)| instance.ignored) {
            let message =
                format!("{id} is tagged rolling:ignore, which an instance refresh does not");
            let remedy = "take the tag off, protect it from scale-in with \
                          scale_in_protected_instances = \"ignore\", or roll with engine rolling";
            return refuse("engine", message + " heed", remedy);
        }
        let template = self.look.template.as_ref();
        if let Some(alias) = template.filter(|found| self.target.aliases.contains_key(found))
            && self.spec.on_failure == OnFailure::Rollback
        {
            let message =
                format!("the group launches {alias}, and to an alias no refresh goes back");
            let remedy = "set the group's launch template to a version by number, or choose \
                          on_failure stop";
            return refuse("on_failure", message, remedy);
        }
        if let Some(why) = self.target.no_auto_rollback.as_ref()
            && self.spec.on_failure == OnFailure::Rollback
        {
            let remedy = "name the image by its id, choose on_failure stop, or roll with engine \
                          rolling";
            return refuse(
                "on_failure",
                format!("{why}, and AWS takes no refresh back then"),
                remedy,
            );
        }
        Ok(())
    }

    /// Refuses a document that changes how the rollout under way shifts requests. Shifted requests
    /// come back the way they went, so a rollout continues and ends with the routing that it began
    /// with.
    ///
    /// # Errors
    /// Names the rollout.
    pub(super) fn refuse_changed_routing(&self) -> Result<(), ProviderError> {
        let routing_fingerprint =
            self.spec.policy.shifts().then(|| routing_fingerprint(&self.target));
        let record = self.record().filter(|record| !record.is_over());
        let Some(record) = record.filter(|record| record.borrowed.shifts != routing_fingerprint)
        else {
            return Ok(());
        };
        let (place, which) = match (&record.borrowed.shifts, routing_fingerprint) {
            (Some(_), Some(_)) => ("traffic", "shifts requests by other rules, or elsewhere"),
            (Some(_), None) => ("policy", "shifts requests"),
            (None, _) => ("policy", "does not shift requests"),
        };
        let message = format!("rollout {} is {}, and {which}", record.id, record.status());
        let error = ProviderError::invalid("check the document", place, message).as_conflict();
        Err(error.with_remedy(format!(
            "finish or abort it with the document that it began with, and change {place} then; an \
             abort goes on without rules that are gone",
        )))
    }
}
