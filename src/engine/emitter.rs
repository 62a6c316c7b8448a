//! Sends events: each with the next index, and waits and counts only when they change.

use rolling_provider::Timestamp;

use crate::model::event::{Envelope, Event};
use crate::model::wait::Wait;
use crate::rollout::planner::{Input, Plan, View};

/// Numbers and dates events.
pub(super) struct Emitter<'a> {
    rollout: String,
    index: u64,
    last: Timestamp,
    sink: &'a mut (dyn FnMut(Envelope) + Send),
}

impl<'a> Emitter<'a> {
    pub fn new(rollout: &str, sink: &'a mut (dyn FnMut(Envelope) + Send)) -> Self {
        Self { rollout: rollout.to_owned(), index: 0, last: Timestamp(0), sink }
    }

    pub fn send(&mut self, at: Timestamp, event: Event) {
        // An event from a look has the look's time, but never an earlier one than the last event.
        self.last = self.last.max(at);
        let rollout = self.rollout.clone();
        (self.sink)(Envelope { index: self.index, at: self.last, rollout, event });
        self.index += 1;
    }
}

/// What was reported last.
#[derive(Default)]
pub(super) struct Shown {
    counts: Option<(usize, usize, u32)>,
    waits: Vec<Wait>,
    /// How often the template had been set back at the last warning about that.
    set_back: u32,
    /// How often others had set the size at the last warning about that.
    resized: u32,
}

impl Shown {
    pub fn counts(&mut self, input: &Input<'_>, emit: &mut Emitter<'_>) {
        let view = View::new(input);
        let counts = (view.updated(), view.serving(), view.window.size);
        if self.counts != Some(counts) {
            self.counts = Some(counts);
            let (updated, serving, size) = counts;
            emit.send(input.now, Event::Progressed { updated, serving, size });
        }
    }

    /// Warns of changes by others that the operator should know of. Of a template that is set back
    /// again and again it warns each time that the number has doubled.
    pub fn warnings(&mut self, input: &Input<'_>, emit: &mut Emitter<'_>) {
        let (resized, warning) = input.state.set_by_others();
        if resized > self.resized {
            self.resized = resized;
            emit.send(input.now, Event::Warned { warning });
        }
        let launched = &input.state.launched;
        if launched.set_back < 2 * self.set_back.max(1) {
            return;
        }
        self.set_back = launched.set_back;
        let (wanted, shown) = (&input.target.revision, input.look.template.as_ref());
        if let Some(warning) = launched.set_back_words(wanted, shown) {
            emit.send(input.now, Event::Warned { warning });
        }
    }

    pub fn waits(&mut self, plan: &Plan, now: Timestamp, emit: &mut Emitter<'_>) {
        self.wait_for(plan.waiting_on.clone(), now, emit);
    }

    pub fn wait_for(&mut self, on: Vec<Wait>, now: Timestamp, emit: &mut Emitter<'_>) {
        if self.waits != on {
            self.waits.clone_from(&on);
            emit.send(now, Event::Waiting { on });
        }
    }
}
