//! Commands to a rollout that another process runs, or ran: that process obeys, or this one carries
//! them out. [`crate::rollout::control`] decides what a command does.

use std::sync::Arc;

use rolling_provider::ProviderError;

use super::command_sender::{CommandSender, WaitResult};
use super::control_outcome::ControlOutcome;
use super::executor::RolloutExecutor;
use super::rolling::RollingExecutor;
use super::session::Session;
use crate::record::Record;
use crate::record::command::Command;
use crate::rollout::conditions::refuse_changed_routing;

impl RollingExecutor {
    /// Has the engine at work obey `command`, or carries it out when no engine is at work.
    ///
    /// # Errors
    /// The error of the cloud while the command was left for another engine, or what keeps the
    /// rollout from continuing here.
    pub(super) async fn give_command(
        &mut self,
        command: Command,
        session: &mut Session<'_>,
    ) -> Result<ControlOutcome, ProviderError> {
        let context = &self.context;
        let (fleet, clock) = (Arc::clone(&self.fleet), Arc::clone(&self.clock));
        let mut sender =
            CommandSender::new(fleet, clock, &context.caller, command, &context.look.record);
        if let Some(answer) = self.idle(command) {
            // A process that cannot know that the owner has ended would take its lease for a
            // rollout under way.
            if command != Command::Resume && self.context.ended_owner().is_some() {
                self.take_lease_off(&sender, session).await?;
            }
            return Ok(ControlOutcome::NoOp(answer));
        }
        let wanted = self.context.goal();
        loop {
            let context = &mut self.context;
            let (observer, look) = (&mut context.observer, &mut context.look);
            let waited = sender.wait_for_acknowledgement(wanted.clone(), observer, look, session);
            match waited.await? {
                WaitResult::Answered(outcome) => return Ok(outcome),
                WaitResult::NobodyAtWork => {}
                WaitResult::TryAgain => {
                    self.take_lease_off(&sender, session).await?;
                    sender.lost_a_race();
                    continue;
                }
            }
            self.take_over(&sender).await?;
            if let Some(report) = self.run_unless_late(&sender, session).await {
                return Ok(ControlOutcome::RanHere(Box::new(report)));
            }
            sender.lost_a_race();
        }
    }

    /// Takes over the lease of an engine that gives no sign of life, and removes it, so that the
    /// engine sees its loss if it wakes up.
    async fn take_lease_off(
        &mut self,
        sender: &CommandSender,
        session: &mut Session<'_>,
    ) -> Result<(), ProviderError> {
        let taken = self.acquire_lease(session).await;
        let taken =
            taken.map_err(|why| ProviderError::invalid("take the lease", "", why.to_string()))?;
        if taken.is_none() {
            self.release().await;
        }
        sender.look(&mut self.context.observer, &mut self.context.look).await
    }

    /// Starts over from the record, to carry the command out on its rollout, whatever the document
    /// says by now.
    async fn take_over(&mut self, sender: &CommandSender) -> Result<(), ProviderError> {
        let record = Record::from_tags(&self.context.look.record).ok().flatten();
        if let Some(record) = record {
            (self.context.wanted, self.context.restart) = (record.to, record.restart);
        }
        self.command = Some(sender.control().clone());
        self.restore_from_last_look()
            .map_err(|why| ProviderError::invalid("read the record", "", why.to_string()))?;
        let allowed = match sender.control().command {
            Command::Resume | Command::Rollback => self.may_begin().await,
            Command::Pause | Command::Abort => {
                refuse_changed_routing(&self.input(self.context.look.at))
            }
        };
        if allowed.is_err() {
            // The next engine must not obey a command that was left for a dead one.
            sender.withdraw(&self.context.look).await;
        }
        allowed
    }
}
