//! Updates instances in place.
//!
//! An update begins once its instances are out of rotation, and is confirmed once the cloud reports
//! it as done. Updated instances then go back into rotation the way new ones do.

use std::collections::{BTreeMap, BTreeSet};

use rolling_provider::{Action, InstanceId, Lifecycle, Revision, Timestamp, Update, UpdateState};
use sha2::{Digest as _, Sha256};

use super::input::Input;
use super::{Member, Plan, Step, View};
use crate::model::wait::{Wait, WaitKind};
use crate::rollout::state::UPDATE_SHOWS_IN;

/// How many instances one action updates.
///
/// A platform may need a call for each, and the engine must renew the lease in between.
const AT_ONCE: usize = 20;

/// Begins the update of `drained`.
pub(crate) fn update(input: &Input<'_>, drained: &BTreeSet<InstanceId>) -> Vec<Step> {
    let all: Vec<&InstanceId> = drained.iter().collect();
    let some = all.chunks(AT_ONCE).map(|some| {
        let instances: BTreeSet<InstanceId> = some.iter().map(|id| (*id).clone()).collect();
        let (to, token) = (input.target.revision.clone(), token(input, &instances));
        Step::new(Action::Update { instances, to, token })
    });
    some.collect()
}

/// Returns the token of an update. An update that is tried again after a failure has another one.
fn token(input: &Input<'_>, instances: &BTreeSet<InstanceId>) -> String {
    let record = input.state.record.as_ref();
    let known = record.map(|r| (r.id.as_str(), r.generation, r.failures, r.pause_changed_at));
    let (id, generation, failures, pause_changed_at) = known.unwrap_or_default();
    let resumed = pause_changed_at.unwrap_or_default();
    let back = input.state.direction.rolls_back.is_some();
    let names: Vec<&str> = instances.iter().map(InstanceId::as_str).collect();
    let (to, names) = (&input.target.revision, names.join(" "));
    let message = format!("{id} {generation} {to} {failures} {} {back} {names}", resumed.0);
    let digest = Sha256::digest(message.as_bytes());
    digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}

/// Confirms updates that are done.
pub(crate) fn confirm(input: &Input<'_>, plan: &mut Plan) {
    for (to, instances) in of(input, |update, _| update.state == UpdateState::Done) {
        plan.actions.push(Step::new(Action::Confirm { instances, to: Some(to) }));
    }
}

/// Confirms updates that are done, and asks again for those that were only marked.
pub(crate) fn follow(input: &Input<'_>, plan: &mut Plan) {
    let Input { look, target, state, now, .. } = *input;
    confirm(input, plan);
    let mut lost: BTreeMap<&str, BTreeSet<InstanceId>> = BTreeMap::new();
    for (id, instance) in &look.instances {
        let Some(update) = &instance.update else { continue };
        if update.state != UpdateState::Marked
            || update.to != target.revision
            || instance.ignored
            || state.rotation.victims.contains(id)
        {
            continue;
        }
        if is_lost(input, id) || state.update_was_refused(&update.token) {
            lost.entry(&update.token).or_default().insert(id.clone());
        } else {
            plan.wake_at(state.history.get(id).map(|history| history.since + UPDATE_SHOWS_IN), now);
        }
    }
    for (token, instances) in lost {
        let (to, token) = (target.revision.clone(), token.to_owned());
        plan.actions.push(Step::new(Action::Update { instances, to, token }));
    }
}

/// Does the same for a rollout that ends early.
///
/// Waits for updates that are under way, and does not begin those that were only marked.
pub(crate) fn settle(input: &Input<'_>, view: &View<'_>, plan: &mut Plan) {
    if !input.is_in_place() {
        return;
    }
    confirm(input, plan);
    let lost = of(input, |update, id| update.state == UpdateState::Marked && is_lost(input, id));
    for instances in lost.into_values() {
        plan.actions.push(Step::new(Action::Confirm { instances, to: None }));
    }
    wait(input, view, plan);
}

/// Returns the instances whose update satisfies `is_it`, by the revision that it leads to.
fn of(
    input: &Input<'_>,
    is_it: impl Fn(&Update, &InstanceId) -> bool,
) -> BTreeMap<Revision, BTreeSet<InstanceId>> {
    let mut found: BTreeMap<Revision, BTreeSet<InstanceId>> = BTreeMap::new();
    for (id, instance) in &input.look.instances {
        if let Some(update) = instance.update.as_ref().filter(|update| is_it(update, id))
            && !instance.ignored
            && !input.state.rotation.victims.contains(id)
        {
            found.entry(update.to.clone()).or_default().insert(id.clone());
        }
    }
    found
}

/// Whether a marked update would show by now if it had been begun.
fn is_lost(input: &Input<'_>, id: &InstanceId) -> bool {
    let since = input.state.history.get(id).map(|history| history.since);
    since.is_some_and(|since| input.now >= since + UPDATE_SHOWS_IN)
}

/// Whether an update is at work on `member`, so that nothing else may be.
pub(crate) fn is_at_work(input: &Input<'_>, member: &Member<'_>) -> bool {
    let Some(update) = &member.instance.update else { return false };
    match update.state {
        UpdateState::Running => input.now < deadline(input, member),
        UpdateState::Marked => !is_lost(input, member.id),
        UpdateState::Done | UpdateState::Failed(_) => false,
    }
}

/// Whether `member`, out of rotation, can be updated now: it runs, and no update is at work on it.
pub(crate) fn is_ready(input: &Input<'_>, member: &Member<'_>) -> bool {
    let runs = member.instance.lifecycle == Lifecycle::InService;
    (runs || member.instance.update.is_some()) && !is_at_work(input, member)
}

/// Returns when the update of `member` must have ended.
fn deadline(input: &Input<'_>, member: &Member<'_>) -> Timestamp {
    let since = member.history.map_or(input.now, |history| history.since);
    let update = member.instance.update.as_ref();
    update.map_or(since, |update| input.state.update_deadline(update, since))
}

/// Waits for updates that are under way.
pub(crate) fn wait(input: &Input<'_>, view: &View<'_>, plan: &mut Plan) {
    let at_work: Vec<&Member<'_>> =
        view.members.iter().filter(|member| is_at_work(input, member)).collect();
    let Some(deadline) = at_work.iter().map(|member| deadline(input, member)).min() else { return };
    let instances = at_work.iter().map(|member| member.id.clone()).collect();
    let to = at_work.iter().find_map(|member| member.instance.update.as_ref());
    let detail = to.map(|update| update.to.to_string());
    plan.wait(Wait { kind: WaitKind::Update, instances, detail, deadline });
}
