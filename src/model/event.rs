//! The events of a rollout, and the report at its end.

use rolling_provider::{Action, InstanceId, Revision, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::model::delegated_report::DelegatedRolloutReport;
use crate::model::preview::Preview;
use crate::model::spec::HookPoint;
use crate::model::wait::Wait;

/// One event, numbered and dated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Envelope {
    /// Number of the event, from 0, without gaps.
    pub index: u64,
    /// Time of the event on the fleet's clock, in milliseconds since the Unix epoch.
    pub at: Timestamp,
    /// Id of the rollout.
    pub rollout: String,
    /// The event itself.
    pub event: Event,
}

/// Something that happened in a rollout.
///
/// The contract: the first event of a run is `started` and the last is `finished`, each exactly once.
/// Between them every `batch_finished` follows the `batch_started` of its number, and batches do not
/// overlap; a batch that a rollback or an end breaks off is never finished. Every `hook_finished`
/// follows the `hook_started` of its id. `acted` is reported after the cloud accepted the action.
/// `waiting` and `progressed` are reported when they differ from the last one. New kinds may be
/// added: a reader skips kinds that it does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// The rollout begins, or continues when its record was found on the target.
    Started {
        /// What the rollout is about to do.
        preview: Preview,
    },
    /// A batch begins.
    BatchStarted {
        /// Number of the batch in this run, from 1.
        number: u32,
        /// How many instances are launched in addition to the fleet.
        launches: u32,
        /// The instances that are replaced.
        instances: Vec<InstanceId>,
        /// Whether they go without a replacement: what was launched in addition takes their places.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        #[schemars(default)]
        removed: bool,
        /// How many instances are replaced, where the platform's controller chooses them.
        #[serde(skip_serializing_if = "Option::is_none")]
        at_most: Option<u32>,
    },
    /// In continuous pacing: the rollout uses free places of the window again.
    Replacing {
        /// How many instances are launched in addition to the fleet.
        launches: u32,
        /// The instances that are replaced.
        instances: Vec<InstanceId>,
        /// Whether they go without a replacement: what was launched in addition takes their places.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        #[schemars(default)]
        removed: bool,
    },
    /// The rollout rolls back: the new revision failed, or the operator asked for it.
    RollingBack {
        /// Why the rollout rolls back.
        reason: String,
        /// The completed revision that it rolls back to.
        to: Revision,
        /// Whether the operator asked for it. Then no revision failed.
        asked: bool,
    },
    /// The cloud accepted an action.
    Acted {
        /// The action.
        action: Action,
    },
    /// What the rollout waits for now.
    Waiting {
        /// Everything that it waits for at once.
        on: Vec<Wait>,
    },
    /// The counts changed.
    Progressed {
        /// Instances of the new revision that have soaked.
        updated: usize,
        /// Instances that serve, of either revision.
        serving: usize,
        /// The intended size of the fleet.
        size: u32,
    },
    /// A batch is over: all instances that it launched serve and have soaked.
    BatchFinished {
        /// Number of the batch.
        number: u32,
    },
    /// A gate answered. For alarms that are watched, only a failure is reported.
    GateAnswered {
        /// The gate: `alarms NAMES`, `GET ADDRESS` or `command PROGRAM ARGUMENTS`.
        gate: String,
        /// Whether the gate lets the rollout continue.
        passed: bool,
        /// The gate's message.
        message: String,
    },
    /// A hook is being run. An engine that was killed may have run it before, with the same id.
    HookStarted {
        /// The point of the rollout.
        hook: HookPoint,
        /// Its id, the same whenever the same hook is run again.
        id: String,
        /// What is run: `command PROGRAM` or `POST URL`.
        call: String,
        /// The instances that it gets.
        instances: Vec<InstanceId>,
    },
    /// A hook has ended.
    HookFinished {
        /// The point of the rollout.
        hook: HookPoint,
        /// Its id.
        id: String,
        /// Whether it succeeded.
        passed: bool,
        /// What it answered last.
        message: String,
        /// What follows.
        next: HookNext,
    },
    /// A step of a rollout that the platform itself carries out.
    DelegatedRollout {
        /// What the platform calls it: `instance refresh`, `environment update`.
        kind: &'static str,
        /// Its id.
        id: String,
        /// The step.
        step: DelegatedRolloutStep,
    },
    /// A problem that the operator should look at, although the rollout continues.
    Warned {
        /// The warning, as a sentence.
        warning: String,
    },
    /// A call failed. The engine tries it again, after a fresh look where it may have had an
    /// effect.
    Retrying {
        /// The error, in the cloud's words.
        error: String,
    },
    /// The cloud refused an action permanently while the rollout restored what is borrowed. The
    /// remaining actions continue.
    Refused {
        /// The action.
        action: Action,
        /// Why the cloud refused it, in the cloud's words.
        error: String,
    },
    /// The rollout ends early. The engine restores what is borrowed.
    Halting {
        /// Why the rollout ends early.
        reason: String,
        /// When the engine stops waiting for the fleet to settle. `null`: each wait may take as
        /// long as usual.
        until: Option<Timestamp>,
    },
    /// The rollout ended. This is the last event.
    Finished {
        /// How it ended.
        report: Report,
    },
}

