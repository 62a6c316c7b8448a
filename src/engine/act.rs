//! Carries out one action of a plan.

use rolling_provider::{Action, Done, Effect, ErrorKind, ProviderError};

use super::clock::moment;
use super::message::with_remedy;
use super::rolling::RollingExecutor;
use super::session::Session;
use super::tick::TickDecision;
use crate::model::event::{Cause, Event};
use crate::rollout::planner::{self, Step};

/// The result of an action.
pub(super) enum ActionOutcome {
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
    ) -> Result<ActionOutcome, ProviderError> {
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
                    self.context.state.not_launched(with_remedy(&error), Cause::Call, false, now);
                }
                return Err(error);
            }
            Err(error) if matches!(action, Action::Launch { .. }) => {
                tracing::warn!(%action, %error, "not launched");
                self.not_launched(&action, &error, session);
                return Ok(ActionOutcome::Refused);
            }
            // Somebody may have set other sizes a moment ago: a later look shows them.
            Err(error) if action.sizes() => return Err(error),
            Err(error) => {
                tracing::warn!(%action, %error, "refused");
                self.refused(action, &error, session);
                return Ok(ActionOutcome::Refused);
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
        Ok(if resized { ActionOutcome::Resized } else { ActionOutcome::Done })
    }

    /// Notes a failed launch. It may be the fault of the revision: the planner decides what
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
        let class = match error.kind {
            ErrorKind::NoCapacity => Cause::Capacity,
            ErrorKind::Denied => Cause::Call,
            _ => Cause::Revision,
        };
        let is_final = class != Cause::Capacity;
        self.context.state.not_launched(message.clone(), class, is_final, now);
        session.send(now, Event::Refused { action: action.clone(), error: message });
    }

    /// Takes in that the cloud refuses `action`. On the way forward that ends the rollout. During a
    /// halt the engine puts the rest back all the same.
    pub(super) fn refused(
        &mut self,
        action: Action,
        error: &ProviderError,
        session: &mut Session<'_>,
    ) {
        let (message, now) = (with_remedy(error), self.clock.now());
        if let Some(verdict) = planner::refused(&self.input(now), &action, &message) {
            return self.turn(TickDecision::from(verdict), session);
        }
        let event = Event::Refused { action: action.clone(), error: message.clone() };
        session.send(now, event);
        self.context.state.failures.refused.push((action, message));
    }
}
