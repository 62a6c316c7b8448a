//! Converts a document's simulated fleet, with every default filled in.

use std::time::Duration;

use rolling_provider::{InstanceId, Revision};
use rolling_simulator::{
    Behaviour, FleetConfig, Intervention, LifecycleHooks, SimulatedTargetGroup,
};

use crate::document::config::{
    BehaviourName, DurationText, SimulatedEventConfig, SimulatedFleetConfig, TerminationPolicyName,
};

/// Converts a document's simulated fleet, with every default filled in. Where requests are shifted,
/// it has a second target group.
pub fn fleet_config(fleet: &SimulatedFleetConfig, shifts: bool) -> FleetConfig {
    let default = FleetConfig::default();
    let [group] = &default.target_groups[..] else { unreachable!("the default fleet has one") };
    let time =
        |text: &Option<DurationText>, default| text.as_ref().map_or(default, DurationText::get);
    let groups = match &fleet.target_groups {
        Some(groups) => groups
            .iter()
            .map(|given| SimulatedTargetGroup {
                name: given.name.clone(),
                register: time(&given.register, group.register),
                drain: time(&given.drain, group.drain),
            })
            .collect(),
        None => default.target_groups.clone(),
    };
    let bad = fleet.bad_revisions.iter().flatten();
    FleetConfig {
        name: fleet.name.clone(),
        instances: fleet.instances.unwrap_or(default.instances),
        initial_revision: fleet
            .initial_revision
            .as_deref()
            .map_or(default.initial_revision.clone(), Revision::from),
        revision: fleet.revision.as_str().into(),
        zones: fleet.zones.unwrap_or(default.zones),
        second: shifts.then(|| SimulatedTargetGroup { name: "second".into(), ..group.clone() }),
        target_groups: groups,
        boot: time(&fleet.boot, default.boot),
        boot_sigma: fleet.boot_sigma.unwrap_or(default.boot_sigma),
        seed: fleet.seed.unwrap_or(default.seed),
        bad_revisions: bad.map(|(name, how)| (name.as_str().into(), behaviour(*how))).collect(),
        launch_lag: time(&fleet.launch_lag, default.launch_lag),
        launches_instead: fleet.launches_instead.as_deref().map(Revision::from),
        template_set_back: fleet.template_set_back_after.as_ref().map(DurationText::get),
        scales_in_newest: fleet.termination_policy == Some(TerminationPolicyName::NewestInstance),
        replaces_deregistered: fleet.replaces_deregistered.unwrap_or(default.replaces_deregistered),
        hooks: LifecycleHooks {
            launching: time(&fleet.launching_hook, default.hooks.launching),
            terminating: time(&fleet.terminating_hook, default.hooks.terminating),
        },
        throttled: fleet
            .throttled_percent
            .map_or(default.throttled, |percent| f64::from(percent) / 100.0),
        events: fleet.events.iter().flatten().flat_map(events).collect(),
        ..default.clone()
    }
}

fn behaviour(name: BehaviourName) -> rolling_simulator::Behaviour {
    match name {
        BehaviourName::Unhealthy => Behaviour::Unhealthy,
        BehaviourName::Flap => Behaviour::Flap,
        BehaviourName::Slow => Behaviour::Slow,
        BehaviourName::Hang => Behaviour::Hang,
        BehaviourName::Die => Behaviour::Die,
        BehaviourName::FailLaunch => Behaviour::FailLaunch,
        BehaviourName::HalfUnhealthy => Behaviour::HalfUnhealthy,
        BehaviourName::Alarm => Behaviour::Alarm,
    }
}

/// Converts one event of a document to interventions, in order.
fn events(event: &SimulatedEventConfig) -> Vec<(Duration, Intervention)> {
    let mut happens = Vec::new();
    if event.min_size.is_some() || event.max_size.is_some() {
        happens.push(Intervention::Limit(event.min_size, event.max_size));
    }
    happens.extend(event.desired_capacity.map(Intervention::Resize));
    let template = event.template_revision.as_deref();
    happens.extend(template.map(|revision| Intervention::MoveTemplate(revision.into())));
    happens.extend(event.reclaim.map(Intervention::Reclaim));
    let ids = |names: &Option<Vec<String>>| {
        let names = names.iter().flatten();
        names.map(|name| InstanceId::new(name.as_str())).collect::<Vec<_>>()
    };
    happens.extend(ids(&event.terminate).into_iter().map(Intervention::Terminate));
    happens.extend(ids(&event.deregister).into_iter().map(Intervention::Deregister));
    happens.extend(ids(&event.protect).into_iter().map(|id| Intervention::Protect(id, true)));
    happens.extend(event.alarm.map(Intervention::Alarm));
    happens.extend(event.throttle.as_ref().map(|span| Intervention::Throttle(span.get())));
    happens.into_iter().map(|what| (event.after.get(), what)).collect()
}
