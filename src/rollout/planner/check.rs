//! An independent judge of plans.
//!
//! It shares no decision with the planner: it recounts from the observation. The engine asks it
//! before every tick and refuses a plan with violations. Tests use it as their oracle.

use std::collections::BTreeSet;

use rolling_provider::{Action, Instance, InstanceId, Lifecycle, TargetGroup, TargetState};

use super::Plan;
use super::input::Input;
use crate::model::spec::{RollingDeployment, SetAside, Window};

/// Returns every promise that carrying out `plan` now would break, as sentences.
///
/// Empty for a good plan.
pub fn violations(input: &Input<'_>, plan: &Plan) -> Vec<String> {
    let mut found = Vec::new();
    let window = Window::resolve(input.spec.policy, input.state.size(input.look));
    check_ownership(input, plan, &mut found);
    check_once(plan, &mut found);
    check_record_first(input, plan, &mut found);
    check_floor(input, plan, window, &mut found);
    check_drained(input, plan, &mut found);
    check_capacity(input, plan, window, &mut found);
    check_meant(input, plan, &mut found);
    check_window(input, plan, window, &mut found);
    check_launches(input, plan, window, &mut found);
    check_reasons(input, plan, window, &mut found);
    found
}

/// Property 25: no plan touches what the rollout does not own, or takes out a protected instance.
fn check_ownership(input: &Input<'_>, plan: &Plan, found: &mut Vec<String>) {
    for step in &plan.actions {
        for id in touched(&step.action) {
            match input.look.instances.get(&id) {
                None => found.push(format!("{id} is not an instance of this fleet")),
                Some(instance) if instance.ignored => found.push(format!("{id} is to be ignored")),
                Some(instance)
                    if instance.protected
                        && takes_out(input, &step.action, instance)
                        && input.spec.replacement.within().is_none()
                        && input.spec.protected != SetAside::Refresh
                        && input.state.halt.is_none()
                        && !input.state.victims.contains(&id) =>
                {
                    found.push(format!("{id} is protected from scale-in"));
                }
                Some(_) => {}
            }
        }
    }
}

/// Whether `action` ends `instance`, or leaves no target group that sends it requests.
fn takes_out(input: &Input<'_>, action: &Action, instance: &Instance) -> bool {
    match action {
        Action::Register { .. } => false,
        Action::Deregister { target_group, .. } => !input.target.rotation().any(|group| {
            let health = instance.targets.get(&group.id);
            group.id != *target_group && health.is_some_and(|h| h.state == TargetState::Healthy)
        }),
        _ => true,
    }
}

/// No plan removes an instance twice, or registers and removes it at once.
///
/// Each removal may lower the size by one.
fn check_once(plan: &Plan, found: &mut Vec<String>) {
    let mut gone = BTreeSet::new();
    let mut registered = BTreeSet::new();
    for step in &plan.actions {
        match &step.action {
            Action::Register { instances, .. } => registered.extend(instances),
            Action::Terminate { instance, .. } | Action::Detach { instance, .. }
                if !gone.insert(instance) =>
            {
                found.push(format!("{instance} would be removed twice"));
            }
            Action::Update { instances, .. } => {
                for instance in instances.iter().filter(|id| !gone.insert(id)) {
                    found.push(format!("{instance} would be updated twice"));
                }
            }
            _ => {}
        }
    }
    for instance in registered.intersection(&gone) {
        found.push(format!("{instance} would be put into rotation and removed at once"));
    }
}

/// Invariant 5: the record stands before the first mutation.
fn check_record_first(input: &Input<'_>, plan: &Plan, found: &mut Vec<String>) {
    let mut recorded = input.state.record.is_some();
    for step in &plan.actions {
        if matches!(step.action, Action::WriteRecord { .. }) {
            recorded = true;
        } else if !recorded {
            found.push(format!("would {} before the record is written", step.action));
        }
    }
}

