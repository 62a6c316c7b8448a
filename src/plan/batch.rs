//! Who goes next.

use std::collections::{BTreeMap, BTreeSet};

use rolling_provider::InstanceId;

use super::View;

/// The victims of the next batch: instances that do not serve first, since losing them costs no
/// capacity, then the oldest, spread over the zones. Bounded by the window's slots, and by what
/// the floor leaves of the serving ones.
///
/// While there is surge, the last old ones go without a replacement. Those are kept for the end
/// where zones have too many, so that the fleet ends up even and a resumed rebalancing has
/// nothing to do.
pub fn next(view: &View<'_>) -> BTreeSet<InstanceId> {
    let mut candidates: Vec<_> = view.old().filter(|member| !member.is_victim).collect();
    // Oldest first; an instance whose launch time is unknown comes before all others.
    candidates.sort_by_key(|m| (m.serves, m.instance.launched_at, m.id));

    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    for member in &candidates {
        *left.entry(&member.instance.zone).or_default() += 1;
    }
    let excess = excess(view);
    let mut per_zone: BTreeMap<(bool, &str), usize> = BTreeMap::new();
    let mut ranked: Vec<_> = candidates
        .into_iter()
        .map(|member| {
            let zone = member.instance.zone.as_str();
            let rank = per_zone.entry((member.serves, zone)).or_default();
            *rank += 1;
            let left = left.entry(zone).or_default();
            let kept = *left <= excess.get(zone).copied().unwrap_or_default();
            *left -= 1;
            (member.serves, kept, *rank, member)
        })
        .collect();
    // Sorting is stable: within a rank the order stays by age.
    ranked.sort_by_key(|(serves, kept, rank, _)| (*serves, *kept, *rank));

    let mut spare = view.serving().saturating_sub(view.window.floor() as usize);
    let mut chosen = BTreeSet::new();
    for (serves, _, _, member) in ranked {
        if chosen.len() >= view.window.slots() as usize {
            break;
        }
        if serves {
            if spare == 0 {
                break;
            }
            spare -= 1;
        }
        chosen.insert(member.id.clone());
    }
    chosen
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
    crowded.sort_by_key(|(zone, live)| (std::cmp::Reverse(*live), *zone));
    let (share, rest) = (size / crowded.len(), size % crowded.len());
    let spread = crowded.into_iter().enumerate();
    spread
        .map(|(index, (zone, live))| (zone, live.saturating_sub(share + usize::from(index < rest))))
        .collect()
}

/// Surplus instances to give back at the end, `count` of them: those that do not serve first,
/// then from the zone that has the most, so that zones stay even and a resumed rebalancing has
/// nothing to do; within a zone the youngest.
pub fn surplus(view: &View<'_>, count: usize) -> BTreeSet<InstanceId> {
    let mut left: Vec<_> = view.members.iter().filter(|m| !m.instance.ignored).collect();
    let mut chosen = BTreeSet::new();
    while chosen.len() < count {
        let mut zones: BTreeMap<&str, usize> = BTreeMap::new();
        for member in &left {
            *zones.entry(&member.instance.zone).or_default() += 1;
        }
        let first = left.iter().enumerate().max_by_key(|(_, m)| {
            let crowd = zones.get(m.instance.zone.as_str()).copied().unwrap_or_default();
            (!m.serves, m.is_new, crowd, m.instance.launched_at, m.id)
        });
        let Some((index, _)) = first else { break };
        chosen.insert(left.swap_remove(index).id.clone());
    }
    chosen
}
