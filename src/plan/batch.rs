//! Who goes next.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use rolling_provider::InstanceId;

use super::{Member, View};

/// The victims to take next: failed ones first, then others that do not serve, since losing those
/// costs no capacity, then the oldest, spread over the zones. Bounded by what the floor leaves of
/// the serving ones, by `limit`, save for failed ones that hold a place already, and by `most` with
/// those.
///
/// While there is surge, the last old ones go without a replacement. Those are kept for the end
/// where zones have too many, so that the fleet ends up even and a resumed rebalancing has
/// nothing to do.
///
/// Takes time linear to the fleet: only the first of each zone are put in order.
pub fn next(view: &View<'_>, limit: usize, most: usize) -> BTreeSet<InstanceId> {
    let mut zones: BTreeMap<&str, Vec<&Member<'_>>> = BTreeMap::new();
    let failed = view.candidates().filter(|member| member.holds_place()).count();
    let most = most.min(limit + failed);
    if most > 0 {
        for member in view.candidates() {
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
        let kept = excess.get(zone).copied().unwrap_or_default();
        let mut serving = 0usize;
        for (index, member) in members.into_iter().enumerate() {
            // Those that serve are ranked by themselves.
            let rank = if member.serves { serving } else { index };
            serving += usize::from(member.serves);
            ranked.push((class(member), all - index <= kept, rank, order(member), member));
        }
    }
    ranked.sort_by_key(|(class, kept, rank, order, _)| (*class, *kept, *rank, *order));

    let mut spare = view.serving().saturating_sub(view.window.floor() as usize);
    let (mut chosen, mut places, mut idle_left) = (BTreeSet::new(), limit, false);
    for (.., member) in ranked {
        if chosen.len() >= most || (member.serves && (spare == 0 || idle_left)) {
            break;
        }
        if !member.holds_place() {
            if places == 0 {
                idle_left |= !member.serves;
                continue;
            }
            places -= 1;
        }
        spare -= usize::from(member.serves);
        chosen.insert(member.id.clone());
    }
    chosen
}

/// Those that do not serve before those that do, and among the latter those that do so in the
/// second target group only; among each, those that have failed first.
fn class(member: &Member<'_>) -> u8 {
    let place = match (member.serves, member.at_home) {
        (false, _) => 0,
        (true, false) => 2,
        (true, true) => 4,
    };
    place + u8::from(!member.failed)
}

/// Oldest first within a class; one whose launch time is unknown comes before all others.
fn order<'a>(member: &Member<'a>) -> (u8, Option<rolling_provider::Timestamp>, &'a InstanceId) {
    (class(member), member.instance.launched_at, member.id)
}

/// By zone, how many more live than an even spread of the fleet without its surge would have;
/// empty without surge.
pub(super) fn excess<'a>(view: &View<'a>) -> BTreeMap<&'a str, usize> {
    let size = view.window.size as usize;
    if view.members.len() <= size {
        return BTreeMap::new();
    }
    let mut zones: BTreeMap<&str, usize> = BTreeMap::new();
    for member in &view.members {
        *zones.entry(&member.instance.zone).or_default() += 1;
    }
    // The most crowded zones keep what does not divide evenly.
    let mut crowded: Vec<(&str, usize)> = zones.into_iter().collect();
    crowded.sort_by_key(|(zone, live)| (Reverse(*live), *zone));
    let (share, rest) = (size / crowded.len(), size % crowded.len());
    let spread = crowded.into_iter().enumerate();
    spread
        .map(|(index, (zone, live))| (zone, live.saturating_sub(share + usize::from(index < rest))))
        .collect()
}

/// Surplus instances to give back at the end, `count` of them: those that do not serve first,
/// then those that have not soaked, then from the zone that has the most, so that zones stay even
/// and a resumed rebalancing has nothing to do; within a zone the youngest.
pub fn surplus(view: &View<'_>, count: usize) -> BTreeSet<InstanceId> {
    let order = |m: &Member<'_>| (!m.serves, !m.soaked, m.is_new, m.instance.launched_at);
    let mut zones: BTreeMap<&str, Vec<&Member<'_>>> = BTreeMap::new();
    for member in view.members.iter().filter(|m| !m.spared && !m.is_victim) {
        zones.entry(&member.instance.zone).or_default().push(member);
    }
    for members in zones.values_mut() {
        members.sort_unstable_by_key(|member| (order(member), member.id));
    }
    let mut chosen = BTreeSet::new();
    while chosen.len() < count {
        // The last of each zone is the one it would give.
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
