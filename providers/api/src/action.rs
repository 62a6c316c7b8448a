//! The actions that the engine may ask of a fleet: one mutation each, safe to repeat.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use crate::{ControllerSettings, Extent, InstanceId, Revision, TargetGroupId};

/// Tags of the rollout record: keys start with `rolling:`, values have only characters that ELBv2
/// tags allow, and at most 255 of them.
pub type Tags = BTreeMap<String, String>;

/// One mutation. Every action names its instances or sets an absolute value, so that a repeated or
/// late action cannot do more than intended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Put these tags of the record on the target, all in one call, never propagated to instances.
    WriteRecord {
        /// The whole record.
        tags: Tags,
    },
    /// Take these keys of the record off the target, all in one call.
    EraseRecord {
        /// Keys to remove; absent keys are no error.
        keys: BTreeSet<String>,
    },
    /// Suspend these processes of the fleet.
    SuspendProcesses {
        /// Names of processes (`AZRebalance`, ...).
        processes: BTreeSet<String>,
    },
    /// Resume these processes of the fleet.
    ResumeProcesses {
        /// Names of processes (`AZRebalance`, ...).
        processes: BTreeSet<String>,
    },
    /// Set what the fleet launches from now on.
    MoveTemplate {
        /// The revision to launch; never touches a running instance.
        to: Revision,
    },
    /// Set the desired size, the maximum size, or both, each absolute. Never the minimum. A size
    /// that is left out stays as it is, even if others have set it meanwhile.
    SetCapacity {
        /// How many to keep running. Never below the number of live instances: the cloud would
        /// choose victims.
        desired: Option<u32>,
        /// The upper limit.
        max: Option<u32>,
    },
    /// Set all three sizes to those of a scheduled action that fell due while it was suspended. A
    /// size that it leaves out stays. The only action that may let the fleet choose victims.
    ApplyScheduledAction {
        /// The action's name.
        schedule: String,
        /// The lower limit.
        min: Option<u32>,
        /// The upper limit.
        max: Option<u32>,
        /// How many to keep running.
        desired: Option<u32>,
    },
    /// Mark instances as the fleet's, so that it still knows them once they are out of every target
    /// group. Only for a fleet that launches nothing automatically.
    TagMember {
        /// The instances.
        instances: BTreeSet<InstanceId>,
    },
    /// Remove that mark. An instance that is gone is no error.
    UntagMember {
        /// The instances.
        instances: BTreeSet<InstanceId>,
    },
    /// Launch one instance, which belongs to the fleet from its launch on. Only for a fleet that
    /// launches nothing automatically. Repeated with the same token, it launches once.
    Launch {
        /// What it is to run.
        revision: Revision,
        /// The instance whose place, ports and tags it gets.
        source_instance: InstanceId,
        /// Identifies this launch: at most 64 letters and digits.
        token: String,
    },
    /// Complete the lifecycle hooks of the fleet that hold one instance.
    Release {
        /// The instance, which launches or terminates.
        instance: InstanceId,
    },
    /// Terminate instances that the fleet keeps in reserve, so that the fleet prepares others.
    Discard {
        /// The instances, none of which takes requests.
        instances: BTreeSet<InstanceId>,
    },
    /// Put a tag on one instance.
    Tag {
        /// The instance.
        instance: InstanceId,
        /// The tag's key, which starts with `rolling:`.
        key: String,
        /// The tag's value.
        value: String,
    },
    /// Take one instance out of the fleet and leave it running.
    Detach {
        /// The instance, in service.
        instance: InstanceId,
        /// Whether to lower the desired size by one, or have the fleet launch a replacement.
        decrement: bool,
    },
    /// Take instances out of one target group's rotation.
    Deregister {
        /// The target group.
        target_group: TargetGroupId,
        /// Instances to take out, all in one call.
        instances: BTreeSet<InstanceId>,
    },
    /// Register instances in one target group again.
    Register {
        /// The target group.
        target_group: TargetGroupId,
        /// Instances to register, all in one call.
        instances: BTreeSet<InstanceId>,
    },
    /// Begin to update instances in place that are out of rotation. Repeated with the same token
    /// for an instance, it begins once, as far as the cloud can detect that.
    Update {
        /// The instances, all in one call where possible.
        instances: BTreeSet<InstanceId>,
        /// What they are to run.
        to: Revision,
        /// Identifies this update: at most 32 letters and digits.
        token: String,
    },
    /// Record that the update of instances is over.
    Confirm {
        /// The instances.
        instances: BTreeSet<InstanceId>,
        /// What they run now; `None` when the update never began, and they are as before.
        to: Option<Revision>,
    },
    /// Send this percentage of the requests to the second target group, and the rest to the first.
    Shift {
        /// From 0 to 100.
        percent: u32,
    },
    /// Set what the platform's controller rolls to, and within which bounds, all in one call. What is
    /// left out stays. Refused where somebody has changed any of it since the last look. Only for a
    /// fleet with a controller.
    SetRollout {
        /// What every instance is to run.
        to: Option<Revision>,
        /// The bounds, and when an instance counts.
        settings: Option<ControllerSettings>,
        /// How far it goes.
        extent: Option<Extent>,
    },
    /// Terminate one instance. An instance that is already gone or terminating is no error.
    Terminate {
        /// The victim, named.
        instance: InstanceId,
        /// Whether to lower the desired size by one, or have the fleet launch a replacement.
        decrement: bool,
    },
}

