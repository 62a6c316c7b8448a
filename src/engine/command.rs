//! Commands from one process to a rollout that another process runs, or ran.
//! [`crate::rollout::control`] decides what a command does.

use std::time::Duration;

use rolling_provider::{Action, ProviderError, Revision};
use tokio::sync::watch;

use super::look_up::with_retries;
use super::session::Session;
use super::{Rollout, Stop};
use crate::model::event::{Envelope, Report};
use crate::record::command::{Command, Control};
use crate::record::lease::is_fresh;
use crate::record::{CONTROL, KEYS, Record};
use crate::rollout::control::{self, Answer, Next, Waiting, command_id};
use crate::rollout::planner;

/// The interval of looks for the acknowledgement of a command.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The result of a command.
#[derive(Debug)]
pub enum ControlOutcome {
    /// The command could not change anything.
    NoOp(Answer),
    /// The engine at work has obeyed, or has ended: its owner, the answer for the caller, and the
    /// record at that time.
    Acknowledged(String, Answer, Option<Box<Record>>),
    /// No engine was at work, so this process carried the command out.
    RanHere(Box<Report>),
    /// An engine is at work and did not react.
    TimedOut(String),
    /// The command is left for the engine that holds the lease, and the caller waits no longer.
    Sent(String),
}

/// The result of waiting for the acknowledgement of a command.
enum WaitResult {
    /// There is an answer for the caller.
    Answered(ControlOutcome),
    /// No engine lives that could obey.
    NobodyAtWork,
    /// The rollout that the command is about is not recorded, and the engine that was about to
    /// begin it is silent.
    TryAgain,
}

impl ControlOutcome {
    /// Returns the answer to `command`, and whether that is what the caller asked for. `None` when
    /// this process carried the command out: the report has the answer.
    pub fn answer(&self, command: Command) -> Option<Answer> {
        let answer = |message| Some(Answer { message, as_asked: false });
        match self {
            ControlOutcome::NoOp(answer) | ControlOutcome::Acknowledged(_, answer, _) => {
                Some(answer.clone())
            }
            ControlOutcome::RanHere(_) => None,
            ControlOutcome::TimedOut(owner) => {
                answer(format!("{owner} is at work and does not react; try again"))
            }
            ControlOutcome::Sent(owner) => answer(format!(
                "the command {} is left for {owner}, which has not reacted yet; the status tells \
                 whether it has",
                command.name()
            )),
        }
    }

    /// Whether the command did what the caller asked for.
    pub fn is_as_asked(&self, command: Command) -> bool {
        match self {
            ControlOutcome::RanHere(report) => control::is_as_asked(command, report.outcome),
            other => other.answer(command).is_some_and(|answer| answer.as_asked),
        }
    }
}

impl Rollout {
    /// Removes from the target what an ended rollout left there to be read. Touches nothing else.
    ///
    /// # Errors
    /// The error of the cloud, or that the rollout has not ended.
    pub async fn forget(&self) -> Result<(), ProviderError> {
        if let Some(record) = record_of(self).filter(|record| !record.is_over()) {
            let message =
                format!("rollout {} is {}, and holds what is borrowed", record.id, record.status());
            return Err(ProviderError::invalid("remove the rollout record", "", message));
        }
        if !KEYS.iter().any(|key| self.look.record.contains_key(*key)) {
            return Ok(());
        }
        for step in planner::erase(&self.input(self.look.at)) {
            self.fleet.act(&step.action).await?;
        }
        Ok(())
    }

    /// Returns why `command` could change nothing on the target, if so.
    pub fn idle(&self, command: Command) -> Option<Answer> {
        if self.is_instance_refresh() {
            return self.no_op_on_instance_refresh(command);
        }
        control::no_op(command, record_of(self), self.lease().is_some())
    }

    /// Makes the engine at work obey `command`, or carries it out when no engine is at work. When
    /// several processes begin to carry it out, one does, and the others leave the command with
    /// that one.
    ///
    /// # Errors
    /// The error of the cloud while the command was left for another engine, or what keeps the
    /// rollout from continuing here.
    pub async fn command(
        mut self,
        command: Command,
        stop: watch::Receiver<Stop>,
        emit: &mut (dyn FnMut(Envelope) + Send),
    ) -> Result<ControlOutcome, ProviderError> {
        if self.is_instance_refresh() {
            return self.command_instance_refresh(command, stop, emit).await;
        }
        if let Some(answer) = self.idle(command) {
            // A process that cannot know that the owner has ended would take its lease for a
            // rollout under way.
            if command != Command::Resume && self.ended_owner().is_some() {
                let mut session = Session::new(&self.caller.rollout_id, stop, emit);
                self.take_lease_off(&mut session).await?;
            }
            return Ok(ControlOutcome::NoOp(answer));
        }
        let owner = self.caller.owner.clone();
        let id = command_id(&self.caller.rollout_id, &owner, command, self.clock.wall());
        let mut waiting = Waiting::new(command, id, owner, &self.look.record);
        let mut session = Session::new(&self.caller.rollout_id, stop, emit);
        loop {
            match self.wait_for_acknowledgement(&mut waiting, &mut session).await? {
                WaitResult::Answered(commanded) => return Ok(commanded),
                WaitResult::NobodyAtWork => {}
                WaitResult::TryAgain => {
                    self.take_lease_off(&mut session).await?;
                    waiting.lost_a_race();
                    continue;
                }
            }
            self.take_over(&waiting).await?;
            if let Some(report) = self.run_unless_late(&waiting, &mut session).await {
                return Ok(ControlOutcome::RanHere(Box::new(report)));
            }
            waiting.lost_a_race();
        }
    }

