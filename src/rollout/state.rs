//! What one engine has seen and done so far: a fold over observations and accepted actions.
//!
//! Reads of a cloud lag behind its writes, so an action of ours counts from the moment the cloud
//! accepted it, whatever the next observation says. After a crash all of this is rebuilt from the
//! record and a fresh look; only soak and drain times start over.

mod accepted;
mod adopt;
mod believed;
mod capacity;
mod count_unmanaged;
mod departed;
mod gates;
mod halt;
mod history;
mod hooks;
mod in_place;
mod lag;
mod launched;
mod least_remaining;
mod missing;
mod observe;
mod parts;
mod protection;
mod replaces;
mod rollout_state;
mod sizes;
mod stages;
mod unexplained_launches;
mod unmanaged;
mod updates;
mod written;

pub(crate) use accepted::is_marked_for;
pub(crate) use gates::{GateState, Question};
pub(crate) use halt::Halt;
pub(crate) use history::InstanceHistory;
pub(crate) use hooks::{DoneHook, FailedHook, HookRun, HookState, OpenBatch, RunningHook};
pub(crate) use in_place::{InPlaceState, UPDATE_SHOWS_IN};
pub(crate) use lag::LOOKS_LAG;
pub(crate) use launched::LaunchHistory;
pub(crate) use least_remaining::LeastRemaining;
pub(crate) use missing::Missing;
pub(crate) use replaces::Replaces;
pub use rollout_state::RolloutState;
pub(crate) use stages::{Stage, Stages};
pub(crate) use unmanaged::{LaunchTrouble, Unmanaged, ignored_in, members};
