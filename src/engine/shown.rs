//! What was reported last: waits and counts are reported only when they change.

use rolling_provider::Timestamp;

use super::session::Session;
use crate::model::event::Event;
use crate::model::wait::Wait;
use crate::rollout::planner::{Input, Plan, View};

/// What was reported last.
#[derive(Default)]
pub(super) struct LastReported {
    counts: Option<(usize, usize, u32)>,
    waits: Vec<Wait>,
    /// How often the template had been set back at the last warning about that.
    set_back: u32,
    /// How often others had set the size at the last warning about that.
    resized: u32,
}

impl LastReported {
    pub(super) fn counts(&mut self, input: &Input<'_>, session: &mut Session<'_>) {
        let view = View::new(input);
        let counts = (view.updated(), view.serving(), view.window.size);
        if self.counts != Some(counts) {
            self.counts = Some(counts);
            let (updated, serving, size) = counts;
            session.send(input.now, Event::Progressed { updated, serving, size });
        }
    }

    /// Warns of changes by others that the operator should know of. Of a template that is set back
    /// again and again it warns each time that the number has doubled.
    pub(super) fn warnings(&mut self, input: &Input<'_>, session: &mut Session<'_>) {
        let (resized, warning) = input.state.set_by_others();
        if resized > self.resized {
            self.resized = resized;
            session.send(input.now, Event::Warned { warning });
        }
        let launched = &input.state.launches.launched;
        if launched.set_back() < (2 * self.set_back).max(1) {
            return;
        }
        self.set_back = launched.set_back();
        let (wanted, shown) = (&input.target.revision, input.look.template.as_ref());
        if let Some(warning) = launched.set_back_message(wanted, shown) {
            session.send(input.now, Event::Warned { warning });
        }
    }

    pub(super) fn waits(&mut self, plan: &Plan, now: Timestamp, session: &mut Session<'_>) {
        self.wait_for(plan.waiting_on.clone(), now, session);
    }

    pub(super) fn wait_for(&mut self, on: Vec<Wait>, now: Timestamp, session: &mut Session<'_>) {
        if self.waits != on {
            self.waits.clone_from(&on);
            session.send(now, Event::Waiting { on });
        }
    }
}