/// What follows a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HookNext {
    /// The rollout goes on.
    Continue,
    /// The rollout fails.
    Fail,
    /// The rollout pauses.
    Pause,
}

/// What this program does with a rollout that the platform itself carries out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DelegatedRolloutStep {
    /// It was started.
    Started,
    /// It was found in progress and is followed.
    Joined,
    /// It was asked to end where it is.
    Cancelled,
    /// It was asked to roll back.
    RolledBack,
}

/// What a failure comes from. What to do next follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The new revision: its instances, or what gates find.
    Revision,
    /// A call of this program that the cloud refuses: throttled, denied, or failing.
    Call,
    /// The cloud has no capacity.
    Capacity,
    /// Another process, or a person.
    Others,
    /// A hook of the document that does not succeed.
    Hook,
    /// A lifecycle hook of the fleet that nobody completes in time.
    LifecycleHook,
    /// The operator, who asked for it by a command.
    Command,
    /// A checkpoint whose time was over before anybody decided.
    Undecided,
    /// An apply of another revision, which goes on from here.
    Superseded,
}

/// How a rollout ended, and what it left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Report {
    /// The outcome.
    pub outcome: Outcome,
    /// Why, unless the rollout succeeded.
    pub reason: Option<String>,
    /// What the failure comes from, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default)]
    pub cause: Option<Cause>,
    /// Name of the fleet, for people.
    pub target: String,
    /// The wanted revision.
    pub to: Revision,
    /// The last revision that the whole fleet is known to have run.
    pub completed: Option<Revision>,
    /// The last revision before the completed one that the whole fleet is known to have run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default)]
    pub previous: Option<Revision>,
    /// The revision that was restored, where the rollout has rolled back. It is not the completed one
    /// where instances that are left alone run another.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default)]
    pub restored: Option<Revision>,
    /// Failed instances that were taken out of the fleet and left running, for debugging.
    pub retained_failed: Vec<InstanceId>,
    /// How many batches this run finished.
    pub batches: u32,
    /// The rollout that the platform itself carries out, where it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default)]
    pub delegated_rollout: Option<DelegatedRolloutReport>,
    /// The intended size of the fleet.
    pub size: u32,
    /// Every instance at the end, with what it runs.
    pub instances: Vec<InstanceReport>,
    /// Instances that stay as they are although they do not run the wanted revision, or on the way
    /// back the completed one: tagged `rolling:ignore`, protected from scale-in or in standby where
    /// these are to be ignored.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub left_alone: Vec<InstanceId>,
    /// How many instances run the wanted revision and have still to be replaced, by a restart.
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(default)]
    pub to_restart: u32,
    /// Hooks of the document that failed although the rollout went on, each with why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub failed_hooks: Vec<String>,
    /// What others changed during the rollout and may change again, as phrases.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub changed_by_others: Vec<String>,
    /// What is not restored yet, as phrases; empty when everything is. For an overtaken rollout:
    /// as of the last look.
    pub borrowed: Vec<String>,
    /// Whether another engine was, or may have been, at work after this one had begun.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(default)]
    pub overtaken: bool,
    /// Whether this run was stopped before the rollout was over: the next one continues it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(default)]
    pub interrupted: bool,
    /// How long the rollout took, in milliseconds of the fleet's clock.
    pub elapsed_ms: u64,
    /// How often the engine looked at the fleet.
    pub ticks: u64,
}

impl Report {
    /// Whether all instances that count run `revision`.
    pub(crate) fn all_run(&self, revision: &Revision) -> bool {
        let mut counted = self.instances.iter().filter(|it| !self.left_alone.contains(&it.id));
        counted.all(|instance| instance.revision.as_ref() == Some(revision))
    }

    /// Whether nothing is left to do but to restore what is borrowed.
    pub(crate) fn is_unrestored(&self) -> bool {
        let wanted = self.restored.as_ref().unwrap_or(&self.to);
        self.outcome == Outcome::Failed
            && self.cause == Some(Cause::Call)
            && self.all_run(wanted)
            && self.instances.iter().all(|instance| instance.serves)
    }
}

/// One instance at the end of a rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstanceReport {
    /// Id of the instance.
    pub id: InstanceId,
    /// The revision that it runs.
    pub revision: Option<Revision>,
    /// The zone that it runs in.
    pub zone: String,
    /// Whether it serves requests.
    pub serves: bool,
    /// Why it does not serve, in the cloud's words.
    pub trouble: Option<String>,
}

/// How a rollout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// Every instance runs the revision, serves and has soaked; nothing is borrowed.
    Succeeded,
    /// Every instance runs the last completed revision again and serves; nothing is borrowed.
    RolledBack,
    /// The rollout could not continue.
    Failed,
    /// The rollout waits for a decision; `resume` continues it.
    Paused,
    /// The rollout was stopped by a command, a signal or a deadline.
    Aborted,
    /// Another engine is at work on the target. This engine did nothing, or does nothing more.
    Locked,
}

impl Outcome {
    /// Returns the spelling in documents.
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

    /// Returns it for people.
    pub(crate) fn shown(self) -> String {
        self.name().replace('_', " ")
    }
}

/// Whether there is none, for serde.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
pub(crate) fn is_zero(count: &u32) -> bool {
    *count == 0
}
