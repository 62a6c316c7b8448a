//! What the lease means for the rollout: it starts over once it holds one, and ends without it.

use rolling_provider::Observation;

use super::acquire::{Acquired, LOOK_EVERY};
use super::caller::{NOTHING_DONE, RETRY_BUDGET, STOP_RETRY_BUDGET, Stop};
use super::rolling::RollingExecutor;
use super::session::Session;
use super::start_error::StartError;
use crate::model::event::{Event, Outcome};
use crate::record::command::Control;
use crate::record::{CONTROL, Ending, LEASE};
use crate::rollout::conditions::refuse_changed_routing;
use crate::rollout::control::CommandEffect;
use crate::rollout::ownership::Standing;
use crate::rollout::planner::View;
use crate::rollout::renewal::{RefusedRenewal, refused_renewal};
use crate::rollout::state::Halt;

/// The result of a check of the lease.
pub(super) enum LeaseCheck {
    /// It is ours, as far as that can be known.
    Ours,
    /// It could not be renewed or confirmed, and the engine has looked again: start the tick over.
    Doubtful,
    /// The run ends, since another engine is at work or nobody can know.
    Lost(Outcome),
}

impl RollingExecutor {
    /// Takes the lease, however long that takes, and starts over from the target's state at that
    /// time. Returns an outcome when that ends the run.
    ///
    /// # Errors
    /// When the cloud cannot be asked, the record cannot be read, or the document changes the
    /// routing of the rollout under way.
    pub(super) async fn acquire_lease(
        &mut self,
        session: &mut Session<'_>,
    ) -> Result<Option<Outcome>, StartError> {
        let acquired =
            self.lease.acquire(&mut self.context.observer, &mut self.context.look, session).await?;
        match acquired {
            Acquired::Ours(look) => self.begin_with_lease(look, session),
            Acquired::Stopped => Ok(Some(self.context.interrupted(NOTHING_DONE))),
            Acquired::Held(owner) => {
                self.context.fail(format!("{owner} is at work on this target"));
                Ok(Some(Outcome::Locked))
            }
            Acquired::Unseen => {
                let reason = "the lease that was written is not there: another engine was faster \
                              and has ended since, or what is written to the target does not show";
                self.context.fail(reason.into());
                Ok(Some(Outcome::Locked))
            }
        }
    }

    fn begin_with_lease(
        &mut self,
        look: Observation,
        session: &Session<'_>,
    ) -> Result<Option<Outcome>, StartError> {
        self.restore_from_record(look)?;
        let input = self.input(self.context.look.at);
        refuse_changed_routing(&input).map_err(StartError::RoutingChanged)?;
        Ok(session.is_stopping().then(|| self.context.interrupted(NOTHING_DONE)))
    }

    /// Makes sure that no other engine is at work: judges the last look, and renews the lease when
    /// due.
    pub(super) async fn renew_lease(&mut self, session: &mut Session<'_>) -> LeaseCheck {
        if self.lease.is_late() {
            // Another engine may have been at work and have gone since: earlier looks prove
            // nothing, and a renewal would put back a lease that was removed.
            if let Some(lost) = self.look_after_standing_still(session).await {
                return lost;
            }
        }
        match self.judge_lease(session).await {
            LeaseCheck::Ours => {}
            other => return other,
        }
        let Err(error) = self.lease.renew(&self.context.look.record).await else {
            self.lease.renewed();
            if !self.lease.is_late() {
                return LeaseCheck::Ours;
            }
            // This engine looked dead while the renewal waited for its turn.
            return match self.look_after_standing_still(session).await {
                Some(lost) => lost,
                None => self.judge_lease(session).await,
            };
        };
        tracing::warn!(%error, "cannot renew the lease");
        let now = self.clock.now();
        let reason = format!("cannot renew the lease: {error}");
        let (guards, is_believed) = (self.lease.guards(), self.lease.is_believed());
        match refused_renewal(guards, error.is_retryable(), is_believed) {
            RefusedRenewal::GoOn => LeaseCheck::Ours,
            RefusedRenewal::PutBack => {
                if self.context.state.direction.halt.is_none() {
                    self.halt(Halt::failed(reason, now), session);
                }
                LeaseCheck::Ours
            }
            RefusedRenewal::TryAgain => {
                let budget = if session.is_stopping() { STOP_RETRY_BUDGET } else { RETRY_BUDGET };
                if self.lease.renewal_failed(now, budget) {
                    return LeaseCheck::Lost(self.give_up(reason));
                }
                session.send(now, Event::Retrying { error: error.to_string() });
                self.look_once_more(session).await
            }
            RefusedRenewal::End => LeaseCheck::Lost(self.give_up(reason)),
        }
    }

