//! What a rollout waits for. Every wait has a deadline and a description.

use std::fmt;

use rolling_provider::{InstanceId, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

/// One thing that the rollout waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Wait {
    /// The kind of wait.
    pub kind: WaitKind,
    /// The instances that it waits for; empty when it is not about existing instances.
    pub instances: Vec<InstanceId>,
    /// Details, for instance in the cloud's own words.
    pub detail: Option<String>,
    /// When the wait ends, whatever happens.
    pub deadline: Timestamp,
}

/// What a rollout can wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitKind {
    /// Deregistered instances finish their open requests.
    Drain,
    /// The fleet has yet to launch instances.
    Launch,
    /// Instances are being updated in place.
    Update,
    /// New instances do not serve yet.
    Health,
    /// New instances serve and must keep serving.
    Soak,
    /// Too few instances serve to take another one out.
    Floor,
    /// Victims are terminating, and the next batch waits until they are gone.
    Termination,
    /// Victims that were registered again do not serve yet.
    Return,
    /// A pause between two batches, as configured.
    Pause,
    /// A checkpoint, as configured.
    Checkpoint,
    /// The operator has to release instances that are set aside.
    SetAside,
    /// The gates have not decided yet whether the rollout may continue.
    Gate,
    /// A hook of the user's is under way.
    Hook,
    /// Everything is done and must stay healthy for a while.
    Bake,
    /// The second target group gets its share of the requests and must stay healthy.
    Evaluation,
    /// All requests have moved, and the old instances are kept for a while.
    OldSetRetained,
    /// The platform itself replaces the instances.
    DelegatedRollout,
    /// What was changed does not show yet.
    Change,
    /// A sign of life from another engine.
    Lease,
    /// The cloud does not take a call at present, which is repeated.
    Call,
}

impl WaitKind {
    /// Every kind, with its name as it is written.
    const NAMES: [(WaitKind, &str); 20] = [
        (WaitKind::Drain, "drain"),
        (WaitKind::Launch, "launch"),
        (WaitKind::Update, "update"),
        (WaitKind::Health, "health"),
        (WaitKind::Soak, "soak"),
        (WaitKind::Floor, "floor"),
        (WaitKind::Termination, "termination"),
        (WaitKind::Return, "return"),
        (WaitKind::Pause, "pause"),
        (WaitKind::Checkpoint, "checkpoint"),
        (WaitKind::SetAside, "set_aside"),
        (WaitKind::Gate, "gate"),
        (WaitKind::Hook, "hook"),
        (WaitKind::Bake, "bake"),
        (WaitKind::Evaluation, "evaluation"),
        (WaitKind::OldSetRetained, "old_set_retained"),
        (WaitKind::DelegatedRollout, "delegated_rollout"),
        (WaitKind::Change, "change"),
        (WaitKind::Lease, "lease"),
        (WaitKind::Call, "call"),
    ];

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        let found = Self::NAMES.iter().find(|(kind, _)| *kind == self);
        found.map_or("", |(_, name)| *name)
    }

    /// Returns the kind of this name. A later version may know more of them.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind)
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = match self.instances.as_slice() {
            [] => "instances".to_owned(),
            [one] => one.to_string(),
            [first, others @ ..] => format!("{first} and {} more", others.len()),
        };
        match self.kind {
            WaitKind::Drain => write!(f, "{who} to drain")?,
            WaitKind::Launch => write!(f, "{who} to be launched")?,
            WaitKind::Update => write!(f, "{who} to be updated")?,
            WaitKind::Health => write!(f, "{who} to become healthy")?,
            WaitKind::Soak => write!(f, "{who} to stay healthy")?,
            WaitKind::Floor => write!(f, "enough instances to serve")?,
            WaitKind::Termination => write!(f, "{who} to be gone")?,
            WaitKind::Return => write!(f, "{who} to serve again")?,
            WaitKind::Pause => write!(f, "the pause between batches to pass")?,
            WaitKind::Checkpoint => write!(f, "the checkpoint's time to pass")?,
            WaitKind::SetAside => write!(f, "{who} to be released")?,
            WaitKind::Gate => write!(f, "the gates to pass")?,
            WaitKind::Hook => write!(f, "the hook to succeed")?,
            WaitKind::Bake => write!(f, "the bake time to pass")?,
            WaitKind::Evaluation => write!(f, "the evaluation time to pass")?,
            WaitKind::OldSetRetained => write!(f, "the old instances' retention time to pass")?,
            WaitKind::DelegatedRollout => write!(f, "the platform's own rollout to end")?,
            WaitKind::Change => write!(f, "a change to show")?,
            WaitKind::Lease => write!(f, "a sign of life of another engine")?,
            WaitKind::Call => write!(f, "the cloud to take a call")?,
        }
        match &self.detail {
            Some(detail) => write!(f, " ({detail})"),
            None => Ok(()),
        }
    }
}
