//! What one engine has seen and done so far: a fold over observations and accepted actions.
//!
//! Reads of a cloud lag behind its writes, so an action of ours counts from the moment the cloud
//! accepted it, whatever the next observation says. After a crash all of this is rebuilt from the
//! record and a fresh look; only soak and drain times start over.

mod accepted;
mod adopt;
mod believed;
mod best;
mod capacity;
mod count_unmanaged;
mod departed;
mod gates;
mod halt;
mod history;
mod in_place;
mod lag;
mod launched;
mod missing;
mod observe;
mod parts;
mod replaces;
mod rollout_state;
mod sizes;
mod stages;
mod strangers;
mod unmanaged;
mod updates;
mod written;

pub use best::Best;
pub use gates::{GateState, Question};
pub use halt::Halt;
pub use history::InstanceHistory;
pub use in_place::{InPlace, UPDATE_SHOWS_IN};
pub use lag::LOOKS_LAG;
pub use launched::Launched;
pub use missing::Missing;
pub use parts::{Batch, Direction, Failures, Launches, Removed, Rotation, Waits};
pub use replaces::Replaces;
pub use rollout_state::RolloutState;
pub use stages::{Stage, Stages};
pub use unmanaged::{LaunchTrouble, Unmanaged, members};
