//! Applies interventions to a fleet: at once, or at times that its configuration sets.

use std::time::Duration;

use rolling_provider::{InstanceId, Revision, Timestamp};

use crate::Intervention;
use crate::config::FleetConfig;
use crate::fleet_state::{Crowds, FleetState, Registration, SimulatedInstance};

impl FleetState {
    /// Returns when the next events until `now` happen, and which they are, in configured order.
    pub(crate) fn due(
        &self,
        config: &FleetConfig,
        now: Timestamp,
    ) -> Option<(Timestamp, Vec<Intervention>)> {
        let time = |after: &Duration| self.made_at + *after;
        let ahead = config.events.iter().map(|(after, _)| time(after));
        let at = ahead.filter(|at| *at > self.events_until && *at <= now).min()?;
        let due = config.events.iter().filter(|(after, _)| time(after) == at);
        Some((at, due.map(|(_, event)| event.clone()).collect()))
    }

    pub(crate) fn intervene(&mut self, config: &FleetConfig, intervention: Intervention) {
        let now = self.now;
        let mut on = |id: &InstanceId, change: &dyn Fn(&mut SimulatedInstance)| {
            if let Some(instance) = self.instances.get_mut(id) {
                change(instance);
            }
        };
        match intervention {
            Intervention::Terminate(id) => self.terminate(config, &id),
            Intervention::Reclaim(count) => self.reclaim(config, count),
            Intervention::Deregister(id) => on(&id, &|instance| {
                for target in instance.targets.values_mut() {
                    target.deregistered_at.get_or_insert(now);
                }
            }),
            Intervention::Register(id) => on(&id, &|instance| instance.register(config, now)),
            Intervention::Protect(id, on_off) => on(&id, &|i| i.protected = on_off),
            // As on AWS, an instance in standby leaves its target groups, and later returns to
            // them.
            Intervention::Standby(id, on_off) => on(&id, &|instance| {
                instance.standby = on_off;
                for target in instance.targets.values_mut() {
                    *target = Registration { since: now, deregistered_at: on_off.then_some(now) };
                }
            }),
            Intervention::Break(id, on_off) => on(&id, &|i| i.broken = on_off),
            Intervention::Ignore(id) => on(&id, &|instance| {
                instance.tags.insert("rolling:ignore".into(), String::new());
            }),
            Intervention::Join(revision) => self.join(config, revision),
            Intervention::Resize(desired) => {
                self.capacity.max = self.capacity.max.max(desired);
                self.capacity.min = self.capacity.min.min(desired);
                self.resize(config, desired);
            }
            Intervention::Limit(min, max) => {
                let min = min.unwrap_or(self.capacity.min);
                let max = max.unwrap_or(self.capacity.max).max(min);
                (self.capacity.min, self.capacity.max) = (min.min(max), max);
                self.resize(config, self.capacity.desired.min(max).max(min));
            }
            Intervention::Tags(tags) => self.tags.extend(tags),
            Intervention::MoveTemplate(to) => (self.template, self.template_at) = (to, now),
            Intervention::Suspend(process, true) => drop(self.suspended.insert(process)),
            Intervention::Suspend(process, false) => drop(self.suspended.remove(&process)),
            Intervention::Alarm(on_off) => self.alarm = on_off,
            Intervention::Throttle(span) => {
                self.throttled_until = self.throttled_until.max(now + span);
            }
        }
    }

    /// Launches an instance of `revision` without a change of the template.
    fn join(&mut self, config: &FleetConfig, revision: Revision) {
        let before = std::mem::replace(&mut self.template, revision);
        let zone = Crowds::of(self, config).emptiest();
        self.launch(config, self.now, zone, None);
        self.template = before;
    }

    /// See [`Intervention::Reclaim`].
    fn reclaim(&mut self, config: &FleetConfig, count: u32) {
        let live = self.instances.iter().filter(|(_, i)| i.gone_at.is_none() && !i.standby);
        let mut live: Vec<InstanceId> = live.map(|(id, _)| id.clone()).collect();
        config.random(self.now.since(self.made_at).as_secs(), 4).shuffle(&mut live);
        for id in live.into_iter().take(count as usize) {
            self.terminate(config, &id);
            if let Some(instance) = self.instances.get_mut(&id) {
                instance.targets.clear();
                instance.gone_at = Some(self.now + crate::fleet_state::SHUTDOWN);
                instance.in_lifecycle_hook = None;
            }
        }
    }
}

impl SimulatedInstance {
    /// Registers it, while it runs, in every target group where it is not, or drains.
    fn register(&mut self, config: &FleetConfig, now: Timestamp) {
        for group in config.target_groups.iter().filter(|_| self.gone_at.is_none()) {
            let fresh = Registration { since: now, deregistered_at: None };
            let found = self.targets.entry(group.id()).or_insert(fresh);
            if found.deregistered_at.is_some() {
                *found = fresh;
            }
        }
    }
}
