//! Instances that came and went since the rollout to a revision began: how many launches had a
//! reason, and whether they run what they should.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rolling_provider::{InstanceId, Revision, Timestamp};

use super::LOOKS_LAG;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LaunchHistory {
    /// How many instances of the wanted revision came.
    pub(crate) came: u32,
    /// Instances that went and that we did not remove.
    pub(super) taken: BTreeSet<InstanceId>,
    /// The size that the fleet began with.
    began: Option<u32>,
    /// The size at the last look.
    size: u32,
    /// The sum of all growth of the size.
    grown: u32,
    /// Instances that came on another revision since the last one on the wanted revision.
    wrong: BTreeMap<InstanceId, Option<Revision>>,
    /// How many launches were under way when the template moved. Their revision was decided before.
    launching_before: usize,
    /// Whether we have made the fleet launch anything yet. Earlier launches are the fleet's own,
    /// from a template before ours.
    asked: bool,
    /// How often the template was something else after a look had shown the wanted one.
    set_back: u32,
    /// Whether one of these times was so long after we had set it that no late look explains it.
    is_by_others: bool,
    /// When we set the template last, or first looked at it.
    set_at: Option<Timestamp>,
    /// Whether the last look showed the wanted template.
    was_right: bool,
    /// How often we have set the template since a look last showed it, and since when.
    moves: u32,
    moving_since: Option<Timestamp>,
}

impl LaunchHistory {
    /// Returns the state of a fleet of `size` to which nothing has come yet.
    pub(super) fn begin(size: u32) -> LaunchHistory {
        LaunchHistory { began: Some(size), size, ..LaunchHistory::default() }
    }

    /// Notes the size and the template that a look shows.
    pub(super) fn look(&mut self, size: u32, is_right: bool, now: Timestamp) {
        if self.began.is_some() {
            self.grown += size.saturating_sub(self.size);
        }
        self.began.get_or_insert(size);
        self.size = size;
        let set_at = *self.set_at.get_or_insert(now);
        if self.was_right && !is_right {
            self.set_back += 1;
            self.is_by_others |= self.set_back > 1 || now.since(set_at) > LOOKS_LAG;
        }
        self.was_right = is_right;
        if is_right {
            (self.moves, self.moving_since) = (0, None);
        }
    }

    /// Notes the instances that came, and what each runs.
    pub(super) fn arrived(
        &mut self,
        newcomers: &[(InstanceId, Option<Revision>)],
        wanted: &Revision,
    ) {
        let right = |runs: &Option<Revision>| runs.as_ref() == Some(wanted);
        for (id, runs) in newcomers.iter().filter(|(_, runs)| !right(runs)) {
            if self.launching_before > 0 || !self.asked {
                self.launching_before = self.launching_before.saturating_sub(1);
                continue;
            }
            self.wrong.insert(id.clone(), runs.clone());
        }
        let right = newcomers.iter().filter(|(_, runs)| right(runs)).count();
        self.came += u32::try_from(right).unwrap_or(u32::MAX);
        if right > 0 {
            self.wrong.clear();
        }
    }

    /// Notes how many launches are under way that are unrelated to what we set.
    pub(super) fn excuse(&mut self, under_way: usize) {
        self.launching_before = under_way;
    }

    /// Notes that the fleet launches something because of us.
    pub(super) fn ask(&mut self) {
        self.asked = true;
    }

    /// Notes that we have set the template while `under_way` launches were under way.
    pub(super) fn template_moved(&mut self, under_way: usize, now: Timestamp) {
        self.launching_before = self.launching_before.max(under_way);
        self.was_right = false;
        self.moves += 1;
        self.set_at = Some(now);
        self.moving_since.get_or_insert(now);
    }

    /// Returns a sentence that the template does not stay as it was set, where looks cannot lag so
    /// long.
    pub(crate) fn template_message(
        &self,
        wanted: &Revision,
        template: Option<&Revision>,
        now: Timestamp,
    ) -> Option<String> {
        let since = self.moving_since.filter(|since| now.since(*since) > LOOKS_LAG)?;
        let time = humantime::format_duration(Duration::from_secs(now.since(since).as_secs()));
        let shown = template.map_or("none".into(), ToString::to_string);
        Some(format!(
            "the template was set to {wanted} {} times in {time} and is {shown} again: something \
             keeps setting it back",
            self.moves
        ))
    }

    /// Returns how often others set the template to something else. One look alone may be late.
    pub(crate) fn set_back(&self) -> u32 {
        if self.is_by_others { self.set_back } else { 0 }
    }

