//! What one process wants of a rollout that another is, or was, at work on. What a command does is
//! decided in [`crate::rollout::control`].

use std::time::Duration;

use rolling_provider::{Action, ProviderError};
use tokio::sync::watch;

use super::emitter::Emitter;
use super::retry::with_retries;
use super::{Rollout, Stop};
use crate::model::event::{Envelope, Report};
use crate::record::command::{Command, Control};
use crate::record::lease::is_fresh;
use crate::record::{CONTROL, KEYS, Record};
use crate::rollout::control::{self, Answer, Next, Waiting, word_id};
use crate::rollout::planner;

/// How often is looked whether the command was heard.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What became of a command.
#[derive(Debug)]
pub enum ControlOutcome {
    /// There was nothing it could change.
    NoOp(Answer),
    /// The engine at work has obeyed, or has ended: who, what is told, and the record as it then stood.
    Acknowledged(String, Answer, Option<Box<Record>>),
    /// Nobody was at work, so it was carried out here.
    RanHere(Box<Report>),
    /// An engine is at work and did not react.
    TimedOut(String),
    /// The command is left for whoever holds the lease, and somebody wanted to wait no longer.
    Sent(String),
}

/// What came of waiting for a command to be heard.
enum WaitResult {
    /// Whoever said it can be told.
    Answered(ControlOutcome),
    /// Nobody lives to hear it.
    NobodyAtWork,
    /// Nobody has recorded what it is about, and whoever was about to is silent.
    TryAgain,
}