    /// Leaves the command on the target while an engine holds the lease, and waits until the engine
    /// acknowledges it.
    async fn wait_for_acknowledgement(
        &mut self,
        waiting: &mut Waiting,
        session: &mut Session<'_>,
    ) -> Result<WaitResult, ProviderError> {
        let mut to = self.wanted.clone();
        if !is_fresh(self.look.at, self.clock.now()) {
            self.look_for_command().await?;
        }
        loop {
            let record = Record::from_tags(&self.look.record).ok().flatten();
            to = record.as_ref().map_or(to, |record| record.to.clone());
            let (me, is_gone) = (&self.caller.owner, self.caller.is_gone);
            let next = waiting.judge(&self.look.record, me, is_gone, self.clock.now());
            let by = waiting.owner().unwrap_or_default().to_owned();
            match next {
                Next::CarryOut => return Ok(WaitResult::NobodyAtWork),
                Next::RemoveLease => return Ok(WaitResult::TryAgain),
                Next::Acknowledged(answer) => {
                    return Ok(WaitResult::Answered(ControlOutcome::Acknowledged(
                        by,
                        answer,
                        record.map(Box::new),
                    )));
                }
                Next::NoOp(answer) => {
                    self.withdraw(waiting).await;
                    return Ok(WaitResult::Answered(ControlOutcome::NoOp(answer)));
                }
                Next::Over => {
                    self.withdraw(waiting).await;
                    let answer = self.ended_meanwhile(waiting, &to);
                    return Ok(WaitResult::Answered(ControlOutcome::Acknowledged(
                        by,
                        answer,
                        record.map(Box::new),
                    )));
                }
                Next::TimedOut(owner) => {
                    return Ok(WaitResult::Answered(ControlOutcome::TimedOut(owner)));
                }
                Next::Send => self.send_command(waiting).await?,
                Next::Look => {}
            }
            self.pause(LOOK_EVERY, session).await;
            self.look_for_command().await?;
            if session.is_stopping() {
                return Ok(WaitResult::Answered(ControlOutcome::Sent(by)));
            }
        }
    }

    /// Writes the command beside the record. A write that another one came before is retried after
    /// a look: the engine at work may write in the same moment.
    async fn send_command(&self, waiting: &Waiting) -> Result<(), ProviderError> {
        let tags = waiting.control().tags();
        match self.fleet.act(&Action::WriteRecord { tags }).await {
            Err(error) if !error.is_retryable() => Err(error),
            Err(error) if waiting.has_timed_out(self.clock.now()) => Err(error),
            Err(error) => {
                tracing::debug!(%error, "trying again");
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }

    /// Returns the answer where the rollout to `to` ended before the command was acknowledged.
    fn ended_meanwhile(&self, waiting: &Waiting, to: &Revision) -> Answer {
        let live = self.look.instances.values().filter(|i| i.lifecycle.is_live());
        let arrived = live.map(|i| i.revision.as_ref()).all(|it| it == Some(to));
        let command = waiting.control().command;
        control::ended(command, waiting.owner(), waiting.has_begun(), arrived)
    }

    /// Takes over the lease of an engine that gives no sign of life, and removes it, so that the
    /// engine sees its loss if it wakes up.
    async fn take_lease_off(&mut self, session: &mut Session<'_>) -> Result<(), ProviderError> {
        let taken = self.acquire_lease(session).await;
        let taken =
            taken.map_err(|why| ProviderError::invalid("take the lease", "", why.to_string()))?;
        if taken.is_none() {
            self.release().await;
        }
        self.look_for_command().await
    }

    async fn look_for_command(&mut self) -> Result<(), ProviderError> {
        let fleet = &self.fleet;
        self.observer.looks_now();
        self.look = with_retries(&*self.clock, self.caller.jitter, || fleet.observe()).await?;
        Ok(())
    }

    /// Removes from the target a command that no engine is to obey any more. A failure does no
    /// harm: the command names a rollout that is over, or the engine at work acknowledges it.
    async fn withdraw(&self, waiting: &Waiting) {
        let pending = Control::from_tags(&self.look.record);
        if pending.is_some_and(|pending| pending.id == waiting.control().id) {
            let keys = [CONTROL.to_owned()].into();
            if let Err(error) = self.fleet.act(&Action::EraseRecord { keys }).await {
                tracing::debug!(%error, "cannot delete the command's tag");
            }
        }
    }

    /// Starts over from the record, to carry the command out on its rollout, whatever the document
    /// says by now.
    async fn take_over(&mut self, waiting: &Waiting) -> Result<(), ProviderError> {
        let record = Record::from_tags(&self.look.record).ok().flatten();
        self.wanted = record.map_or(self.wanted.clone(), |record| record.to);
        self.command = Some(waiting.control().clone());
        let look = self.look.clone();
        self.restore_from_record(look)
            .map_err(|why| ProviderError::invalid("read the record", "", why.to_string()))?;
        let allowed = match waiting.control().command {
            Command::Resume | Command::Rollback => self.may_begin().await,
            Command::Pause | Command::Abort => self.refuse_changed_routing(),
        };
        if allowed.is_err() {
            // The next engine must not obey a command that was left for a dead one.
            self.withdraw(waiting).await;
        }
        allowed
    }
}

fn record_of(rollout: &Rollout) -> Option<&Record> {
    rollout.state.record.as_ref()
}