    /// Returns a sentence that something sets the template back, where the look shows that.
    pub(crate) fn set_back_message(
        &self,
        wanted: &Revision,
        template: Option<&Revision>,
    ) -> Option<String> {
        let shown = template.filter(|template| *template != wanted)?;
        if self.set_back == 1 {
            return Some(format!(
                "somebody set the template to {shown} meanwhile. It is set to {wanted} again; what \
                 was launched in between runs {shown}"
            ));
        }
        Some(format!(
            "something sets the template back to {shown}, {} times so far. It is set to {wanted} each \
             time; what is launched in between, or after the rollout, runs {shown}",
            self.set_back
        ))
    }

    /// Returns how many instances came on another revision since the last one on the wanted
    /// revision.
    pub(crate) fn wrong(&self) -> usize {
        self.wrong.len()
    }

    /// Returns how many launches of the wanted revision there is reason for, besides surge and
    /// failures: one for each place the fleet ever had, and one for each instance that went without
    /// our action.
    pub(crate) fn reasons(&self) -> u32 {
        let taken = u32::try_from(self.taken.len()).unwrap_or(u32::MAX);
        self.began.unwrap_or_default() + self.grown + taken
    }

    /// Returns a sentence about the instances that came on another revision than the fleet
    /// launches.
    pub(crate) fn wrong_message(
        &self,
        wanted: &Revision,
        template: Option<&Revision>,
    ) -> Option<String> {
        let (_, runs) = self.wrong.first_key_value()?;
        let ids: Vec<String> = self.wrong.keys().map(ToString::to_string).collect();
        let on = runs.as_ref().map_or("no revision at all".into(), ToString::to_string);
        let back = match self.set_back() {
            0 => String::new(),
            1 => " (it was set back once)".into(),
            times => format!(" (it was set back {times} times)"),
        };
        let what = match template.filter(|template| *template != wanted) {
            Some(now) => {
                format!("because the template is {now} again instead of {wanted}: what resets it?")
            }
            None => {
                format!("although the template is {wanted}: does something set it back in between?")
            }
        };
        Some(format!("launched {} on {on} {what}{back}", ids.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn came(launched: &mut LaunchHistory, newcomers: &[(&str, &str)]) {
        let newcomers: Vec<_> = newcomers
            .iter()
            .map(|(id, runs)| (InstanceId::new(*id), Some(Revision::new(*runs))))
            .collect();
        launched.arrived(&newcomers, &"v2".into());
    }

    #[test]
    fn what_comes_wrong_counts_until_one_comes_right() {
        let mut launched = LaunchHistory::default();
        came(&mut launched, &[("i-x", "v1")]);
        assert_eq!(launched.wrong(), 0, "the group replaced one by itself");
        launched.ask();
        launched.template_moved(1, Timestamp(0));
        came(&mut launched, &[("i-0", "v1")]);
        assert_eq!(launched.wrong(), 0, "it was under way when the template moved");
        came(&mut launched, &[("i-1", "v1"), ("i-2", "v1")]);
        assert_eq!(launched.wrong(), 2);
        let message = launched.wrong_message(&"v2".into(), Some(&"v2".into())).expect("a message");
        assert!(
            message.starts_with("launched i-1, i-2 on v1 although the template is v2"),
            "{message}"
        );
        came(&mut launched, &[("i-3", "v2"), ("i-4", "v1")]);
        assert_eq!((launched.wrong(), launched.came), (0, 1));
    }

    #[test]
    fn a_template_that_is_set_back_is_counted_once_it_was_right_and_no_look_is_late() {
        let late = u64::try_from(LOOKS_LAG.as_millis()).expect("a short time");
        for (looks, now, times) in [
            ([false, true, true, false].as_slice(), late, 0),
            (&[false, true, true, false], late + 1, 1),
            (&[false, true, true, false, false, true, false], late, 2),
        ] {
            let mut launched = LaunchHistory::default();
            launched.template_moved(0, Timestamp(0));
            for is_right in looks {
                launched.look(3, *is_right, Timestamp(now));
            }
            assert_eq!(launched.set_back(), times, "{looks:?} {now}");
        }
    }

    #[test]
    fn every_place_that_was_ever_added_is_a_reason() {
        let mut launched = LaunchHistory::default();
        for size in [6, 4, 6, 8] {
            launched.look(size, true, Timestamp(0));
        }
        assert_eq!(launched.reasons(), 6 + 2 + 2);
    }
}
