//! The settings that the fleet is believed to have, where a look may show those before our write.

use std::collections::BTreeSet;

use rolling_provider::{Observation, Revision};

use super::written::RecentWrite;
use super::{LOOKS_LAG, RolloutState};

impl RolloutState {
    /// Returns the maximum size. One of ours counts before looks show it.
    pub(crate) fn max(&self, look: &Observation) -> u32 {
        RecentWrite::believe(self.written.max.as_ref(), look.max(), look.at)
    }

    /// Whether the template is `revision`, or may be by what we wrote lately.
    pub(crate) fn may_launch(&self, revision: &Revision, look: &Observation) -> bool {
        let written = self.written.template.as_ref();
        let believed = RecentWrite::believe(written, look.template.clone(), look.at);
        [look.template.as_ref(), believed.as_ref()].contains(&Some(revision))
    }

    /// Whether the template is certainly `revision`.
    pub(crate) fn launches(&self, revision: &Revision, look: &Observation) -> bool {
        let written = self.written.template.as_ref();
        let believed = RecentWrite::believe(written, look.template.clone(), look.at);
        look.template.as_ref() == Some(revision) && believed.as_ref() == Some(revision)
    }

    /// Returns which of these processes are suspended, or may be by our action.
    pub(crate) fn may_be_suspended<'a>(
        &self,
        processes: &'a BTreeSet<String>,
        look: &Observation,
    ) -> impl Iterator<Item = &'a String> {
        let lately = look.at.since(self.written.suspended_at) <= LOOKS_LAG;
        processes.iter().filter(move |process| {
            look.suspended.contains(*process)
                || (lately && self.written.suspended.contains(*process))
        })
    }
}
