//! A deployment's target, resolved once before planning.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::goal::is_met;
use crate::{Goal, Instance, ProviderError, Restart, Revision, TargetGroupId, Timestamp};

/// The document's target as found in the cloud. Everything here is read once per rollout; what
/// changes while it runs is in [`crate::Observation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The cloud's own id of the fleet (on AWS the group's ARN); two deployments with the same id
    /// are two deployments on one target.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// The kind of fleet, for messages: `auto scaling group`.
    pub kind: &'static str,
    /// The wanted revision, with aliases resolved to a number.
    pub revision: Revision,
    /// Which instances are to be replaced although they run it. An adapter knows of none.
    pub restart: Option<Restart>,
    /// The groups an instance must be healthy in to serve. May be empty: then serving means
    /// in service and healthy by the fleet's own check.
    pub target_groups: Vec<TargetGroup>,
    /// The second target group, where new instances take their first requests, beside the others.
    /// Only this program registers instances there.
    pub second: Option<TargetGroup>,
    /// What sends requests to the second target group: on AWS the ARNs of listener rules.
    pub shifted_by: BTreeSet<String>,
    /// Aliases that the fleet's own template may carry, resolved (`lt-1:$Latest` to `lt-1:7`).
    pub aliases: BTreeMap<Revision, Revision>,
    /// Median time from launch to in service of the fleet's latest launches; `None` when there are
    /// no such launches.
    pub boot: Option<Duration>,
    /// The fleet's scheduled actions, each with its next time.
    pub scheduled: Vec<ScheduledAction>,
    /// The hooks that hold the fleet's instances on their way in or out.
    pub hooks: Vec<LifecycleHook>,
    /// What of the fleet's own work a rollout may suspend.
    pub processes: Processes,
    /// Whether the fleet itself protects from scale-in whatever it launches.
    pub protects_new: bool,
    /// Why nothing can be launched beside this fleet, if that is the case.
    pub no_surge: Option<String>,
    /// The service that protects every instance of the fleet from scale-in, new ones as well, until
    /// nothing runs on it; `None` where there is no such service.
    pub protected_by: Option<&'static str>,
    /// What blocks a rollout from beginning or going forward, but not from being reported, halted or
    /// rolled back: a missing listener rule, for example.
    pub blockers: Vec<ProviderError>,
    /// Why no instance refresh of the fleet can roll back on its own, if that is the case.
    pub no_auto_rollback: Option<String>,
    /// The platform's controller that replaces the instances, for messages: `the Deployment
    /// controller`; `None` where the engine itself does.
    pub controller: Option<&'static str>,
    /// The platform's own settings by which its controller rolls, each with its value, where it keeps
    /// them apart from a rollout: `DeploymentPolicy`.
    pub options: BTreeMap<String, String>,
    /// What a reader of the plan should know: a weak health check, a stopped listener.
    pub warnings: Vec<String>,
    /// Warnings for rollouts that take longer than the given time.
    pub warnings_of_long: Vec<(Duration, String)>,
}

/// A hook that holds instances on their way in or out, until the recipient of its notification
/// completes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LifecycleHook {
    /// Its name.
    pub name: String,
    /// Whether it holds launches; else it holds terminations.
    pub launches: bool,
    /// How long it holds an instance when nobody answers.
    pub heartbeat: Duration,
    /// How long it holds an instance at most, however often somebody asks for more time.
    pub longest: Duration,
}

/// The processes of a fleet that the planner has to know apart, by their cloud's names; `None`
/// where a fleet has no such process. Any other process that a spec names is suspended and resumed
/// as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Processes {
    /// Launches instances: nothing can be replaced without it.
    pub launches: Option<&'static str>,
    /// Registers what the fleet launches in its target groups.
    pub registers: Option<&'static str>,
    /// Changes the fleet's size with its load.
    pub scales: Option<&'static str>,
    /// Carries out the fleet's scheduled actions.
    pub schedules: Option<&'static str>,
}

