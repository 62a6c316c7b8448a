//! Reports: what every instance runs, and how a rollout ended.

use rolling_provider::{Revision, TargetGroupId, Timestamp};

use super::context::RolloutContext;
use crate::model::event::{InstanceReport, Outcome, Report};
use crate::record::{BorrowedSettings, Ending, Phase, Record};
use crate::rollout::serving::is_healthy_in_primary;
use crate::rollout::state::Halt;

impl RolloutContext {
    /// Returns what every instance runs, by the last look.
    pub(super) fn instances(&self) -> Vec<InstanceReport> {
        let live = self.look.instances.iter().filter(|(id, instance)| {
            instance.lifecycle.is_live() && !self.state.removed.terminated.contains(id)
        });
        // While no requests go to the second target group, an instance in that group only does not
        // serve.
        let is_unshifted = self.look.shifted.iter().flatten().all(|percent| *percent == 0);
        live.map(|(id, instance)| {
            let serves = self.state.still_serves(&self.target, id, instance)
                && (!is_unshifted || is_healthy_in_primary(&self.target, instance));
            InstanceReport {
                id: id.clone(),
                revision: instance.revision.clone(),
                zone: instance.zone.clone(),
                serves,
                trouble: (!serves).then(|| self.state.trouble_of(&self.target, id, instance)),
            }
        })
        .collect()
    }

    /// Returns the report on what began at `started` and came to `outcome`, with nothing borrowed.
    pub(super) fn report(
        &self,
        outcome: Outcome,
        completed: Option<Revision>,
        started: Timestamp,
    ) -> Report {
        let state = &self.state;
        let is_done = matches!(outcome, Outcome::Succeeded | Outcome::RolledBack);
        let halt = state.direction.halt.as_ref().filter(|_| !is_done);
        let reason = halt.map(|halt| halt.reason.clone());
        let cause = halt.map(|halt| halt.cause);
        Report {
            outcome,
            reason: reason.or(state.direction.rolls_back.clone()),
            cause: cause.unwrap_or(state.direction.cause),
            target: self.target.name.clone(),
            to: self.wanted.clone(),
            previous: self.previous(completed.as_ref()),
            completed,
            restored: None,
            retained_failed: state.removed.retained_failed.iter().cloned().collect(),
            batches: state.batch.finished,
            delegated_rollout: None,
            size: self.size(),
            instances: self.instances(),
            left_alone: self.left_alone(),
            to_restart: self.to_restart(),
            failed_hooks: state.failures.hooks.clone(),
            changed_by_others: state.changed_by_others(&self.target.revision),
            borrowed: Vec::new(),
            overtaken: false,
            interrupted: halt.is_some_and(|halt| halt.ending == Ending::Interrupted),
            elapsed_ms: u64::try_from(self.clock.now().since(started).as_millis())
                .unwrap_or(u64::MAX),
            ticks: self.observer.looks(),
        }
    }

    /// Returns how the platform's controller differs from how it was found, as phrases.
    fn of_controller(&self, record: &Record) -> Vec<String> {
        let Some(status) = &self.look.controller else { return Vec::new() };
        let Some(BorrowedSettings { found, .. }) = record.borrowed.controller else {
            return Vec::new();
        };
        let controller = self.target.controller.unwrap_or("the controller");
        let paused = status.paused.then(|| format!("{controller} is paused"));
        let unchanged = status.partition.filter(|unchanged| *unchanged > 0);
        let unchanged = unchanged
            .map(|unchanged| format!("{controller} keeps {unchanged} instances as they are"));
        let now = status.settings;
        let bounds = (now.surge, now.unavailable) != (found.surge, found.unavailable);
        let bounds = bounds.then(|| {
            format!(
                "a surge of {} and {} unavailable are allowed, {} and {} were",
                now.surge, now.unavailable, found.surge, found.unavailable
            )
        });
        let ready = (now.min_ready_seconds != found.min_ready_seconds).then(|| {
            let (now, was) = (now.min_ready_seconds, found.min_ready_seconds);
            format!("the minimum ready time is {now} s, it was {was} s")
        });
        paused.into_iter().chain(unchanged).chain(bounds).chain(ready).collect()
    }

    /// Returns what is changed for the time of the rollout and not put back yet, as phrases.
    pub(super) fn still_borrowed(&self) -> Vec<String> {
        let Some(record) = &self.state.record else { return Vec::new() };
        let paused = record.phase == Phase::Halted(Ending::Paused);
        let mut borrowed = self.of_controller(record);
        if matches!(record.phase, Phase::Halted(_)) && !paused {
            return borrowed;
        }
        let look = &self.look;
        if self.state.surge() > 0 {
            let surge = self.state.surge();
            let plural = if surge == 1 { "" } else { "s" };
            borrowed.push(format!("{surge} instance{plural} of surge"));
        }
        let max = self.state.max(look);
        if let Some(found) = record.max_before(max).filter(|found| *found != max) {
            borrowed.push(format!("the maximum size is {max}, it was {found}"));
        }
        if let Some(percent) = look.shifted.iter().flatten().max().filter(|percent| **percent > 0) {
            borrowed.push(format!("{percent} % of the requests go to the second target group"));
        }
        let suspended: Vec<&str> = self
            .state
            .may_be_suspended(&record.borrowed.suspended, look)
            .map(String::as_str)
            .collect();
        if !suspended.is_empty() {
            borrowed.push(format!("suspended processes: {}", suspended.join(", ")));
        }
        let halt = self.state.direction.halt.as_ref();
        let stays = record.only_restores() || halt.is_some_and(Halt::is_unrestored);
        let launches = look.controller.is_none();
        if let Some(found) = record.borrowed.template.as_ref().filter(|_| launches && !stays)
            && look.template.as_ref() == Some(&record.to)
            && self.target.resolve(found) != &record.to
        {
            borrowed.push(format!("the template is {}, it was {found}", record.to));
        }
        let primary =
            |group: &TargetGroupId| self.target.target_groups.iter().any(|g| g.id == *group);
        let out = self
            .state
            .rotation
            .deregistered
            .iter()
            .filter(|(_, groups)| groups.keys().any(primary))
            // Whoever is terminating does not come back.
            .filter(|(id, _)| look.instances.get(*id).is_some_and(|it| it.lifecycle.is_live()));
        let out: Vec<String> = out.map(|(id, _)| id.to_string()).collect();
        if !out.is_empty() {
            borrowed.push(format!("deregistered from the load balancer: {}", out.join(", ")));
        }
        let refused = self.state.failures.refused.iter();
        let named = |action| self.input(self.look.at).named(action);
        borrowed.extend(refused.map(|(action, why)| format!("could not {}: {why}", named(action))));
        borrowed
    }
}
