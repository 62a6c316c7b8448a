//! Chooses the next victims.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rolling_provider::InstanceId;

use super::spare::Spare;
use super::zones::{self, Within};
use super::{Member, View};
use crate::model::spec::Zones;

/// Chooses the next victims.
///
/// Failed instances go first, then others that do not serve, since losing those costs no capacity
/// (first those that never did), then the oldest, spread over the zones. `spare`, what the floor
/// leaves, bounds the serving victims. All are `within` what zones are rolled now.
///
/// `limit` bounds the victims other than failed ones that already hold a place, and `most` bounds
/// all of them.
///
/// While there is surge, the last old instances go without a replacement. Where a zone has too many
/// instances, its last ones stay for that end, so that the fleet ends up even and a resumed
/// rebalancing has nothing to do.
///
/// Takes time linear in the size of the fleet: sorts only the first instances of each zone.
pub(super) fn next(
    view: &View<'_>,
    within: Within<'_>,
    mut spare: Spare,
    limit: usize,
    most: usize,
) -> BTreeSet<InstanceId> {
    let mut zones: BTreeMap<&str, Vec<&Member<'_>>> = BTreeMap::new();
    let candidates = view.candidates().filter(|member| within.allows(member));
    let failed = candidates.clone().filter(|member| member.holds_place()).count();
    let most = most.min(limit + failed);
    if most > 0 {
        for member in candidates {
            zones.entry(&member.instance.zone).or_default().push(member);
        }
    }
    let excess = excess(view);
    let mut ranked = Vec::new();
    for (zone, mut members) in zones {
        let all = members.len();
        if most < all {
            members.select_nth_unstable_by_key(most, |member| order(member));
            members.truncate(most);
        }
        members.sort_unstable_by_key(|member| order(member));
        let staying = excess.get(zone).copied().unwrap_or_default();
        let mut serving = 0usize;
        for (index, member) in members.into_iter().enumerate() {
            // Serving instances are ranked among themselves.
            let rank = if member.serves { serving } else { index };
            serving += usize::from(member.serves);
            ranked.push((class(member), all - index <= staying, rank, order(member), member));
        }
    }
    ranked.sort_by_key(|(class, staying, rank, order, _)| (*class, *staying, *rank, *order));

    let (mut chosen, mut places, mut idle_left) = (BTreeSet::new(), limit, false);
    for (.., member) in ranked {
        let may_go = !member.gets_requests || (!idle_left && spare.allows(member.instance.units));
        if chosen.len() >= most || !may_go {
            break;
        }
        if !member.holds_place() {
            if places == 0 {
                idle_left |= !member.serves;
                continue;
            }
            places -= 1;
        }
        if member.gets_requests {
            spare.take(member.instance.units);
        }
        chosen.insert(member.id.clone());
    }
    chosen
}

/// The candidates of a fleet, in the order in which repeated calls of [`next`] take them.
///
/// The cost of taking some grows with their number, not with the size of the fleet.
pub(crate) struct Queue<'a> {
    zones: BTreeMap<&'a str, VecDeque<Member<'a>>>,
}

