//! What was seen of one instance, and why it does not serve.

use rolling_provider::{
    Instance, Lifecycle, Revision, Target, TargetGroup, TargetState, Timestamp,
};

use crate::model::spec::Health;
use crate::rollout::serving::trouble;

/// What was seen of one instance.
#[derive(Clone, Debug, Default)]
pub(crate) struct InstanceHistory {
    /// Whether it runs the wanted revision.
    pub(crate) is_new: bool,
    /// The revision that it runs.
    pub(crate) revision: Option<Revision>,
    /// Whether it appeared while this engine was looking.
    pub(crate) launched_here: bool,
    /// Whether it was there before any engine of this rollout, which so has not launched it.
    pub(crate) was_there: bool,
    /// Whether it was there before the rollout, and is as it was: what becomes of it is no failure of
    /// a rollback.
    pub(crate) predates: bool,
    /// Whether it was in rotation and did not serve when it was first seen.
    pub(super) was_ill: bool,
    /// When its time to become healthy begins.
    pub(crate) since: Timestamp,
    /// Since when it serves without a break.
    pub(crate) serving_since: Option<Timestamp>,
    /// Since when it does not serve.
    pub(crate) lost_at: Option<Timestamp>,
    /// Whether it has ever served.
    pub(crate) has_served: bool,
    /// Whether it has served for the whole soak once.
    pub(crate) soaked: bool,
    /// Why it did not serve, the last time that it did not.
    pub(crate) trouble: Option<String>,
    /// The same, the last time that it did not although it was in rotation.
    pub(super) trouble_in_rotation: Option<String>,
    /// Whether the cloud itself reported it as unhealthy at the last look.
    pub(crate) called_unhealthy: bool,
    /// Whether it was ever listed where it is to serve.
    pub(crate) listed: bool,
    /// Whether it runs and is out of rotation because somebody else took it out or does not
    /// register it.
    pub(crate) taken_out: bool,
}

/// Who caused an instance to be out of rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Out {
    /// We took it out.
    Ours,
    /// We did, as long as it has never been registered.
    OursAtFirst,
    /// Somebody else took it out, or the fleet does not register it.
    Theirs,
}

impl InstanceHistory {
    /// Whether its end, or its health, can be a failure of the wanted revision, where that is
    /// restored or not.
    pub(super) fn may_fail(&self, rolls_back: bool) -> bool {
        self.is_new && !(rolls_back && self.predates)
    }

    /// Notes whether it is as wanted and in rotation.
    pub(super) fn see_rotation(
        &mut self,
        target: &Target,
        instance: &Instance,
        doing: Out,
        serves: bool,
        now: Timestamp,
    ) {
        if target.restart.is_some() {
            // Its launch time may have been read only now.
            self.is_new = target.wants(instance);
        }
        let out = is_out(target, instance);
        let drains = instance.targets.values().any(|health| health.state == TargetState::Draining);
        self.listed |= !out || drains;
        let runs = instance.lifecycle == Lifecycle::InService && instance.healthy;
        if !out && !serves {
            self.trouble_in_rotation.clone_from(&self.trouble);
        }
        let ours = doing == Out::Ours || (doing == Out::OursAtFirst && !self.listed);
        self.taken_out = out && runs && !serves && !ours;
        if self.taken_out {
            // Once it is put back, it gets its full time again.
            (self.since, self.lost_at) = (now, Some(now));
            let message = trouble(target, instance);
            let why = match self.listed {
                true => "somebody else deregistered it; register it again or terminate it".into(),
                false if !self.launched_here => "register it or terminate it".to_owned(),
                false => match target.processes.registers {
                    Some(process) => format!("nobody has registered it; is {process} suspended?"),
                    None => "nobody has registered it".to_owned(),
                },
            };
            self.trouble = Some(format!("{message}: {why}"));
        }
    }

    /// Starts the time over in which it must serve, where it does not.
    pub(super) fn restart(&mut self, now: Timestamp) {
        if self.serving_since.is_none() {
            (self.since, self.lost_at) = (now, Some(now));
        }
    }

    /// Returns when an instance of the new revision that does not serve has failed. Its time runs
    /// from its launch, or, once it has soaked, from when it stopped serving.
    pub(crate) fn deadline(&self, health: &Health) -> Timestamp {
        let from = if self.soaked { self.lost_at.unwrap_or(self.since) } else { self.since };
        from + health.healthy_timeout
    }

    /// Returns why it has failed, once it has.
    pub(super) fn overdue(&self, health: &Health, serves: bool, now: Timestamp) -> Option<String> {
        let deadline = self.deadline(health);
        let since = self.serving_since.filter(|_| serves);
        let done = since.is_some_and(|since| now.since(since) >= health.min_healthy_time);
        // An instance that serves at its deadline may finish that soak, but not begin another. An
        // instance that somebody took out of rotation says nothing about the revision.
        let soaking = self.serving_since.is_some_and(|since| since <= deadline);
        if done || soaking || self.taken_out || now < deadline {
            return None;
        }
        let limit = humantime::format_duration(health.healthy_timeout);
        let trouble = self.trouble.as_deref().unwrap_or("no reason given");
        Some(if serves {
            let soak = humantime::format_duration(health.min_healthy_time);
            format!(
                "not healthy for {soak} without a break within {limit}; last problem: {trouble}"
            )
        } else {
            format!("not healthy within {limit} of its launch: {trouble}")
        })
    }

    /// Returns why it has failed, where it was good and is reported as unhealthy while the new
    /// revision is being evaluated: that is what the evaluation is for.
    pub(super) fn became_unhealthy(&self, evaluated: bool) -> Option<String> {
        let trouble = self.trouble.as_deref().unwrap_or("no reason given");
        (evaluated && self.soaked && self.lost_at.is_some() && self.called_unhealthy)
            .then(|| format!("it became unhealthy during the evaluation: {trouble}"))
    }
}

/// Whether `instance` is out of rotation: out of any target group, or, where an instance need not
/// be in every one, out of all.
pub(super) fn is_out(target: &Target, instance: &Instance) -> bool {
    let out = |group: &TargetGroup| {
        let health = instance.targets.get(&group.id);
        health.is_none_or(|h| matches!(h.state, TargetState::Draining | TargetState::Unused))
    };
    match target.second {
        Some(_) => target.rotation().all(out),
        None => target.target_groups.iter().any(out),
    }
}