/// Property 1 where requests are shifted: each side keeps its share of the floor.
///
/// A side gets more requests only when as many instances serve there as the floor asks for.
fn check_shares(input: &Input<'_>, plan: &Plan, window: Window, found: &mut Vec<String>) {
    let Input { target, look, .. } = *input;
    let (Some(shifted), Some(second)) = (&look.shifted, &target.second) else { return };
    let (least, most) = (shifted.first().copied(), shifted.last().copied());
    let (least, most) = (least.unwrap_or_default(), most.unwrap_or_default());
    let home: Vec<&TargetGroup> = target.target_groups.iter().collect();
    let sides = [("first", home, 100 - least.min(100)), ("second", vec![second], most)];
    for (name, groups, share) in sides {
        let serves = |id: &&InstanceId| serves_in(input, &groups, id);
        let now = look.instances.keys().filter(serves).count();
        let lost = taken_from(plan, &groups).into_iter().filter(serves).count();
        let least = (window.floor() as usize * share as usize).div_ceil(100);
        if lost > 0 && share > 0 && now - lost < least {
            let left = now - lost;
            found.push(format!(
                "would leave {left} in the {name} target group, which gets {share} % of the requests"
            ));
        }
        let gets_more = plan.actions.iter().any(|step| match step.action {
            Action::Shift { percent } if name == "second" => percent > most,
            Action::Shift { percent } => percent < least_shifted(shifted),
            _ => false,
        });
        let is_rescue = name == "first" && leaves_in_any_case(input);
        let enough = if is_rescue { window.size.min(1) } else { window.floor() };
        let enough = enough as usize;
        if gets_more && now < enough {
            found.push(format!("would send requests to {now} in the {name} target group"));
        }
    }
}

/// Whether `id` serves in each of these target groups, and no call has taken it out.
fn serves_in(input: &Input<'_>, groups: &[&TargetGroup], id: &InstanceId) -> bool {
    let Input { look, state, .. } = *input;
    let Some(instance) = look.instances.get(id) else { return false };
    let asked = state.deregistered.get(id);
    let in_rotation = groups.iter().all(|group| {
        instance.targets.get(&group.id).is_some_and(|h| h.state == TargetState::Healthy)
            && asked.is_none_or(|asked| !asked.contains_key(&group.id))
    });
    let out = state.victims.contains(id) || state.terminated.contains(id);
    instance.lifecycle == Lifecycle::InService && instance.healthy && in_rotation && !out
}

/// The instances that a plan takes out of one of these target groups.
fn taken_from<'p>(plan: &'p Plan, groups: &[&TargetGroup]) -> BTreeSet<&'p InstanceId> {
    let mut taken = BTreeSet::new();
    for step in &plan.actions {
        match &step.action {
            Action::Deregister { target_group, instances }
                if groups.iter().any(|group| group.id == *target_group) =>
            {
                taken.extend(instances);
            }
            Action::Terminate { instance, .. } | Action::Detach { instance, .. } => {
                taken.insert(instance);
            }
            _ => {}
        }
    }
    taken
}

/// Whether requests leave the revision in any case: it failed, or nobody wants it any more.
fn leaves_in_any_case(input: &Input<'_>) -> bool {
    let Input { target, look, state, .. } = *input;
    let wanted = look.instances.values().any(|instance| {
        instance.lifecycle.is_live()
            && instance.revision.as_ref() == Some(&target.revision)
            && !instance.targets.is_empty()
    });
    state.rolls_back.is_some() || state.halt.is_some() || !wanted
}

fn least_shifted(shifted: &BTreeSet<u32>) -> u32 {
    shifted.first().copied().unwrap_or_default()
}

/// Property 1: no action of ours lowers the serving instances below the floor.
fn check_floor(input: &Input<'_>, plan: &Plan, window: Window, found: &mut Vec<String>) {
    if input.look.shifted.is_some() {
        return check_shares(input, plan, window, found);
    }
    let taken: BTreeSet<InstanceId> = plan
        .actions
        .iter()
        .filter(|step| !matches!(step.action, Action::Register { .. }))
        .flat_map(|step| touched(&step.action))
        .collect();
    let serving = |id: &&InstanceId| serves(input, id);
    let surely = |id: &&InstanceId| serves(input, id) && !input.state.may_be_out(id, input.now);
    let now = input.look.instances.keys().filter(surely).count();
    let lost = taken.iter().filter(serving).count();
    if lost > 0 && now.saturating_sub(lost) < window.floor() as usize {
        found.push(format!(
            "would leave {} serving, below the floor of {}",
            now.saturating_sub(lost),
            window.floor()
        ));
    }
}

