//! Which zone is next, where zones are rolled one after the other.

use std::collections::BTreeSet;

use rolling_provider::InstanceId;

use super::input::Input;
use super::spare::{Floor, Spare};
use super::view::units;
use super::{Member, Step};
use crate::model::spec::{Policy, Window, Zones};
use crate::record::Record;

/// Where instances may be taken out now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Within<'a> {
    /// In every zone.
    AllZones,
    /// In this zone, which is being rolled.
    Zone(&'a str),
    /// In this zone, those that do not serve: it loses no instance that takes requests.
    IdleOf(&'a str),
}

impl<'a> Within<'a> {
    /// Whether `member` may be taken out.
    pub(super) fn allows(self, member: &Member<'_>) -> bool {
        match self {
            Within::AllZones => true,
            Within::Zone(zone) => member.instance.zone == zone,
            Within::IdleOf(zone) => member.instance.zone == zone && !member.serves,
        }
    }

    /// Returns the zone that is being rolled then.
    pub(super) fn begins(self) -> Option<&'a str> {
        match self {
            Within::Zone(zone) => Some(zone),
            Within::AllZones | Within::IdleOf(_) => None,
        }
    }
}

/// Returns where the next of `candidates` are. The zone that has been begun is finished first, then
/// comes the first one by its name.
///
/// Instances that do not serve come before that, in whichever zone they are: the floor may need what
/// replaces them.
pub(super) fn within<'a>(
    zones: Zones,
    begun: Option<&str>,
    candidates: impl Iterator<Item = &'a Member<'a>> + Clone,
) -> Within<'a> {
    if zones == Zones::Spread {
        return Within::AllZones;
    }
    let zones = || candidates.clone().map(|member| member.instance.zone.as_str());
    let idle = candidates.clone().filter(|member| !member.serves);
    let idle = || idle.clone().map(|member| member.instance.zone.as_str());
    let begun = begun.and_then(|begun| zones().find(|zone| *zone == begun));
    let Some(next) = begun.or_else(|| zones().min()) else { return Within::AllZones };
    match idle().min() {
        Some(first) if idle().all(|zone| zone != next) => Within::IdleOf(first),
        _ => Within::Zone(next),
    }
}

/// Returns the zone that has been begun, as the record says.
pub(super) fn begun<'a>(input: &Input<'a>) -> Option<&'a str> {
    input.state.record.as_ref()?.zone.as_deref()
}

/// Writes into the record which zone is rolled from now on, so that an engine that takes over
/// finishes it.
pub(super) fn begin(within: Within<'_>, record: Option<&Record>) -> Option<Step> {
    let (zone, record) = (within.begins()?, record?);
    let is_new = record.zone.as_deref() != Some(zone);
    is_new.then(|| Step::record(Record { zone: Some(zone.to_owned()), ..record.clone() }))
}

/// Returns what the zone that is being rolled may spare: what the policy gives for a fleet holds for
/// the instances of the zone, too. With surge, an instance elsewhere stands in for one of the zone.
///
/// Those that stay and do not serve take no part: nothing could be replaced beside them.
pub(super) fn spare<'m>(
    policy: Policy,
    within: Within<'_>,
    members: impl Iterator<Item = &'m Member<'m>> + Clone,
    is_weighted: bool,
) -> Option<Spare> {
    let zone = within.begins()?;
    let in_zone = members.filter(|member| member.instance.zone == zone && takes_part(member));
    let window = Window::resolve(policy, u32::try_from(in_zone.clone().count()).ok()?);
    let desired = u32::try_from(units(in_zone.clone())).ok()?;
    let serving = units(in_zone.filter(|member| member.surely_serves));
    (window.surge == 0)
        .then(|| Spare::of(serving, Floor::of(policy, window, is_weighted.then_some(desired))))
}

/// Whether `member` serves, or will.
pub(super) fn takes_part(member: &Member<'_>) -> bool {
    member.serves || !(member.left_alone || member.set_aside || member.not_blamed)
}

/// Keeps of instances that are chosen to go those of the first zone, where zones come one after the
/// other.
pub(super) fn keep_first(input: &Input<'_>, chosen: &mut BTreeSet<InstanceId>) {
    if input.spec.zones == Zones::Spread {
        return;
    }
    let zone = |id: &InstanceId| input.look.instances.get(id).map(|it| it.zone.as_str());
    let first = chosen.iter().map(zone).min().flatten();
    chosen.retain(|id| zone(id) == first);
}

#[cfg(test)]
mod tests {
    use rolling_provider::Instance;

    use super::*;

    #[test]
    fn a_zone_is_finished_first_and_what_does_not_serve_comes_before() {
        let of = |zone: &str| Instance { zone: zone.into(), ..Instance::serving(None, []) };
        let (id, [a, b]) = (InstanceId::new("i-1"), ["a", "b"].map(of));
        let member = |instance, serves| Member { serves, ..Member::example(&id, instance) };
        for (candidates, begun, expected) in [
            (vec![(&b, true), (&a, true)], None, Within::Zone("a")),
            (vec![(&b, true), (&a, true)], Some("b"), Within::Zone("b")),
            (vec![(&b, true)], Some("a"), Within::Zone("b")),
            (vec![(&a, true), (&b, false)], Some("a"), Within::IdleOf("b")),
            (vec![(&a, false), (&b, false)], Some("b"), Within::Zone("b")),
            (vec![(&a, true), (&a, false), (&b, false)], None, Within::Zone("a")),
            (vec![], Some("a"), Within::AllZones),
        ] {
            let members: Vec<_> = candidates.iter().map(|(i, serves)| member(i, *serves)).collect();
            let found = within(Zones::OneByOne, begun, members.iter());
            assert_eq!(found, expected, "{candidates:?} {begun:?}");
            assert_eq!(within(Zones::Spread, begun, members.iter()), Within::AllZones);
        }
        assert!(Within::IdleOf("a").allows(&member(&a, false)));
        assert!(!Within::IdleOf("a").allows(&member(&a, true)));
        assert!(!Within::Zone("a").allows(&member(&b, true)));
    }
}
