//! Passes a command on to the platform that carries the rollout out.

use rolling_provider::{Cancellation, DelegatedRollout, ProviderError};

use super::delegated_executor::{DelegatedExecutor, rollout_controller};
use super::look_up::with_retries;
use super::message::with_remedy;
use super::session::Session;
use crate::model::event::{DelegatedRolloutStep, Outcome};
use crate::record::command::Command;
use crate::rollout::delegated::{is_obeyed, redeploys};

impl DelegatedExecutor {
    /// Has the platform carry out this process's own command on `found`, unless it already does. One
    /// that it does not take yet is passed on again at the next look.
    pub(super) async fn pass_on(
        &mut self,
        found: &DelegatedRollout,
        session: &mut Session<'_>,
    ) -> Result<(), Outcome> {
        let Some(command) = self.command.filter(|_| !self.is_accepted) else { return Ok(()) };
        if found.state.is_over() || is_obeyed(command, found.state) {
            return Ok(());
        }
        match self.end_early(command, &found.id).await {
            Ok(Some(step)) => {
                self.is_accepted = true;
                self.report_step(&found.id, step, session);
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(_) if self.is_obeyed(command, &found.id, session).await => Ok(()),
            Err(error) => {
                let (name, kind, id) = (command.name(), found.kind, &found.id);
                let why = with_remedy(&error);
                Err(self.context.fail(format!("cannot {name} {kind} {id}: {why}")))
            }
        }
    }

    /// Asks the platform to end the rollout of this id. Returns what it now does, or `None` where it
    /// takes no such request at this moment.
    async fn end_early(
        &self,
        command: Command,
        id: &str,
    ) -> Result<Option<DelegatedRolloutStep>, ProviderError> {
        let rollout_controller = rollout_controller(&*self.fleet)?;
        let (clock, jitter) = (&*self.context.clock, self.context.caller.jitter);
        let (cancelled, step) = match command {
            // Where this program deploys for the way back, that begins once this one has ended.
            Command::Rollback if !redeploys(&self.context.spec) => {
                let answer =
                    with_retries(clock, jitter, || rollout_controller.roll_back(id)).await?;
                (answer, DelegatedRolloutStep::RolledBack)
            }
            Command::Abort | Command::Rollback => {
                let answer = with_retries(clock, jitter, || rollout_controller.cancel(id)).await?;
                (answer, DelegatedRolloutStep::Cancelled)
            }
            Command::Pause | Command::Resume => return Ok(None),
        };
        Ok((cancelled == Cancellation::Accepted).then_some(step))
    }

    /// Whether the rollout does what `command` asks for although the call failed: an answer may
    /// have been lost.
    async fn is_obeyed(&self, command: Command, id: &str, session: &mut Session<'_>) -> bool {
        let found = self.ask(Some(id), session).await.ok().flatten();
        found.is_some_and(|found| is_obeyed(command, found.state))
    }
}
