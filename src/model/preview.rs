//! What a rollout would do, as people and programs are shown it.

use std::collections::BTreeMap;

use rolling_provider::{InstanceId, Revision, TargetGroupId};
use schemars::JsonSchema;
use serde::Serialize;

/// What a rollout would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Preview {
    /// Whether there is anything to do.
    pub changes: bool,
    /// The fleet, as a person calls it.
    pub target: String,
    /// What sort of fleet.
    pub kind: &'static str,
    /// What the fleet launches now.
    pub from: Option<Revision>,
    /// What it is to run.
    pub to: Revision,
    /// The target groups that an instance must be healthy in, with their names.
    pub target_groups: BTreeMap<TargetGroupId, String>,
    /// Size of the fleet.
    pub size: u32,
    /// The policy's name.
    pub policy: &'static str,
    /// Whether places are taken again at once, without batches.
    pub continuous: bool,
    /// What EC2 Auto Scaling is told, as phrases, where it replaces the instances by itself. There
    /// are no batches then.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub instance_refresh: Vec<String>,
    /// Batches in order; in continuous pacing only what is launched beforehand and who goes first.
    pub batches: Vec<BatchPreview>,
    /// Percentages at which the rollout waits.
    pub checkpoints: Vec<u32>,
    /// How requests are shifted, as a phrase, where they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<String>,
    /// What must hold besides the health of the instances, and when it is asked, as phrases.
    pub gates: Vec<String>,
    /// At least this many serve throughout.
    pub floor: u32,
    /// At most this many live.
    pub ceiling: u32,
    /// What is changed for the while and put back at the end.
    pub borrows: Vec<Borrowing>,
    /// How long it should take, in seconds.
    pub expected_seconds: u64,
    /// Whether the boot time in that is a guess, since no launch of this fleet tells it.
    pub boot_assumed: bool,
    /// What a reader should know before going on.
    pub warnings: Vec<String>,
}

impl Preview {
    /// How many instances are replaced; `None` where the cloud says by itself which.
    pub fn replaced(&self) -> Option<usize> {
        let sum = self.batches.iter().map(|batch| batch.replaces.len()).sum();
        self.instance_refresh.is_empty().then_some(sum)
    }
}

/// One batch to come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BatchPreview {
    /// Instances launched beside the fleet.
    pub launches: u32,
    /// Instances that are replaced.
    pub replaces: Vec<InstanceId>,
}

/// Something that is changed for the while of the rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Borrowing {
    /// What.
    pub what: &'static str,
    /// What it becomes.
    pub becomes: String,
}