impl ControlOutcome {
    /// What whoever said `command` is told, and whether that is what was asked for. `None` of what was
    /// carried out here: the report tells.
    pub fn answer(&self, command: Command) -> Option<Answer> {
        let answer = |message| Some(Answer { message, as_asked: false });
        match self {
            ControlOutcome::NoOp(told) | ControlOutcome::Acknowledged(_, told, _) => {
                Some(told.clone())
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

    /// Whether what was asked for has been done.
    pub fn is_as_asked(&self, command: Command) -> bool {
        match self {
            ControlOutcome::RanHere(report) => control::is_as_asked(command, report.outcome),
            other => other.answer(command).is_some_and(|answer| answer.as_asked),
        }
    }
}

impl Rollout {
    /// Takes off the target what an ended rollout left there to be read. Touches nothing else.
    ///
    /// # Errors
    /// What the cloud said, or that the rollout has not ended.
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

    /// Why `command` could change nothing about what is on the target, if so.
    pub fn idle(&self, command: Command) -> Option<Answer> {
        if self.refreshes() {
            return self.idle_refresh(command);
        }
        control::no_op(command, record_of(self), self.lease().is_some())
    }

    /// Has the engine at work obey `command`; where none is, carries it out. Where several begin to, all
    /// but one leave the command with that one.
    ///
    /// # Errors
    /// What the cloud said while the command was left for another engine; what keeps the rollout from
    /// being gone on with here.
    pub async fn command(
        mut self,
        command: Command,
        mut stop: watch::Receiver<Stop>,
        emit: &mut (dyn FnMut(Envelope) + Send),
    ) -> Result<ControlOutcome, ProviderError> {
        if self.refreshes() {
            return self.command_refresh(command, stop, emit).await;
        }
        if let Some(answer) = self.idle(command) {
            // Who cannot know that it has ended would take its lease for a rollout under way.
            if command != Command::Resume && self.ended_owner().is_some() {
                let mut emit = Emitter::new(&self.caller.rollout_id, emit);
                self.take_lease_off(&mut stop, &mut emit).await?;
            }
            return Ok(ControlOutcome::NoOp(answer));
        }
        let owner = self.caller.owner.clone();
        let id = word_id(&self.caller.rollout_id, &owner, command, self.clock.wall());
        let mut waiting = Waiting::new(command, id, owner, &self.look.record);
        let mut emit = Emitter::new(&self.caller.rollout_id, emit);
        loop {
            match self.wait_for_acknowledgement(&mut waiting, &mut stop).await? {
                WaitResult::Answered(commanded) => return Ok(commanded),
                WaitResult::NobodyAtWork => {}
                WaitResult::TryAgain => {
                    self.take_lease_off(&mut stop, &mut emit).await?;
                    waiting.lost_a_race();
                    continue;
                }
            }
            self.take_over(&waiting).await?;
            if let Some(report) = self.run_unless_late(&waiting, &mut stop, &mut emit).await {
                return Ok(ControlOutcome::RanHere(Box::new(report)));
            }
            waiting.lost_a_race();
        }
    }

    /// Leaves the command on the target while somebody holds the lease, and waits until it was heard.
    async fn wait_for_acknowledgement(
        &mut self,
        waiting: &mut Waiting,
        stop: &mut watch::Receiver<Stop>,
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
                Next::Ended => {
                    self.withdraw(waiting).await;
                    let live = self.look.instances.values().filter(|i| i.lifecycle.is_live());
                    let arrived = live.map(|i| i.revision.as_ref()).all(|it| it == Some(&to));
                    let command = waiting.control().command;
                    let answer =
                        control::ended(command, waiting.owner(), waiting.has_begun(), arrived);
                    return Ok(WaitResult::Answered(ControlOutcome::Acknowledged(
                        by,
                        answer,
                        record.map(Box::new),
                    )));
                }
                Next::TimedOut(owner) => {
                    return Ok(WaitResult::Answered(ControlOutcome::TimedOut(owner)));
                }
                Next::Send => {
                    let tags = waiting.control().tags();
                    match self.fleet.act(&Action::WriteRecord { tags }).await {
                        Ok(_) => {}
                        // The engine at work wrote in the same moment, say. After a look, once more.
                        Err(error)
                            if error.is_retryable()
                                && !waiting.is_out_of_patience(self.clock.now()) =>
                        {
                            tracing::debug!(%error, "trying again");
                        }
                        Err(error) => return Err(error),
                    }
                }
                Next::Look => {}
            }
            self.pause(LOOK_EVERY, stop).await;
            self.look_for_command().await?;
            if *stop.borrow() != Stop::No {
                return Ok(WaitResult::Answered(ControlOutcome::Sent(by)));
            }
        }
    }

    /// Takes the lease of somebody who gives no sign of life, and takes it off: woken, he finds that.
    async fn take_lease_off(
        &mut self,
        stop: &mut watch::Receiver<Stop>,
        emit: &mut Emitter<'_>,
    ) -> Result<(), ProviderError> {
        let taken = self.acquire_lease(stop, emit).await;
        let taken = taken.map_err(|why| ProviderError::invalid("take the lease", "", why))?;
        if taken.is_none() {
            self.release().await;
        }
        self.look_for_command().await
    }

    async fn look_for_command(&mut self) -> Result<(), ProviderError> {
        let fleet = &self.fleet;
        self.looked = self.moment();
        self.look = with_retries(&*self.clock, self.caller.jitter, || fleet.observe()).await?;
        Ok(())
    }

    /// Takes the command off the target again that nobody is to hear any more. Should that fail, it names
    /// a rollout that is over, or is acknowledged by the engine at work.
    async fn withdraw(&self, waiting: &Waiting) {
        let pending = Control::from_tags(&self.look.record);
        if pending.is_some_and(|pending| pending.id == waiting.control().id) {
            let keys = [CONTROL.to_owned()].into();
            if let Err(error) = self.fleet.act(&Action::EraseRecord { keys }).await {
                tracing::debug!(%error, "cannot delete the command's tag");
            }
        }
    }

    /// Begins anew from what is there, to do what is wanted of it, whatever the document says by now.
    async fn take_over(&mut self, waiting: &Waiting) -> Result<(), ProviderError> {
        let record = Record::from_tags(&self.look.record).ok().flatten();
        self.wanted = record.map_or(self.wanted.clone(), |record| record.to);
        self.command = Some(waiting.control().clone());
        let look = self.look.clone();
        self.restore_from_record(look)
            .map_err(|why| ProviderError::invalid("read the record", "", why))?;
        let allowed = match waiting.control().command {
            Command::Resume | Command::Rollback => self.may_begin().await,
            Command::Pause | Command::Abort => self.refuse_changed_routing(),
        };
        if allowed.is_err() {
            // What was left for a dead engine is not to be heard by the next one.
            self.withdraw(waiting).await;
        }
        allowed
    }
}

fn record_of(rollout: &Rollout) -> Option<&Record> {
    rollout.state.record.as_ref()
}
