//! What a rollout is waiting for: never without a deadline, never without a word.

use std::fmt;

use rolling_provider::{InstanceId, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

/// One thing that is being waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Wait {
    /// What for.
    pub kind: WaitKind,
    /// Whom for; empty when it is not about an instance that exists.
    pub instances: Vec<InstanceId>,
    /// What the cloud says of it.
    pub detail: Option<String>,
    /// When waiting ends, one way or the other.
    pub deadline: Timestamp,
}

/// What can be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
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
    /// New instances serve, and must go on doing so.
    Soak,
    /// Too few serve to take another one out.
    Floor,
    /// Victims put back into rotation do not serve yet.
    Return,
    /// A pause between two batches, as configured.
    Pause,
    /// A checkpoint, as configured.
    Checkpoint,
    /// Somebody is to end what sets instances aside.
    SetAside,
    /// The gates have yet to say whether it may go on.
    Gate,
    /// Everything is done, and has to stay well for a while.
    Bake,
    /// The second target group gets its share of the requests, and has to stay well.
    Evaluation,
    /// All requests have moved, and the old instances are kept for a while.
    OldSetRetained,
    /// The cloud replaces the instances by itself.
    InstanceRefresh,
    /// A sign of life of another engine.
    Lease,
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
            WaitKind::Return => write!(f, "{who} to serve again")?,
            WaitKind::Pause => write!(f, "the pause between batches to pass")?,
            WaitKind::Checkpoint => write!(f, "the checkpoint's time to pass")?,
            WaitKind::SetAside => write!(f, "{who} to be released")?,
            WaitKind::Gate => write!(f, "the gates to pass")?,
            WaitKind::Bake => write!(f, "the bake time to pass")?,
            WaitKind::Evaluation => write!(f, "the evaluation time to pass")?,
            WaitKind::OldSetRetained => write!(f, "the old instances' time to pass")?,
            WaitKind::InstanceRefresh => write!(f, "the instance refresh to end")?,
            WaitKind::Lease => write!(f, "a sign of life of another engine")?,
        }
        match &self.detail {
            Some(detail) => write!(f, " ({detail})"),
            None => Ok(()),
        }
    }
}
