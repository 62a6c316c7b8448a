//! Sizes that we wrote, as against sizes that looks show: reads lag, and calls get lost.

use std::collections::BTreeSet;
use std::time::Duration;

use rolling_provider::{Action, Observation, Timestamp};

use super::Progress;

/// How long a desired size that we wrote is believed over an observation that lacks it.
const WRITE_SETTLES_IN: Duration = Duration::from_secs(30);

/// A change of the size of which nobody knows whether it took effect: it is counted once the
/// fleet shows it, or once it is asked for again and accepted.
#[derive(Clone, Debug)]
pub(super) struct Unsure {
    pub action: Action,
    /// How much of the size is surge afterwards; `None` for one less.
    pub surge: Option<u32>,
}
/// A size that we wrote. Looks may show what was before for a while, even after one that showed
/// it; any other size is somebody else's.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub desired: u32,
    pub at: Timestamp,
    pub before: BTreeSet<u32>,
}

impl Progress {
    /// When the size will be known for sure, while a look shows another than the one we wrote
    /// last: that look is late, or somebody has just set a size that we had written before.
    pub fn size_is_known_at(&self, look: &Observation) -> Option<Timestamp> {
        let written = self.desired_written.as_ref()?;
        let differs = look.desired() != written.desired;
        differs.then_some(written.at + WRITE_SETTLES_IN)
    }

    /// Counts what turns out to have taken effect although nobody said so.
    pub(super) fn settle_unsure(&mut self, look: &Observation) {
        let took_effect = |unsure: &Unsure| match &unsure.action {
            Action::SetCapacity { desired, .. } => look.desired() == *desired,
            Action::Terminate { instance, .. } | Action::Detach { instance, .. } => {
                look.instances.get(instance).is_none_or(|i| !i.lifecycle.is_live())
            }
            _ => false,
        };
        let (settled, open) = std::mem::take(&mut self.unsure).into_iter().partition(took_effect);
        self.unsure = open;
        let settled: Vec<Unsure> = settled;
        for Unsure { action, surge } in settled {
            if let Action::Terminate { instance, .. } | Action::Detach { instance, .. } =
                action.clone()
            {
                self.victims.remove(&instance);
                self.terminated.insert(instance);
            }
            self.surge = surge.unwrap_or_else(|| self.surge.saturating_sub(1));
            // The look that shows the effect shows the size, too, and later ones may not.
            let shown = look.desired();
            let before = self.desired(look);
            if let Action::SetCapacity { .. } = action {
                self.missing.give_up(before.saturating_sub(shown) as usize);
            }
            self.wrote(before, shown, look.at);
        }
    }

    pub(super) fn settle_desired(&mut self, look: &Observation) {
        let shown = look.desired();
        let holds = |written: &Written| {
            look.at.since(written.at) <= WRITE_SETTLES_IN
                && (shown == written.desired || written.before.contains(&shown))
        };
        self.desired_written = self.desired_written.take().filter(holds);
    }

    pub(super) fn wrote(&mut self, before: u32, desired: u32, at: Timestamp) {
        let earlier = self.desired_written.take().map(|written| written.before);
        let mut before_all = earlier.unwrap_or_default();
        before_all.insert(before);
        before_all.remove(&desired);
        self.desired_written = Some(Written { desired, at, before: before_all });
    }
}
