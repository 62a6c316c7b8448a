//! The port: everything the engine knows about a cloud, and all it may ask of one.
//!
//! An adapter reports the current state ([`Observation`]) and performs mutations ([`Action`]). It
//! contains no policy (batch size, floor, order) and never waits for the fleet: deciding and waiting
//! belong to the engine. Read in this order: ids, target, observation, goal, action, error, fleet,
//! controller, delegated_rollout, clock.
//!
//! The crate has only types and traits, and depends on no cloud. An adapter implements [`Fleet`]
//! for one. What is written against [`Fleet`] works with every adapter:
//!
//! ```
//! use rolling_provider::{Action, Effect, Fleet, InstanceId};
//!
//! /// Terminates an instance, and returns whether that took effect, as far as the answer tells.
//! async fn terminate(fleet: &dyn Fleet, instance: InstanceId) -> Option<bool> {
//!     let action = Action::Terminate { instance, decrement: false };
//!     match fleet.act(&action).await.map_err(|error| error.effect) {
//!         Ok(_) | Err(Effect::Applied) => Some(true),
//!         Err(Effect::NotApplied) => Some(false),
//!         // The answer was lost; the next look shows whether the call took effect.
//!         Err(Effect::Unknown) => None,
//!     }
//! }
//! ```

mod action;
mod clock;
mod controller;
mod delegated_rollout;
mod error;
mod fleet;
mod goal;
mod ids;
mod observation;
mod target;

pub use action::{Action, Tags};
pub use clock::{Clock, Timestamp};
pub use controller::{ControllerSettings, ControllerStatus, Extent, Share};
pub use delegated_rollout::{
    Cancellation, DelegatedRollout, DelegatedRolloutState, DelegatedSettings, DeploymentPolicy,
    EnvironmentOption, EnvironmentSettings, InstanceRefreshPreferences, Preparation,
    RolloutController, SetAside, TakenBack,
};
pub use error::{Effect, ErrorKind, ProviderError};
pub use fleet::{Activity, ActivityKind, Alarm, Done, Examination, Fleet, TerminatedInstance};
pub use goal::{Goal, Restart};
pub use ids::{InstanceId, Revision, TargetGroupId};
pub use observation::{
    Capacity, Instance, InstanceTrouble, Lifecycle, Observation, TargetHealth, TargetState, Units,
    Update, UpdateState,
};
pub use target::{LifecycleHook, Processes, ScheduledAction, Target, TargetGroup};