impl<'a> Queue<'a> {
    /// Sorts `candidates`.
    pub(crate) fn of(candidates: impl Iterator<Item = Member<'a>>) -> Queue<'a> {
        let mut zones: BTreeMap<&str, Vec<Member<'a>>> = BTreeMap::new();
        for member in candidates {
            zones.entry(&member.instance.zone).or_default().push(member);
        }
        for members in zones.values_mut() {
            members.sort_unstable_by(|one, other| order(one).cmp(&order(other)));
        }
        let zones = zones.into_iter().map(|(zone, members)| (zone, members.into())).collect();
        Queue { zones }
    }

    /// Marks all of them as serving.
    pub(crate) fn all_serve(&mut self) {
        let members = std::mem::take(&mut self.zones).into_values().flatten();
        let serving =
            |member| Member { serves: true, gets_requests: true, surely_serves: true, ..member };
        *self = Queue::of(members.map(serving));
    }

    /// Returns the zone that is rolled next, where zones come one after the other.
    pub(super) fn zone(&self, zones: Zones, begun: Option<&str>) -> Option<String> {
        let ordered = self.zones.values().filter(|_| zones == Zones::OneByOne);
        let all: Vec<Member<'a>> = ordered.flatten().copied().collect();
        zones::within(zones, begun, all.iter()).begins().map(str::to_owned)
    }

    /// Takes the first candidates.
    ///
    /// Chooses as [`next`] does with `limit` for both bounds, in a fleet that has `excess` and can
    /// spare `spare` serving instances.
    pub(super) fn take(
        &mut self,
        zones: Zones,
        begun: Option<&str>,
        excess: &BTreeMap<&str, usize>,
        limit: usize,
        mut spare: Spare,
    ) -> (Vec<Member<'a>>, Option<String>) {
        let ordered = self.zones.values().filter(|_| zones == Zones::OneByOne);
        let all: Vec<Member<'a>> = ordered.flatten().copied().collect();
        let within = zones::within(zones, begun, all.iter());
        let begins = within.begins().map(str::to_owned);
        let (mut chosen, mut places, mut idle_left) = (Vec::new(), limit, false);
        let heads = self.zones.iter_mut().map(|(zone, members)| {
            let staying = excess.get(zone).copied().unwrap_or_default();
            Head { members, staying, at: 0, serving: 0, left: Vec::new() }
        });
        let mut heads: Vec<Head<'_, 'a>> = heads.collect();
        loop {
            let waiting = heads.iter_mut().filter(|head| head.at < limit);
            let open =
                waiting.filter(|head| head.members.front().is_some_and(|m| within.allows(m)));
            let keyed = open.filter_map(|head| Some((head.key()?, head)));
            let first = keyed.min_by(|(one, _), (other, _)| one.cmp(other));
            let Some((_, head)) = first else { break };
            let Some(member) = head.members.front().copied() else { break };
            let may_go =
                !member.gets_requests || (!idle_left && spare.allows(member.instance.units));
            if chosen.len() >= limit || !may_go {
                break;
            }
            head.members.pop_front();
            head.at += 1;
            head.serving += usize::from(member.serves);
            if !member.holds_place() {
                if places == 0 {
                    idle_left |= !member.serves;
                    head.left.push(member);
                    continue;
                }
                places -= 1;
            }
            if member.gets_requests {
                spare.take(member.instance.units);
            }
            chosen.push(member);
        }
        for Head { members, left, .. } in heads {
            left.into_iter().rev().for_each(|member| members.push_front(member));
        }
        let begins = if chosen.is_empty() { None } else { begins };
        (chosen, begins)
    }
}

/// How far [`Queue::take`] has gone through the candidates of a zone.
struct Head<'q, 'a> {
    members: &'q mut VecDeque<Member<'a>>,
    /// How many of the last candidates stay for the end.
    staying: usize,
    /// How many candidates it has passed, and how many of those serve.
    at: usize,
    serving: usize,
    /// The passed candidates that stay.
    left: Vec<Member<'a>>,
}

impl<'a> Head<'_, 'a> {
    /// Returns the sort key of its first candidate among those of all zones; see [`next`].
    fn key(&self) -> Option<(u8, bool, usize, Order<'a>)> {
        let member = self.members.front()?;
        let rank = if member.serves { self.serving } else { self.at };
        Some((class(member), self.members.len() <= self.staying, rank, order(member)))
    }
}

type Order<'a> = (u8, Option<rolling_provider::Timestamp>, &'a InstanceId);

/// Returns the rank of `member`: not serving, serving only in the second target group, serving.
///
/// Failed instances come first within each, then those that have never served.
fn class(member: &Member<'_>) -> u8 {
    let place = match (member.serves, member.in_primary) {
        (false, _) => 0,
        (true, false) => 3,
        (true, true) => 6,
    };
    let has_served = member.history.is_some_and(|history| history.has_served);
    place + u8::from(!member.failed) + u8::from(!member.failed && has_served)
}

/// Returns the sort key of `member`: oldest first within a class, unknown launch times before all.
fn order<'a>(member: &Member<'a>) -> Order<'a> {
    (class(member), member.instance.launched_at, member.id)
}

/// Returns by how much each zone exceeds an even spread of the fleet without its surge.
///
/// Empty without surge.
pub(super) fn excess<'a>(view: &View<'a>) -> BTreeMap<&'a str, usize> {
    let size = view.window.size as usize;
    if view.members.len() <= size {
        return BTreeMap::new();
    }
    let mut zones: BTreeMap<&str, usize> = BTreeMap::new();
    for member in &view.members {
        *zones.entry(&member.instance.zone).or_default() += 1;
    }
    spread(&zones, size)
}

