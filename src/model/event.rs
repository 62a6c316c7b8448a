//! What a rollout reports.

use rolling_provider::{Action, InstanceId, InstanceRefresh, Revision, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::preview::Preview;
use crate::model::wait::Wait;

/// One report, numbered and dated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Envelope {
    /// From 0, without gaps.
    pub index: u64,
    /// When, on the fleet's clock; milliseconds since the Unix epoch.
    pub at: Timestamp,
    /// Which rollout.
    pub rollout: String,
    /// What.
    pub event: Event,
}

/// What happened.
///
/// The contract: the first event of a run is [`Event::Started`] and the last is
/// [`Event::Finished`], each exactly once. Between them every [`Event::BatchFinished`] follows
/// the [`Event::BatchStarted`] of its number, and batches do not overlap. [`Event::Acted`] is
/// reported after the cloud accepted the action. [`Event::Waiting`] and [`Event::Progressed`] are
/// reported when they differ from the last one. New kinds may be added: a reader skips those it
/// does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// The rollout begins (or goes on, when its record was found on the target).
    Started {
        /// What it is about to do.
        preview: Preview,
    },
    /// A batch begins.
    BatchStarted {
        /// From 1, by this run's count.
        number: u32,
        /// How many are launched beside the fleet.
        launches: u32,
        /// Who is replaced.
        instances: Vec<InstanceId>,
    },
    /// In continuous pacing: places of the window are taken again.
    Replacing {
        /// How many are launched beside the fleet.
        launches: u32,
        /// Who is replaced.
        instances: Vec<InstanceId>,
    },
    /// The new revision failed, or somebody asked for it: the rollout goes back.
    RollingBack {
        /// Why.
        reason: String,
        /// The completed revision that it goes back to.
        to: Revision,
        /// Whether somebody asked for it: then no revision failed.
        asked: bool,
    },
    /// The cloud accepted an action.
    Acted {
        /// Which.
        action: Action,
    },
    /// What is being waited for now.
    Waiting {
        /// Everything at once.
        on: Vec<Wait>,
    },
    /// The counts changed.
    Progressed {
        /// Instances of the new revision that have soaked.
        updated: usize,
        /// Instances that serve, of either revision.
        serving: usize,
        /// The size the fleet is meant to have.
        size: u32,
    },
    /// A batch is over: everything it launched serves and has soaked.
    BatchFinished {
        /// Its number.
        number: u32,
    },
    /// A gate has spoken. Of alarms that are watched only a failure is reported.
    GateAnswered {
        /// Which: `alarms NAMES`, `GET ADDRESS` or `command WORDS`.
        gate: String,
        /// Whether it lets the rollout go on.
        passed: bool,
        /// What it said.
        message: String,
    },
    /// What became of a refresh, where the cloud replaces the instances by itself.
    InstanceRefresh {
        /// Its id.
        id: String,
        /// What.
        step: InstanceRefreshStep,
    },
    /// Something that somebody should see to, although the rollout goes on.
    Warned {
        /// What, as a sentence.
        warning: String,
    },
    /// A call failed and will be tried again, after a fresh look where it may have had an effect.
    Retrying {
        /// What failed, in the cloud's words.
        error: String,
    },
    /// The cloud refused an action for good while things were put back; the rest goes on.
    Refused {
        /// Which.
        action: Action,
        /// Why, in the cloud's words.
        error: String,
    },
    /// The rollout ends early; what is borrowed is being put back.
    Halting {
        /// Why.
        reason: String,
        /// When it stops waiting for things to settle; `null` to wait as long as each may take.
        until: Option<Timestamp>,
    },
    /// The end.
    Finished {
        /// How it ended.
        report: Report,
    },
}

/// What becomes of a refresh by what this program does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InstanceRefreshStep {
    /// It was started.
    Started,
    /// It was found under way, and is followed.
    Joined,
    /// It is to end where it is.
    Cancelled,
    /// It is to go back.
    RolledBack,
}

/// How a rollout ended, and what it left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Report {
    /// The outcome.
    pub outcome: Outcome,
    /// Why, where it did not succeed.
    pub reason: Option<String>,
    /// The fleet, as a person calls it.
    pub target: String,
    /// The revision that was wanted.
    pub to: Revision,
    /// The last revision that the whole fleet is known to have run.
    pub completed: Option<Revision>,
    /// Failed instances that were taken out of the fleet and left running, to be looked at.
    pub retained_failed: Vec<InstanceId>,
    /// Batches that were finished by this run.
    pub batches: u32,
    /// The refresh that it was, where the cloud replaces the instances by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default)]
    pub instance_refresh: Option<InstanceRefreshReport>,
    /// How many instances the fleet is meant to have.
    pub size: u32,
    /// What every instance runs at the end.
    pub instances: Vec<InstanceReport>,
    /// What could not be put back yet, as sentences; empty for nothing. Of a rollout that was
    /// overtaken: when it was last looked at.
    pub borrowed: Vec<String>,
    /// Whether another engine was, or may have been, at work after this one had begun.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(default)]
    pub overtaken: bool,
    /// How long it took, in milliseconds of the fleet's clock.
    pub elapsed_ms: u64,
    /// How often the fleet was looked at.
    pub ticks: u64,
}

/// A refresh of the cloud's own, as it was last seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct InstanceRefreshReport {
    /// Its id.
    pub id: String,
    /// How far it is, in the cloud's spelling: `InProgress`.
    pub status: String,
    /// Why, in the cloud's words.
    pub reason: Option<String>,
    /// From 0 to 100; on the way back it falls.
    pub percent: u32,
    /// What every instance is to run, where that can be told.
    pub to: Option<Revision>,
    /// Whether it goes on, by itself.
    pub still_running: bool,
}

impl From<&InstanceRefresh> for InstanceRefreshReport {
    fn from(instance_refresh: &InstanceRefresh) -> Self {
        InstanceRefreshReport {
            id: instance_refresh.id.clone(),
            status: instance_refresh.status.clone(),
            reason: instance_refresh.rollback_reason.clone().or(instance_refresh.reason.clone()),
            percent: instance_refresh.percent,
            to: instance_refresh.to.clone(),
            still_running: !instance_refresh.state.is_over(),
        }
    }
}

/// One instance at the end of a rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstanceReport {
    /// Its id.
    pub id: InstanceId,
    /// What it runs.
    pub revision: Option<Revision>,
    /// Where it runs.
    pub zone: String,
    /// Whether it takes requests.
    pub serves: bool,
    /// Why not, in the cloud's words.
    pub trouble: Option<String>,
}

/// How a rollout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every instance runs the revision, serves and has soaked; nothing is borrowed.
    Succeeded,
    /// Every instance runs the last completed revision again and serves; nothing is borrowed.
    RolledBack,
    /// It could not go on.
    Failed,
    /// It waits for a decision; `resume` goes on.
    Paused,
    /// Somebody stopped it.
    Aborted,
    /// Another engine is at work on the target; this one has done nothing, or nothing more.
    Locked,
}

impl Outcome {
    /// The spelling of documents.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Succeeded => "succeeded",
            Outcome::RolledBack => "rolled_back",
            Outcome::Failed => "failed",
            Outcome::Paused => "paused",
            Outcome::Aborted => "aborted",
            Outcome::Locked => "locked",
        }
    }
}
