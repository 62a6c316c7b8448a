//! How time changes a simulated fleet: launches, failures, schedules and removals that are due.

use std::collections::BTreeSet;
use std::time::Duration;

use rolling_provider::{InstanceId, Revision, Timestamp};

use super::{CapacityState, Crowds, FleetState, SimulatedInstance};
use crate::config::{Behaviour, FleetConfig};

/// How long after a failed launch the next one is tried.
const LAUNCH_RETRY: Duration = Duration::from_secs(30);
/// How long an instance lives that dies before it is in service.
const SHORT_LIFE: Duration = Duration::from_secs(3);

impl FleetState {
    /// Advances time to `now`, with each event at its time. Returns whether anything but the time
    /// changed.
    pub fn advance(&mut self, config: &FleetConfig, now: Timestamp) -> bool {
        let mut changed = false;
        while let Some((at, due)) = self.due(config, now) {
            self.pass(config, at);
            self.events_until = at;
            for event in due {
                self.intervene(config, event);
            }
            changed = true;
        }
        self.pass(config, now) | changed
    }

    fn pass(&mut self, config: &FleetConfig, now: Timestamp) -> bool {
        let before = self.footprint();
        self.now = self.now.max(now);
        let now = self.now;
        self.instances.retain(|_, instance| instance.gone_at.is_none_or(|gone| gone > now));
        self.follow_schedule(config);
        if config.template_set_back.is_some_and(|after| now >= self.template_at + after) {
            self.template = config.initial_revision.clone();
        }
        if config.replaces_deregistered {
            self.replace_deregistered(config);
        }
        self.let_die(config);
        if config.unmanaged {
            return self.footprint() != before;
        }
        let live = self.live();
        if self.suspended.contains("Launch") {
            return self.footprint() != before;
        }
        let fails = config.bad_revisions.get(&self.template) == Some(&Behaviour::FailLaunch);
        let mut crowds = Crowds::default();
        if live < self.capacity.desired as usize {
            crowds = Crowds::of(self, config);
        }
        for _ in live..self.capacity.desired as usize {
            if !fails {
                let id = self.launch(config, now, crowds.emptiest(), None);
                if let Some(instead) = &config.launches_instead
                    && let Some(instance) = self.instances.get_mut(&id)
                {
                    instance.revision = instead.clone();
                }
                continue;
            }
            let last = self.failures.last().map(|(at, _)| *at);
            if last.is_none_or(|last| now.since(last) >= LAUNCH_RETRY) {
                let cause = "InsufficientInstanceCapacity: there is no capacity for the instance \
                             type in the requested zone. Launching instance failed.";
                self.failures.push((now, cause.into()));
            }
        }
        self.footprint() != before
    }

    /// Summarises what time alone can change: instances come and go, sizes follow the schedule.
    fn footprint(&self) -> (usize, u64, usize, usize, CapacityState, Revision, usize) {
        let going = self.instances.values().filter(|i| i.gone_at.is_some()).count();
        let (here, failed, due) = (self.instances.len(), self.failures.len(), self.scheduled.len());
        (here, self.launched, going, failed, self.capacity, self.template.clone(), due)
    }

    /// Applies scheduled actions that are due. While scheduled actions are suspended, they are
    /// lost.
    fn follow_schedule(&mut self, config: &FleetConfig) {
        for entry in &config.schedule {
            if entry.at > self.now
                || !self.scheduled.insert(entry.name.clone())
                || self.suspended.contains("ScheduledActions")
            {
                continue;
            }
            self.capacity.min = entry.min.unwrap_or(self.capacity.min);
            self.capacity.max = entry.max.unwrap_or(self.capacity.max);
            self.resize(config, entry.desired.unwrap_or(self.capacity.desired));
        }
    }

    /// Terminates instances that cannot start, and records why.
    fn let_die(&mut self, config: &FleetConfig) {
        let dies = |i: &SimulatedInstance| {
            config.bad_revisions.get(&i.revision) == Some(&Behaviour::Die)
                && i.gone_at.is_none()
                && self.now >= i.launched_at + SHORT_LIFE
        };
        let dead: Vec<InstanceId> =
            self.instances.iter().filter(|(_, i)| dies(i)).map(|(id, _)| id.clone()).collect();
        for id in dead {
            self.terminate(config, &id);
            let cause = "Client.InternalError: Client error on launch. Launching instance failed.";
            self.failures.push((self.now, cause.into()));
        }
    }

    /// Replaces instances that are deregistered from a target group that the fleet knows, unless a
    /// process that replaces them is suspended. Other target groups have no effect.
    fn replace_deregistered(&mut self, config: &FleetConfig) {
        if self.suspended.contains("ReplaceUnhealthy") || self.suspended.contains("HealthCheck") {
            return;
        }
        let known: BTreeSet<_> = config.target_groups.iter().map(|group| group.id()).collect();
        let out: Vec<InstanceId> = self
            .instances
            .iter()
            .filter(|(_, i)| i.gone_at.is_none() && !i.standby)
            .filter(|(_, i)| {
                let mut targets = i.targets.iter().filter(|(group, _)| known.contains(*group));
                targets.any(|(_, target)| target.deregistered_at.is_some())
            })
            .map(|(id, _)| id.clone())
            .collect();
        for id in out {
            self.terminate(config, &id);
            self.removed.push((self.now, id));
        }
    }
}