impl Processes {
    /// Whether `process` changes the fleet's size.
    pub fn resizes(&self, process: &str) -> bool {
        self.scales == Some(process) || self.schedules == Some(process)
    }
}

impl Target {
    /// Returns a target of which nothing else is known: without target groups, hooks and warnings.
    /// An adapter sets every field itself, so that it overlooks none.
    pub fn new(id: &str, name: &str, kind: &'static str, revision: Revision) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            kind,
            revision,
            restart: None,
            target_groups: Vec::new(),
            second: None,
            shifted_by: BTreeSet::new(),
            aliases: BTreeMap::new(),
            boot: None,
            scheduled: Vec::new(),
            hooks: Vec::new(),
            processes: Processes::default(),
            protects_new: false,
            no_surge: None,
            protected_by: None,
            blockers: Vec::new(),
            no_auto_rollback: None,
            controller: None,
            options: BTreeMap::new(),
            warnings: Vec::new(),
            warnings_of_long: Vec::new(),
        }
    }

    /// Whether `instance` is what is wanted: up to date, so that nothing has to be done about it.
    pub fn wants(&self, instance: &Instance) -> bool {
        is_met(&self.revision, self.restart, instance)
    }

    /// Returns what every instance is to be.
    pub fn goal(&self) -> Goal {
        Goal { revision: self.revision.clone(), restart: self.restart }
    }

    /// Returns `revision` with the fleet's aliases resolved.
    pub fn resolve<'a>(&'a self, revision: &'a Revision) -> &'a Revision {
        self.aliases.get(revision).unwrap_or(revision)
    }

    /// Returns every target group that an instance may be registered in.
    pub fn rotation(&self) -> impl Iterator<Item = &TargetGroup> {
        self.target_groups.iter().chain(&self.second)
    }

    /// Returns the hooks that hold launches, or those that hold terminations.
    pub fn hooks_of(&self, launches: bool) -> impl Iterator<Item = &LifecycleHook> {
        self.hooks.iter().filter(move |hook| hook.launches == launches)
    }

    /// Returns the longest drain of all target groups; zero without any.
    pub fn drain(&self) -> Duration {
        self.rotation().map(|group| group.drain).max().unwrap_or_default()
    }

    /// Returns the longest slow start of all target groups; zero without any.
    pub fn slow_start(&self) -> Duration {
        self.rotation().map(|group| group.slow_start).max().unwrap_or_default()
    }

    /// Returns the longest time that a target group takes to report a target as healthy; zero
    /// without any.
    pub fn register(&self) -> Duration {
        self.rotation().map(|group| group.register).max().unwrap_or_default()
    }
}

/// A change of the fleet's sizes that the cloud will make by its own schedule. A size that is
/// `None` stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduledAction {
    /// Its name.
    pub name: String,
    /// When it is due, on the cloud's clock.
    pub at: Timestamp,
    /// The lower limit then.
    pub min: Option<u32>,
    /// The upper limit then.
    pub max: Option<u32>,
    /// How many to keep running then.
    pub desired: Option<u32>,
}

/// One target group of the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetGroup {
    /// The cloud's own id.
    pub id: TargetGroupId,
    /// Its name for people.
    pub name: String,
    /// How long a deregistered target keeps serving open requests: the group's own
    /// `deregistration_delay.timeout_seconds`, never a constant of ours.
    pub drain: Duration,
    /// The least time that a registered target takes to be reported as healthy: the group's own
    /// health check interval times its threshold.
    pub register: Duration,
    /// How long a target that is healthy for the first time gets fewer requests than the others.
    pub slow_start: Duration,
    /// How long its load balancer may send requests to a target after its deregistration, where a
    /// shorter drain would lose them.
    pub stops_routing: Duration,
    /// What a reader of the plan should know about it.
    pub warnings: Vec<String>,
}