impl Action {
    /// Whether it changes a size that others may set meanwhile.
    pub fn sizes(&self) -> bool {
        self.resizes() || matches!(self, Action::SetCapacity { .. })
    }

    /// Whether it changes the desired size.
    pub fn resizes(&self) -> bool {
        matches!(
            self,
            Action::SetCapacity { desired: Some(_), .. }
                | Action::Terminate { decrement: true, .. }
                | Action::Detach { decrement: true, .. }
        )
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::WriteRecord { .. } => write!(f, "write the rollout record"),
            Action::EraseRecord { .. } => write!(f, "erase the rollout record"),
            Action::SuspendProcesses { processes } => write!(f, "suspend {}", list(processes)),
            Action::ResumeProcesses { processes } => write!(f, "resume {}", list(processes)),
            Action::MoveTemplate { to } => write!(f, "set the template to {to}"),
            Action::SetCapacity { desired, max } => f.write_str(&sizes(*desired, *max)),
            Action::ApplyScheduledAction { schedule, .. } => {
                write!(f, "set the sizes of the scheduled action {schedule}")
            }
            Action::TagMember { instances } => write!(f, "mark {} as the fleet's", list(instances)),
            Action::UntagMember { instances } => {
                write!(f, "take the fleet's mark off {}", list(instances))
            }
            Action::Launch { revision, source_instance, .. } => {
                write!(f, "launch {revision} in place of {source_instance}")
            }
            Action::Release { instance } => write!(f, "complete the hooks that hold {instance}"),
            Action::Discard { instances } => {
                write!(f, "terminate {} of the warm pool", list(instances))
            }
            Action::Tag { instance, key, value } => write!(f, "tag {instance} {key}={value}"),
            Action::Detach { instance, .. } => {
                write!(f, "take {instance} out of the fleet and leave it running")
            }
            Action::Deregister { target_group, instances } => {
                write!(f, "deregister {} from {target_group}", list(instances))
            }
            Action::Register { target_group, instances } => {
                write!(f, "register {} in {target_group}", list(instances))
            }
            Action::Update { instances, to, .. } => {
                write!(f, "update {} in place to {to}", list(instances))
            }
            Action::Confirm { instances, to: Some(to) } => {
                write!(f, "note that {} run {to}", list(instances))
            }
            Action::Confirm { instances, to: None } => {
                write!(f, "note that {} are as they were", list(instances))
            }
            Action::Shift { percent } => {
                write!(f, "send {percent} % of the requests to the second target group")
            }
            Action::SetRollout { to, settings, extent } => {
                let told = told(to.as_ref(), settings.as_ref(), *extent);
                write!(f, "have the controller {told}")
            }
            Action::Terminate { instance, decrement } => {
                let how = if *decrement { " without replacement" } else { "" };
                write!(f, "terminate {instance}{how}")
            }
        }
    }
}

/// Says which sizes are set.
fn sizes(desired: Option<u32>, max: Option<u32>) -> String {
    match (desired, max) {
        (Some(desired), Some(max)) => format!("set the size to {desired} (maximum {max})"),
        (Some(desired), None) => format!("set the size to {desired}"),
        (None, Some(max)) => format!("set the maximum size to {max}"),
        (None, None) => "set no size".to_owned(),
    }
}

/// Says what the platform's controller is told.
fn told(
    to: Option<&Revision>,
    settings: Option<&ControllerSettings>,
    extent: Option<Extent>,
) -> String {
    let to = to.map(|to| format!("roll to {to}"));
    let within = settings.map(|ControllerSettings { surge, unavailable, .. }| {
        format!("allow a surge of {surge} and {unavailable} unavailable")
    });
    let extent = extent.map(|extent| extent.to_string());
    to.into_iter().chain(within).chain(extent).collect::<Vec<_>>().join(", ")
}

fn list<T: fmt::Display>(items: &BTreeSet<T>) -> String {
    let message: Vec<String> = items.iter().map(T::to_string).collect();
    message.join(", ")
}
