//! What a fleet lacks before anything is changed: instances that are missing, or that do not serve.

use std::collections::BTreeMap;

use rolling_provider::InstanceId;

use super::View;
use super::input::Input;

/// Says how many instances are missing already, with the cloud's own reason.
pub(super) fn missing_now(input: &Input<'_>, view: &View<'_>) -> Option<String> {
    let missing = view.missing as usize;
    if missing == 0 || input.look.is_unmanaged() {
        return None;
    }
    let failed = input.state.launches.activities.iter().find(|activity| activity.failed);
    let why = failed.map_or(String::new(), |activity| format!(" ({})", activity.cause));
    let are = if missing == 1 { "is" } else { "are" };
    Some(format!("{missing} of {} instances {are} missing already{why}", view.window.size))
}

/// The most reasons that are named.
const REASONS: usize = 3;

/// Says how many instances do not serve, which, and why.
pub(super) fn idle_now(input: &Input<'_>, view: &View<'_>) -> Option<String> {
    let mut by_reason: BTreeMap<String, Vec<&InstanceId>> = BTreeMap::new();
    for member in view.members.iter().filter(|member| !member.serves) {
        let why = input.state.trouble_of(input.target, member.id, member.instance);
        by_reason.entry(why).or_default().push(member.id);
    }
    let idle: usize = by_reason.values().map(Vec::len).sum();
    let mut told: Vec<_> = by_reason.into_iter().collect();
    told.sort_by_key(|(_, ids)| std::cmp::Reverse(ids.len()));
    let others: usize = told.iter().skip(REASONS).map(|(_, ids)| ids.len()).sum();
    let mut told: Vec<String> =
        told.iter().take(REASONS).map(|(why, ids)| format!("{} ({why})", some(ids))).collect();
    if others > 0 {
        told.push(format!("{others} more for other reasons"));
    }
    let (verb, n) = (if idle == 1 { "does" } else { "do" }, view.members.len());
    (idle > 0).then(|| format!("{idle} of {n} instances {verb} not serve now: {}", told.join(", ")))
}

fn some(ids: &[&InstanceId]) -> String {
    match ids {
        [first, second] => format!("{first} and {second}"),
        [first, others @ ..] if !others.is_empty() => format!("{first} and {} more", others.len()),
        _ => ids.iter().map(ToString::to_string).collect(),
    }
}
