//! The user's hooks, and the points of a rollout at which they are run. Hooks act, gates ask.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::gates::{Secret, bare_address};

/// The hooks of a deployment, by the point at which they are run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hooks(pub BTreeMap<HookPoint, Hook>);

/// A point of a rollout at which a hook may be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HookPoint {
    /// The lease is taken, and nothing of the fleet has been changed.
    BeforeRollout,
    /// Instances are chosen to go, and still get requests.
    BeforeDeregister,
    /// The new instances of a batch serve and have soaked. The batch is not over.
    AfterHealthy,
    /// A batch is over.
    AfterBatch,
    /// The rollout turns back to the completed revision.
    BeforeRollback,
    /// The rollout is about to end, and its outcome is known.
    AfterRollout,
}

impl HookPoint {
    /// Every point, in the order of a rollout.
    pub const ALL: [HookPoint; 6] = [
        HookPoint::BeforeRollout,
        HookPoint::BeforeDeregister,
        HookPoint::AfterHealthy,
        HookPoint::AfterBatch,
        HookPoint::BeforeRollback,
        HookPoint::AfterRollout,
    ];

    /// Returns the spelling in documents.
    pub fn name(self) -> &'static str {
        match self {
            HookPoint::BeforeRollout => "before_rollout",
            HookPoint::BeforeDeregister => "before_deregister",
            HookPoint::AfterHealthy => "after_healthy",
            HookPoint::AfterBatch => "after_batch",
            HookPoint::BeforeRollback => "before_rollback",
            HookPoint::AfterRollout => "after_rollout",
        }
    }

    /// Whether the rollout goes on whatever becomes of the hook.
    pub(crate) fn only_reports(self) -> bool {
        matches!(self, HookPoint::BeforeRollback | HookPoint::AfterRollout)
    }
}

/// One hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// What is run.
    pub call: HookCall,
    /// How long one try may take.
    pub timeout: Duration,
    /// How often it is tried until it succeeds. At least 1.
    pub tries: u32,
    /// What it means that no try succeeds, on the way forward.
    pub on_failure: OnHookFailure,
}

/// What a hook runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookCall {
    /// A command that must exit with code 0.
    Command {
        /// The program and its arguments. No shell is involved.
        run: Vec<String>,
        /// Additional environment variables.
        environment: BTreeMap<String, Secret>,
    },
    /// A POST request that must be answered with a status from 200 to 299.
    Http {
        /// The address.
        url: String,
    },
}

/// What the failure of a hook means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnHookFailure {
    /// The rollout fails.
    Fail,
    /// The rollout pauses for a decision.
    Pause,
    /// Nothing: it is only reported.
    Ignore,
}

impl Hook {
    /// The longest pause between two tries.
    pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(10);

    /// How long reading the addresses of its instances may take.
    pub(crate) const ADDRESSES_WITHIN: Duration = Duration::from_secs(60);

    /// Returns how long the addresses and all tries together may take.
    pub(crate) fn longest(&self) -> Duration {
        let pauses = Self::LONGEST_PAUSE.saturating_mul(self.tries.saturating_sub(1));
        let tries = self.timeout.saturating_mul(self.tries);
        tries.saturating_add(pauses).saturating_add(Self::ADDRESSES_WITHIN)
    }
}

impl Hooks {
    /// Returns the hook at `point`, if there is one.
    pub(crate) fn at(&self, point: HookPoint) -> Option<&Hook> {
        self.0.get(&point)
    }

    /// Whether a hook goes by what belongs to which batch.
    pub(crate) fn follow_batches(&self) -> bool {
        let points = [HookPoint::BeforeDeregister, HookPoint::AfterHealthy, HookPoint::AfterBatch];
        points.into_iter().any(|point| self.at(point).is_some())
    }

    /// Returns what is run and when, one phrase each.
    pub(crate) fn phrases(&self) -> Vec<String> {
        let phrase = |(point, hook): (&HookPoint, &Hook)| {
            let tries = if hook.tries == 1 { "once" } else { &format!("{} tries", hook.tries) };
            let timeout = humantime::format_duration(hook.timeout);
            let meaning = match hook.on_failure {
                _ if point.only_reports() => "a failure is only reported",
                OnHookFailure::Fail => "a failure fails the rollout",
                OnHookFailure::Pause => "a failure pauses the rollout",
                OnHookFailure::Ignore => "a failure is only reported",
            };
            format!("{}: {hook} ({tries}, {timeout} at most; {meaning})", point.name())
        };
        self.0.iter().map(phrase).collect()
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.call {
            // Without query and arguments: this text ends up in logs and tags.
            HookCall::Command { run, .. } => {
                write!(f, "command {}", run.first().map_or("", String::as_str))
            }
            HookCall::Http { url, .. } => write!(f, "POST {}", bare_address(url)),
        }
    }
}