/// Property 5: in every target group, no removal before the drain ends or its deadline passes.
///
/// A fleet that replaces what is out of rotation itself drains an instance that goes without a
/// replacement, in the target groups that the fleet knows.
fn check_drained(input: &Input<'_>, plan: &Plan, found: &mut Vec<String>) {
    for step in &plan.actions {
        let without = matches!(step.action, Action::Terminate { decrement, .. } | Action::Detach { decrement, .. } if decrement);
        let by_fleet = without && input.state.replaces.is_seen() && !input.look.is_unmanaged();
        let removed = match &step.action {
            Action::Terminate { instance, .. } | Action::Detach { instance, .. } => {
                std::slice::from_ref(instance).iter().collect::<Vec<_>>()
            }
            Action::Update { instances, .. } => instances.iter().collect(),
            _ => continue,
        };
        let second = input.target.second.iter();
        let known = input.target.target_groups.iter().filter(|_| !by_fleet);
        let groups = |id| second.clone().chain(known.clone()).map(move |group| (id, group));
        for (id, group) in removed.into_iter().flat_map(groups) {
            let Some(instance) = input.look.instances.get(id) else { continue };
            let state = instance.targets.get(&group.id).map(|health| health.state);
            let asked = input.state.deregistered.get(id).and_then(|at| at.get(&group.id));
            let longest_drain = RollingDeployment::drain_deadline(group.drain);
            let late = asked.is_some_and(|asked| input.now >= *asked + longest_drain);
            if !matches!(state, None | Some(TargetState::Unused)) && !late {
                found
                    .push(format!("would {} before it has drained in {}", step.action, group.name));
            }
        }
    }
}

/// Property 2, and "victims are always named": no size below what lives, none above the ceiling.
fn check_capacity(input: &Input<'_>, plan: &Plan, window: Window, found: &mut Vec<String>) {
    let live = input.look.instances.iter().filter(|(id, instance)| {
        instance.lifecycle.is_live() && !input.state.terminated.contains(id)
    });
    // A fleet that another process scales in lives above its size for a while. That is not our
    // doing.
    let live = live.count().min(input.look.desired() as usize);
    for step in &plan.actions {
        let Action::SetCapacity { desired, max } = step.action else { continue };
        if desired.or(max).is_some_and(|size| (size as usize) < live) {
            found.push(format!("would {} and cost some of {live} instances", step.action));
        }
        let Some(desired) = desired else { continue };
        if max.is_some_and(|max| max < desired) {
            found.push(format!("would {}, a maximum below that", step.action));
        }
        if desired > window.ceiling() {
            found.push(format!("size {desired} is above the ceiling of {}", window.ceiling()));
        }
    }
}

/// Property 21: no action of ours leaves a size below the one the fleet is meant to have.
///
/// The record says what size that is. The lesser of the size that a look shows and the size that we
/// believe counts: otherwise more instances would go without a replacement than were launched
/// beside the fleet.
fn check_meant(input: &Input<'_>, plan: &Plan, found: &mut Vec<String>) {
    let Input { look, state, .. } = *input;
    if look.is_unmanaged() || input.spec.replacement.within().is_some() {
        return;
    }
    let mut meant = state.record.as_ref().map_or(0, |record| record.size);
    let mut desired = look.desired().min(state.desired(look));
    for step in &plan.actions {
        let before = desired;
        match step.action {
            Action::WriteRecord { .. } => {
                meant = step.record.as_ref().map_or(meant, |record| record.size);
            }
            Action::SetCapacity { desired: Some(to), .. } => desired = to,
            Action::Terminate { decrement: true, .. } | Action::Detach { decrement: true, .. } => {
                desired = desired.saturating_sub(1);
            }
            _ => {}
        }
        if desired < before && desired < meant {
            found.push(format!(
                "would {} and leave a size of {desired}, of {meant} that it is meant to have",
                step.action
            ));
        }
    }
}

/// Property 3: a plan makes no more instances drain, boot or soak than the window has places.
///
/// A failed instance holds its place until it is gone.
fn check_window(input: &Input<'_>, plan: &Plan, window: Window, found: &mut Vec<String>) {
    let Some(begins) = &plan.begins else { return };
    let Input { spec, target, look, state, now } = *input;
    let mut busy: BTreeSet<&InstanceId> = BTreeSet::new();
    let mut live = 0;
    for (id, instance) in &look.instances {
        if !instance.lifecycle.is_live() || state.terminated.contains(id) {
            continue;
        }
        live += 1;
        let since = state.history.get(id).and_then(|history| history.serving_since);
        let soak = spec.health.min_healthy_time;
        let soaked = serves(input, id) && since.is_some_and(|since| now.since(since) >= soak);
        let is_new = instance.revision.as_ref() == Some(&target.revision);
        if state.victims.contains(id) || (is_new && !soaked) {
            busy.insert(id);
        }
    }
    let missing = (state.desired(look) as usize).saturating_sub(live);
    let before = busy.len() + missing;
    busy.extend(&begins.victims);
    let after = busy.len() + missing + begins.launches as usize;
    if after > before && after > window.slots() as usize {
        let slots = window.slots();
        found.push(format!("would have {after} draining, booting or soaking, with {slots} places"));
    }
}

