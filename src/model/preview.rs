//! What a rollout would do, as shown to people and programs.

use std::collections::BTreeMap;

use rolling_provider::{InstanceId, Revision, TargetGroupId};
use schemars::JsonSchema;
use serde::Serialize;

/// What a rollout would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Preview {
    /// Whether there is anything to do.
    pub changes: bool,
    /// Whether the rollout that is found waits for somebody to decide: an apply leaves it as it is.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(default)]
    pub paused: bool,
    /// Name of the fleet, for people.
    pub target: String,
    /// The kind of fleet.
    pub kind: &'static str,
    /// The revision that the instances run; where they run several, the one that the fleet
    /// launches.
    pub from: Option<Revision>,
    /// The revision that the fleet is to run.
    pub to: Revision,
    /// The time before which instances were launched that are replaced although they run that
    /// revision, as RFC 3339 writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart: Option<String>,
    /// The target groups that instances are registered in, with their names.
    pub target_groups: BTreeMap<TargetGroupId, String>,
    /// Size of the fleet.
    pub size: u32,
    /// The policy's name.
    pub policy: &'static str,
    /// Whether free places of the window are used again at once, without batches.
    pub continuous: bool,
    /// The rollout that the platform itself carries out, where it does. What it tells of its batches
    /// is in `batches`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delegated_rollout: Option<DelegatedPreview>,
    /// What the platform's controller is told, as phrases, where one replaces the instances. There are
    /// no batches then, unless it is paused after each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub controller: Vec<String>,
    /// The batches in order. In continuous pacing: only what is launched beforehand and what is
    /// replaced first.
    pub batches: Vec<BatchPreview>,
    /// Percentages at which the rollout waits.
    pub checkpoints: Vec<u32>,
    /// How requests are shifted, as a phrase; absent where they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<String>,
    /// The lifecycle hooks of the fleet, as phrases.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub hooks: Vec<String>,
    /// What must hold besides the health of the instances, and when it is checked, as phrases.
    pub gates: Vec<String>,
    /// The hooks of the document, with when they are run and what their failure means, as phrases.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub rollout_hooks: Vec<String>,
    /// At least this many instances serve throughout. Where instances count by weights, that holds
    /// for as many as there are now, and `units` says what holds throughout.
    pub floor: u32,
    /// What serves throughout, where instances count by weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default)]
    pub units: Option<UnitsPreview>,
    /// At most this many instances live at once.
    pub ceiling: u32,
    /// The revision that the fleet's template is set to; absent where it has that already, or where
    /// the fleet has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default)]
    pub sets_template: Option<Revision>,
    /// What the rollout changes temporarily and restores at the end.
    pub borrows: Vec<Borrowing>,
    /// Expected duration in seconds.
    pub expected_seconds: u64,
    /// Whether the boot time in it is a guess, because no launch of this fleet shows it.
    pub boot_assumed: bool,
    /// What the rollout may wait for beyond the expected time, as phrases.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub may_wait: Vec<String>,
    /// What the rollout costs at worst; absent where nothing is replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_worst: Option<AtWorst>,
    /// Instances that stay as they are although they do not run the revision: tagged
    /// `rolling:ignore`, protected from scale-in or in standby where these are to be ignored.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub left_alone: Vec<InstanceId>,
    /// The engine that is, or was a moment ago, at work on the target. The rollout begins, or goes
    /// on, only once that engine has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_work: Option<String>,
    /// The command that this process carries out on a rollout that it finds, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<&'static str>,
    /// What a reader should know before the rollout starts.
    pub warnings: Vec<String>,
}

/// What a platform goes by that carries a rollout out by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DelegatedPreview {
    /// What the platform calls it: `instance refresh`, `environment update`.
    pub kind: &'static str,
    /// What it is told, as phrases.
    pub settings: Vec<String>,
}

impl Preview {
    /// Returns how many instances are replaced; `None` where the cloud chooses them.
    pub(crate) fn replaced(&self) -> Option<usize> {
        let sum = self.batches.iter().map(BatchPreview::size).sum();
        let is_planned = self.delegated_rollout.is_none() && self.controller.is_empty();
        (is_planned || !self.batches.is_empty()).then_some(sum)
    }
}

/// What serves throughout in a fleet whose instances count by weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct UnitsPreview {
    /// At least this many units serve. A batch takes at least one instance, the heaviest included.
    pub floor: u32,
    /// The size of the fleet in units.
    pub desired: u32,
}

/// What a rollout costs at worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AtWorst {
    /// How many instances are out of service at once, those that are already included.
    pub out: u32,
    /// How long they are, in seconds: until a bad revision is noticed and replaced.
    pub out_seconds: u64,
    /// How many instances run a bad revision that does not become healthy, before that is noticed.
    /// A revision that fails later may have reached all of them.
    pub exposed: u32,
    /// How long it may take to notice, in seconds.
    pub exposed_seconds: u64,
    /// Whether the rollout then replaces them on its own; otherwise somebody has to decide.
    pub recovers: bool,
}

/// One planned batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BatchPreview {
    /// How many instances are launched in addition to the fleet.
    pub launches: u32,
    /// The instances that are replaced.
    pub replaces: Vec<InstanceId>,
    /// How many instances are replaced, where the platform's controller chooses them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u32>,
}

impl BatchPreview {
    /// How many instances are replaced.
    pub(crate) fn size(&self) -> usize {
        self.at_most.map_or(self.replaces.len(), |count| count as usize)
    }
}

/// Something that the rollout changes temporarily.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Borrowing {
    /// What is changed.
    pub what: &'static str,
    /// Its value during the rollout.
    pub becomes: String,
}
