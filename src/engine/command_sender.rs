//! The caller's side of a command: leaves it on the target for the engine at work, waits until that
//! has acknowledged it, and withdraws it. [`PendingCommand`] decides.

use std::sync::Arc;
use std::time::Duration;

use rolling_provider::{Action, Clock, Fleet, Goal, Observation, ProviderError, Tags};

use super::caller::Caller;
use super::control_outcome::ControlOutcome;
use super::look_up::with_retries;
use super::observer::Observer;
use super::retry::Retry;
use super::session::Session;
use crate::record::command::{Command, Control};
use crate::record::lease::is_fresh;
use crate::record::{CONTROL, Record};
use crate::rollout::control::{
    self, ACKNOWLEDGED_WITHIN, CommandReply, CommandStep, PendingCommand, command_id,
};

/// The interval of looks for the acknowledgement of a command.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The result of waiting for the acknowledgement of a command.
pub(super) enum WaitResult {
    /// There is an answer for the caller.
    Answered(ControlOutcome),
    /// No engine lives that could obey.
    NobodyAtWork,
    /// The rollout that the command is about is not recorded, and the engine that was about to
    /// begin it is silent.
    TryAgain,
}

/// See the module.
pub(super) struct CommandSender {
    fleet: Arc<dyn Fleet>,
    clock: Arc<dyn Clock>,
    caller: Caller,
    waiting: PendingCommand,
    /// The writes of the command that fail.
    writes: Retry,
}

impl CommandSender {
    /// Returns the sender of `command` about what `look` shows. It has sent nothing yet.
    pub(super) fn new(
        fleet: Arc<dyn Fleet>,
        clock: Arc<dyn Clock>,
        caller: &Caller,
        command: Command,
        look: &Tags,
    ) -> Self {
        let owner = caller.owner.clone();
        let id = command_id(&caller.rollout_id, &owner, command, clock.wall());
        let mut waiting = PendingCommand::new(command, id, owner, look);
        waiting.supersede_with(caller.supersedes_with.clone());
        let writes = Retry::every(LOOK_EVERY);
        Self { fleet, clock, caller: caller.clone(), waiting, writes }
    }

    /// The command.
    pub(super) fn control(&self) -> &Control {
        self.waiting.control()
    }

    /// Whether the command still has to be carried out here, now that this process has the lease
    /// and `look` shows that.
    pub(super) fn is_to_be_carried_out(&self, look: &Observation) -> bool {
        self.waiting.is_to_be_carried_out(&look.record)
    }

    /// Notes that another process took the lease first: the command is for that process from now
    /// on.
    pub(super) fn lost_a_race(&mut self) {
        self.waiting.lost_a_race();
        self.writes.succeeded();
    }

    /// Leaves the command on the target while an engine holds the lease, and waits until the engine
    /// acknowledges it. `look` is the last look, here as there; `wanted` is where a rollout leads
    /// that shows no record.
    ///
    /// # Errors
    /// The error of the cloud.
    pub(super) async fn wait_for_acknowledgement(
        &mut self,
        wanted: Goal,
        observer: &mut Observer,
        look: &mut Observation,
        session: &mut Session<'_>,
    ) -> Result<WaitResult, ProviderError> {
        let mut to = wanted;
        if !is_fresh(look.at, self.clock.now()) {
            self.look(observer, look).await?;
        }
        loop {
            let record = Record::from_tags(&look.record).ok().flatten();
            to = record.as_ref().map_or(to, |record| record.goal());
            let (me, is_gone) = (&self.caller.owner, self.caller.is_gone);
            let next = self.waiting.judge(&look.record, me, is_gone, self.clock.now());
            let by = self.waiting.owner().unwrap_or_default().to_owned();
            let acknowledged =
                |by, answer| ControlOutcome::Acknowledged(by, answer, record.clone().map(Box::new));
            let pause = match next {
                CommandStep::CarryOut => return Ok(WaitResult::NobodyAtWork),
                CommandStep::RemoveLease => return Ok(WaitResult::TryAgain),
                CommandStep::Acknowledged(answer) => {
                    return Ok(WaitResult::Answered(acknowledged(by, answer)));
                }
                CommandStep::NoOp(answer) => {
                    self.withdraw(look).await;
                    return Ok(WaitResult::Answered(ControlOutcome::NoOp(answer)));
                }
                CommandStep::Over => {
                    self.withdraw(look).await;
                    let answer = self.ended_meanwhile(&to, look);
                    return Ok(WaitResult::Answered(acknowledged(by, answer)));
                }
                CommandStep::TimedOut(owner) => {
                    return Ok(WaitResult::Answered(ControlOutcome::TimedOut(owner)));
                }
                CommandStep::Send => self.send().await?,
                CommandStep::Look => LOOK_EVERY,
            };
            session.pause(&*self.clock, pause).await;
            self.look(observer, look).await?;
            if session.is_stopping() {
                return Ok(WaitResult::Answered(ControlOutcome::Sent(by)));
            }
        }
    }

    /// Writes the command beside the record. A write that another one came before is retried after
    /// a look: the engine at work may write in the same moment. Returns the pause before that look.
    async fn send(&mut self) -> Result<Duration, ProviderError> {
        let tags = self.control().tags();
        let Err(error) = self.fleet.act(&Action::WriteRecord { tags }).await else {
            return Ok(LOOK_EVERY);
        };
        let pause = self.writes.failed(self.clock.now(), ACKNOWLEDGED_WITHIN);
        let Some(pause) = pause.filter(|_| error.is_retryable()) else { return Err(error) };
        tracing::debug!(%error, "trying again");
        Ok(pause)
    }

    /// Looks at the target, between looks of a run.
    ///
    /// # Errors
    /// The error of the cloud.
    pub(super) async fn look(
        &self,
        observer: &mut Observer,
        look: &mut Observation,
    ) -> Result<(), ProviderError> {
        observer.looks_now();
        let jitter = self.caller.jitter;
        *look = with_retries(&*self.clock, jitter, || self.fleet.observe()).await?;
        Ok(())
    }

    /// Removes from the target a command that no engine is to obey any more. A failure does no
    /// harm: the command names a rollout that is over, or the engine at work acknowledges it.
    pub(super) async fn withdraw(&self, look: &Observation) {
        let pending = Control::from_tags(&look.record);
        if pending.is_some_and(|pending| pending.id == self.control().id) {
            let keys = [CONTROL.to_owned()].into();
            if let Err(error) = self.fleet.act(&Action::EraseRecord { keys }).await {
                tracing::debug!(%error, "cannot delete the command's tag");
            }
        }
    }

    /// Returns the answer where the rollout to `to` ended before the command was acknowledged.
    fn ended_meanwhile(&self, to: &Goal, look: &Observation) -> CommandReply {
        let mut live = look.instances.values().filter(|i| i.lifecycle.is_live());
        let arrived = live.all(|instance| to.is_met_by(instance));
        let waiting = &self.waiting;
        control::ended(self.control().command, waiting.owner(), waiting.has_begun(), arrived)
    }
}
