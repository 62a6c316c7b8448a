//! A validated rolling deployment, and the arithmetic from percentages to instances.

mod gates;
mod hooks;
mod policy;

use std::collections::BTreeSet;
use std::time::Duration;

pub use rolling_provider::SetAside;
use rolling_provider::Timestamp;

pub use self::gates::{Gates, Probe, Secret};
pub use self::hooks::{Hook, HookCall, HookPoint, Hooks, OnHookFailure};
pub use self::policy::{BatchSize, Bound, Checkpoint, Expiry, Policy, TrafficStep, Window};

/// What the user wants, validated and with every default filled in. [`crate::document`] makes it
/// from a document; the planner reads nothing else of the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollingDeployment {
    /// Who replaces the instances.
    pub engine: Executor,
    /// How the fleet is replaced.
    pub policy: Policy,
    /// How an instance comes to run the revision.
    pub replacement: Replacement,
    /// Before which time instances must have been launched to be replaced although they run the
    /// revision.
    pub restart: Option<Timestamp>,
    /// Whether all zones are rolled together, or one after the other.
    pub zones: Zones,
    /// When a free place in the window is used again.
    pub pacing: Pacing,
    /// How long to wait after a batch before the next one begins.
    pub pause_between_batches: Duration,
    /// Where the rollout waits, in ascending order of percentages.
    pub checkpoints: Vec<Checkpoint>,
    /// The shares of the requests that the new instances get before all of them, in ascending
    /// order. For the policy `TrafficSplitting`.
    pub traffic_steps: Vec<TrafficStep>,
    /// When a new instance counts as healthy.
    pub health: Health,
    /// How many instances of the new revision must fail to trip the circuit breaker. At least 1.
    pub failure_threshold: u32,
    /// What happens when the circuit breaker trips.
    pub on_failure: OnFailure,
    /// How many failed instances are taken out of the fleet and kept for debugging.
    pub keep_failed_instances: u32,
    /// Whether the rollout completes the lifecycle hooks that hold its instances.
    pub completes_hooks: bool,
    /// Whether a batch, and the rollout, end only once its victims are gone. `None`: where the
    /// fleet has a hook that holds terminations.
    pub wait_for_termination: Option<bool>,
    /// What to do about instances to replace that are protected from scale-in.
    pub protected: SetAside,
    /// What to do about instances to replace that are in standby.
    pub standby: SetAside,
    /// How long the rollout may go without progress: without a fall in the number of instances that
    /// are not updated or do not serve. `None`: for each failure up to
    /// `failure_threshold` the drain deadline plus [`Health::healthy_timeout`], and once more that
    /// timeout plus the soak.
    pub progress_deadline: Option<Duration>,
    /// The longest time between two looks at the fleet.
    pub poll_interval: Duration,
    /// Processes of the fleet that are suspended while the rollout runs.
    pub suspend_processes: BTreeSet<String>,
    /// Conditions for the rollout to continue, besides the health of its instances.
    pub gates: Gates,
    /// What of the user's is run at which point.
    pub hooks: Hooks,
}

/// Who replaces the instances of a fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Executor {
    /// This program, action by action.
    #[default]
    Rolling,
    /// The platform's own controller, within bounds that this program gives it: Kubernetes'
    /// Deployment controller.
    Controller {
        /// Whether the document asks for batches. Else the controller keeps its own pace, unless the
        /// rollout has to wait somewhere.
        in_batches: bool,
    },
    /// Elastic Beanstalk, with an update of the environment.
    Environment {
        /// How long a command on an instance may take. `None`: as long as the environment itself says.
        timeout: Option<Duration>,
    },
    /// EC2 Auto Scaling, with an instance refresh.
    InstanceRefresh {
        /// How long a new instance must be in service before it counts. `None`: as long as the
        /// group itself says.
        warmup: Option<Duration>,
    },
}

/// How an instance comes to run the revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replacement {
    /// A new instance is launched in its place.
    Launch,
    /// The instance itself is updated, out of rotation.
    InPlace {
        /// How long the update may take.
        within: Duration,
    },
}

impl Replacement {
    /// Returns how long an update in place may take; `None` where instances are replaced.
    pub(crate) fn within(self) -> Option<Duration> {
        match self {
            Replacement::Launch => None,
            Replacement::InPlace { within } => Some(within),
        }
    }
}