/// Property 2 for unmanaged instances: launches stay within the ceiling.
///
/// Instances that have drained, or that this plan removes, do not count.
fn check_launches(input: &Input<'_>, plan: &Plan, window: Window, found: &mut Vec<String>) {
    let mut launches = 0;
    let mut removed = BTreeSet::new();
    for step in &plan.actions {
        match &step.action {
            Action::Launch { .. } => launches += 1,
            Action::Terminate { instance, .. } | Action::Detach { instance, .. } => {
                removed.insert(instance);
            }
            _ => {}
        }
    }
    let live = input.look.instances.iter().filter(|(id, instance)| {
        let mut states = instance.targets.values().map(|health| health.state);
        let drained = input.state.victims.contains(id) && states.all(|s| s == TargetState::Unused);
        let gone = drained || removed.contains(id) || input.state.terminated.contains(id);
        instance.lifecycle.is_live() && !gone
    });
    let live = live.count() + input.state.unmanaged.on_their_way as usize;
    if launches > 0 && live + launches > window.ceiling() as usize {
        let ceiling = window.ceiling();
        found
            .push(format!("would launch {launches} beside {live}, above the ceiling of {ceiling}"));
    }
    if launches > 0 && !input.look.is_unmanaged() {
        found.push("would launch into a fleet that launches by itself".into());
    }
}

/// Every launch has a reason.
///
/// Reasons are a place of the fleet or of surge, a failure, and what others took or added. More
/// than a batch beyond those would go on for ever.
fn check_reasons(input: &Input<'_>, plan: &Plan, window: Window, found: &mut Vec<String>) {
    let Input { look, state, .. } = *input;
    // A rollout that halts puts back what it borrowed in any case.
    let is_halting = state.halt.is_some();
    if look.is_unmanaged() || input.spec.replacement.within().is_some() || is_halting {
        return;
    }
    let desired = state.desired(look);
    let mut more = 0;
    for step in &plan.actions {
        match &step.action {
            Action::SetCapacity { desired: Some(to), .. } => more += to.saturating_sub(desired),
            Action::Terminate { instance, decrement: false }
            | Action::Detach { instance, decrement: false } => {
                let lives = look.instances.get(instance).is_some_and(|i| i.lifecycle.is_live());
                more += u32::from(lives);
            }
            _ => {}
        }
    }
    let is_live = |(id, instance): &(&InstanceId, &rolling_provider::Instance)| {
        instance.lifecycle.is_live() && !state.terminated.contains(*id)
    };
    let live = look.instances.iter().filter(is_live).count();
    let live = u32::try_from(live).unwrap_or(u32::MAX);
    let (missing, extra) = (desired.saturating_sub(live), live.saturating_sub(desired));
    let failed = u32::try_from(state.failed.len()).unwrap_or(u32::MAX);
    // One batch beyond the known reasons is not a loop yet.
    let slack = window.slots();
    let reasons = state.launched.reasons() + window.surge + failed + extra + slack;
    let launches = state.launched.came + missing + more;
    if more > 0 && launches > reasons {
        found.push(format!(
            "would have {launches} instances launched for {}, with reasons for {reasons}",
            input.target.revision
        ));
    }
}

fn serves(input: &Input<'_>, id: &InstanceId) -> bool {
    let Some(instance) = input.look.instances.get(id) else { return false };
    let out = input.state.victims.contains(id)
        || input.state.terminated.contains(id)
        || input.state.deregistered.contains_key(id);
    let agreed = input.target.target_groups.iter().all(|group| {
        instance.targets.get(&group.id).is_some_and(|h| h.state == TargetState::Healthy)
    });
    instance.lifecycle == Lifecycle::InService && instance.healthy && !out && agreed
}

fn touched(action: &Action) -> Vec<InstanceId> {
    match action {
        Action::Deregister { instances, .. }
        | Action::Register { instances, .. }
        | Action::Update { instances, .. } => instances.iter().cloned().collect(),
        Action::Terminate { instance, .. } | Action::Detach { instance, .. } => {
            vec![instance.clone()]
        }
        _ => Vec::new(),
    }
}