    /// Judges the last look. In doubt the engine only looks again.
    async fn judge_lease(&mut self, session: &mut Session<'_>) -> LeaseCheck {
        match self.lease.judge(&self.context.look) {
            Standing::Ours => LeaseCheck::Ours,
            Standing::Doubtful => self.look_once_more(session).await,
            Standing::Deleted => {
                self.make_record_again(session).await;
                self.look_once_more(session).await
            }
            Standing::Lost(reason) => {
                self.context.fail(reason);
                LeaseCheck::Lost(Outcome::Locked)
            }
        }
    }

    async fn look_once_more(&mut self, session: &mut Session<'_>) -> LeaseCheck {
        self.pause(LOOK_EVERY, session).await;
        match self.observe(session).await {
            Ok(_) => LeaseCheck::Doubtful,
            Err(error) => LeaseCheck::Lost(self.lost_sight(&error)),
        }
    }

    async fn look_after_standing_still(&mut self, session: &mut Session<'_>) -> Option<LeaseCheck> {
        self.lease.note_suspension();
        let looked = self.observe(session).await;
        looked.err().map(|error| LeaseCheck::Lost(self.lost_sight(&error)))
    }

    /// Writes a guarded record again that somebody has deleted while no other engine is at work: it
    /// is all that remembers what is borrowed.
    async fn make_record_again(&mut self, session: &mut Session<'_>) {
        let record = self.context.state.record.as_ref().map(|record| record.tags());
        let warning = "somebody has deleted the rollout record; it is written again";
        session.send(self.clock.now(), Event::Warned { warning: warning.into() });
        self.lease.write_again(&self.context.look.record, record.unwrap_or_default()).await;
    }

    /// Whether another engine has undone this rollout: this process was suspended during its last
    /// call, and another engine has rolled the fleet meanwhile.
    pub(super) fn is_overtaken(&mut self) -> bool {
        let old = View::new(&self.input(self.context.look.at)).candidates().next().is_some();
        let overtaken = self.lease.was_suspended() && old;
        if overtaken {
            self.context.fail("another engine has rolled the fleet in the meantime".to_owned());
        }
        overtaken
    }

    /// Removes the lease from a target whose record stays.
    pub(super) async fn release_lease(&self, outcome: Outcome, urgency: Stop) {
        if outcome == Outcome::Locked || urgency == Stop::Now {
            return;
        }
        let waits =
            |control: &Control| self.context.state.effect(control.command) == CommandEffect::Later;
        match self.context.state.control.as_ref().is_some_and(waits) {
            // A command that takes effect later is left for the engine that continues.
            true => self.lease.delete_tags([LEASE]).await,
            false => self.lease.delete_tags([LEASE, CONTROL]).await,
        }
    }

    /// Removes a lease again under which nothing was done.
    pub(super) async fn release(&mut self) {
        self.lease.release().await;
        self.context.fail("another engine took the lease first".to_owned());
    }

    /// Ends the run now; the record keeps what is left to restore.
    fn give_up(&mut self, reason: String) -> Outcome {
        let ending = self.ending(Ending::Failed);
        self.context.state.begin_halt(Halt::failed(reason, self.clock.now()));
        ending
    }

    pub(super) fn lost_sight(&mut self, error: &rolling_provider::ProviderError) -> Outcome {
        self.give_up(format!("the fleet can no longer be read: {error}"))
    }
}