/// Returns by how much each zone exceeds an even spread of `size` instances.
pub(super) fn spread<'a>(
    zones: &BTreeMap<&'a str, usize>,
    size: usize,
) -> BTreeMap<&'a str, usize> {
    // The most crowded zones keep the remainder.
    let mut crowded: Vec<(&str, usize)> = zones.iter().map(|(zone, live)| (*zone, *live)).collect();
    crowded.sort_by_key(|(zone, live)| (Reverse(*live), *zone));
    let (share, others) = (size / crowded.len(), size % crowded.len());
    let spread = crowded.into_iter().enumerate();
    spread
        .map(|(index, (zone, live))| {
            (zone, live.saturating_sub(share + usize::from(index < others)))
        })
        .collect()
}

/// Chooses `count` surplus instances to remove at the end.
///
/// Those that do not serve go first, then those that have not soaked, then those of the zone that
/// has the most, so that zones stay even and a resumed rebalancing has nothing to do. Within a zone
/// the youngest go first.
pub(crate) fn surplus(view: &View<'_>, count: usize) -> BTreeSet<InstanceId> {
    let order = |m: &Member<'_>| (!m.serves, !m.soaked, m.is_new, m.instance.launched_at);
    let mut zones: BTreeMap<&str, Vec<&Member<'_>>> = BTreeMap::new();
    for member in view.members.iter().filter(|m| !m.not_surplus && !m.is_victim) {
        zones.entry(&member.instance.zone).or_default().push(member);
    }
    for members in zones.values_mut() {
        members.sort_unstable_by_key(|member| (order(member), member.id));
    }
    let mut chosen = BTreeSet::new();
    while chosen.len() < count {
        // Each zone would give its last one.
        let first = zones.values_mut().max_by_key(|members| {
            members.last().map(|member| {
                let (idle, unsoaked, is_new, launched) = order(member);
                (idle, unsoaked, is_new, members.len(), launched, member.id)
            })
        });
        let Some(member) = first.and_then(Vec::pop) else { break };
        chosen.insert(member.id.clone());
    }
    chosen
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rolling_provider::{Instance, Timestamp};

    use super::super::spare::Floor;
    use super::*;
    use crate::model::spec::{BatchSize, Policy, Window, Zones};

    fn instance(zone: u8, launched: u64) -> Instance {
        Instance {
            zone: zone.to_string(),
            launched_at: Some(Timestamp(launched)),
            ..Instance::serving(None, [])
        }
    }

    proptest! {
        #[test]
        fn a_queue_takes_whom_next_takes_again_and_again(
            fleet in proptest::collection::vec((0..3u8, 0..5u8, 0..4u64), 1..24),
            limit in 1..6usize,
            surge in 0..4u32,
            one_by_one in any::<bool>(),
        ) {
            let instances: BTreeMap<InstanceId, Instance> = fleet
                .iter()
                .enumerate()
                .map(|(n, (zone, _, at))| (InstanceId::new(format!("i-{n:02}")), instance(*zone, *at)))
                .collect();
            let members = instances.iter().zip(&fleet).map(|((id, instance), (_, kind, _))| Member {
                is_new: *kind == 3,
                failed: *kind == 3,
                serves: *kind != 1,
                gets_requests: *kind != 1,
                surely_serves: *kind != 1,
                in_primary: *kind != 2,
                soaked: *kind != 3,
                ..Member::example(id, instance)
            });
            let all = u32::try_from(fleet.len()).expect("few");
            let size = all.saturating_sub(surge).max(1);
            let batch = u32::try_from(limit).expect("few");
            let window = Window::resolve(Policy::Rolling(BatchSize::Fixed(batch)), size);
            let members: Vec<Member<'_>> = members.collect();
            let (standby, terminating) = (Vec::new(), Vec::new());
            let floor = Floor { least: window.floor().into(), desired: None };
            let mut view = View { members, standby, window, floor, missing: 0, terminating };
            let mut queue = Queue::of(view.candidates().copied());
            let zones = if one_by_one { Zones::OneByOne } else { Zones::Spread };
            let mut begun: Option<String> = None;
            loop {
                let within = zones::within(zones, begun.as_deref(), view.candidates());
                let wanted = next(&view, within, view.spare(), limit, limit);
                let spare = view.spare();
                let (taken, begins) =
                    queue.take(zones, begun.as_deref(), &excess(&view), limit, spare);
                begun = begins.or(begun);
                let taken: BTreeSet<InstanceId> = taken.iter().map(|m| m.id.clone()).collect();
                prop_assert_eq!(&taken, &wanted);
                if wanted.is_empty() {
                    break;
                }
                for member in view.members.iter_mut().filter(|m| wanted.contains(m.id)) {
                    (member.is_new, member.failed, member.serves) = (true, false, true);
                }
            }
        }
    }
}
