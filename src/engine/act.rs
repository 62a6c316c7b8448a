//! Carries out one action of a plan.

use rolling_provider::{Action, Done, Effect, ErrorKind, ProviderError};

use super::clock::moment;
use super::message::with_remedy;
use super::rolling::RollingExecutor;
use super::session::Session;
use crate::model::event::Event;
use crate::model::spec::OnFailure;
use crate::record::Ending;
use crate::rollout::planner::Step;
use crate::rollout::state::Halt;

/// The result of an action.
pub(super) enum Acted {
    Done,
    /// Done, and the cloud's answer shows that somebody else had set another size: the other
    /// planned actions were planned for the size before.
    Resized,
    Refused,
}

impl RollingExecutor {
    pub(super) async fn act(
        &mut self,
        step: Step,
        session: &mut Session<'_>,
    ) -> Result<Acted, ProviderError> {
        let Step { action, record } = step;
        tracing::info!(%action, "acting");
        let began = moment(&*self.clock);
        let answer = self.fleet.act(&action).await;
        self.lease.called(&action, began, answer.as_ref().err());
        let done = match answer {
            Ok(done) => done,
            Err(error) if error.effect == Effect::Applied => Done::default(),
            Err(error) if error.is_retryable() || error.effect == Effect::Unknown => {
                if error.effect == Effect::Unknown {
                    self.context.state.unsure(&action);
                }
                if matches!(action, Action::Launch { .. }) && error.kind == ErrorKind::Transient {
                    let now = self.clock.now();
                    self.context.state.not_launched(with_remedy(&error), false, now);
                }
                return Err(error);
            }
            Err(error) if matches!(action, Action::Launch { .. }) => {
                tracing::warn!(%action, %error, "not launched");
                self.not_launched(&action, &error, session);
                return Ok(Acted::Refused);
            }
            // Somebody may have set other sizes a moment ago: a later look shows them.
            Err(error) if action.sizes() => return Err(error),
            Err(error) => {
                tracing::warn!(%action, %error, "refused");
                self.refused(action, &error, session);
                return Ok(Acted::Refused);
            }
        };
        let now = self.clock.now();
        let size = self.context.state.size(&self.context.look);
        self.context.state.accepted(&action, done, now);
        let resized = action.resizes() && self.context.state.size(&self.context.look) != size;
        if let Some(record) = record {
            self.context.state.recorded(record);
        }
        session.send(now, Event::Acted { action });
        Ok(if resized { Acted::Resized } else { Acted::Done })
    }

    /// Takes in a failed launch. It may be the fault of the revision: the planner decides what
    /// follows.
    fn not_launched(&mut self, action: &Action, error: &ProviderError, session: &mut Session<'_>) {
        let now = self.clock.now();
        if let Action::Launch { token, .. } = action
            && error.kind == ErrorKind::TokenAlreadyUsed
        {
            self.context.state.unmanaged.spent.insert(token.clone());
            return;
        }
        let message = with_remedy(error);
        self.context.state.not_launched(message.clone(), error.kind != ErrorKind::NoCapacity, now);
        session.send(now, Event::Refused { action: action.clone(), error: message });
    }

    /// Takes in that the cloud refuses `action`. On the way forward that ends the rollout. During a
    /// halt the engine puts the rest back all the same. A missing tag on an instance that is gone
    /// does no harm.
    pub(super) fn refused(
        &mut self,
        action: Action,
        error: &ProviderError,
        session: &mut Session<'_>,
    ) {
        let message = with_remedy(error);
        if self.context.state.direction.halt.is_some() || matches!(action, Action::Tag { .. }) {
            let event = Event::Refused { action: action.clone(), error: message.clone() };
            session.send(self.clock.now(), event);
            self.context.state.failures.refused.push((action, message));
        } else {
            let reason = format!("the cloud refused to {action}: {message}");
            match self.context.spec.on_failure {
                OnFailure::Rollback if self.is_half_way() => {
                    self.start_rollback(reason, false, session)
                }
                OnFailure::Pause if self.is_half_way() => {
                    let halt = Halt::failed(reason, self.clock.now());
                    let ending = Ending::Paused;
                    self.halt(Halt { fault: false, ending, ..halt }, session);
                }
                _ => {
                    let halt = Halt::failed(reason, self.clock.now());
                    self.halt(Halt { fault: false, ..halt }, session);
                }
            }
        }
    }
}

impl RollingExecutor {
    /// Whether an end now would leave two revisions, and there is a completed revision to go back
    /// to.
    fn is_half_way(&self) -> bool {
        let wanted = &self.context.target.revision;
        let completed = self.context.record().and_then(|record| record.completed.as_ref());
        let mut live = self.context.look.instances.values().filter(|i| i.lifecycle.is_live());
        self.context.state.direction.rolls_back.is_none()
            && completed.is_some_and(|completed| completed != wanted)
            && live.any(|instance| instance.revision.as_ref() == Some(wanted))
    }
}