/// How a rollout goes through the zones of a fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zones {
    /// Each batch is spread over them.
    Spread,
    /// All instances of one are replaced before the next one begins.
    OneByOne,
}

/// When a free place in the window is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pacing {
    /// When the whole batch is done.
    Batch,
    /// At once.
    Continuous,
}

/// When a new instance counts as healthy, and when it is too late for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// Soak: how long an instance must serve without a break before it counts. A break starts
    /// it over.
    pub min_healthy_time: Duration,
    /// Whether a document gives the soak. Else a target group's slow start makes it longer.
    pub soak_is_given: bool,
    /// How long after its launch an instance may take to serve. Never extended.
    pub healthy_timeout: Duration,
    /// How long an instance drains at least once it is deregistered, whatever its target groups
    /// say: a Network Load Balancer may send requests for a while after that.
    pub min_drain_time: Duration,
}

/// What a failure of the new revision leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Roll back to the last completed revision.
    Rollback,
    /// Put victims back into rotation and the template back, and wait for a decision.
    Pause,
    /// Restore what was borrowed, leave the instances as they are, and report it.
    Stop,
}

impl Default for RollingDeployment {
    /// Returns the defaults of a document: one instance after another, each healthy for 10 seconds
    /// before the next, and a rollback to the completed revision at the first failure. Nothing is
    /// suspended: which processes a fleet has depends on its cloud.
    fn default() -> Self {
        RollingDeployment {
            engine: Executor::Rolling,
            policy: Policy::Rolling(BatchSize::Fixed(1)),
            replacement: Replacement::Launch,
            restart: None,
            zones: Zones::Spread,
            pacing: Pacing::Batch,
            pause_between_batches: Duration::ZERO,
            checkpoints: Vec::new(),
            traffic_steps: vec![TrafficStep::DEFAULT],
            health: Health::default(),
            failure_threshold: 1,
            on_failure: OnFailure::Rollback,
            keep_failed_instances: 0,
            completes_hooks: false,
            wait_for_termination: None,
            protected: SetAside::Wait,
            standby: SetAside::Wait,
            progress_deadline: None,
            poll_interval: Duration::from_secs(10),
            suspend_processes: BTreeSet::new(),
            gates: Gates::default(),
            hooks: Hooks::default(),
        }
    }
}

impl Default for Health {
    /// Returns the defaults of a document.
    fn default() -> Self {
        Health {
            min_healthy_time: Duration::from_secs(10),
            soak_is_given: false,
            healthy_timeout: Duration::from_secs(600),
            min_drain_time: Duration::ZERO,
        }
    }
}

impl RollingDeployment {
    /// Returns how long shifting the requests takes when nothing goes wrong.
    pub(crate) fn shift_time(&self) -> Duration {
        match self.policy {
            Policy::TrafficSplitting => {
                self.traffic_steps.iter().map(|step| step.evaluation_time).sum()
            }
            Policy::BlueGreen { terminate_after } => terminate_after,
            _ => Duration::ZERO,
        }
    }

    /// Returns how long the pauses between `batches` batches are, together.
    pub(crate) fn pauses(&self, batches: usize) -> Duration {
        let pauses = u32::try_from(batches.saturating_sub(1)).unwrap_or(u32::MAX);
        self.pause_between_batches * pauses
    }

    /// Removes the waits of a forward rollout: a rollback has no soak, pauses, checkpoints or gates.
    /// Hooks stay: instances go on the way back, too.
    pub(crate) fn skip_waits(&mut self) {
        self.health.min_healthy_time = Duration::ZERO;
        self.health.soak_is_given = true;
        self.pause_between_batches = Duration::ZERO;
        self.checkpoints.clear();
        self.gates = Gates::default();
    }

    /// Returns how long a drain may take before its victim is terminated anyway.
    pub fn drain_deadline(drain: Duration) -> Duration {
        drain + Duration::from_secs(30)
    }

    /// See [`RollingDeployment::progress_deadline`].
    pub(crate) fn progress_deadline(&self, drain: Duration) -> Duration {
        self.progress_deadline.unwrap_or_else(|| {
            let update = self.replacement.within().unwrap_or_default();
            let failure = Self::drain_deadline(drain) + update + self.health.healthy_timeout;
            let health = self.health.healthy_timeout + self.health.min_healthy_time;
            failure * self.failure_threshold.max(1) + health
        })
    }
}
