//! Fleets around a fleet, for tests of engines and adapters.
//!
//! Each stands between whoever calls a [`Fleet`](rolling_provider::Fleet) and the one that it is
//! put around, and is a fleet itself: they go around each other, around the simulator's fleet, and
//! around an adapter's. [`Witness`] keeps every look and action with what was so then. [`Stale`]
//! shows the past. [`Flaky`] fails. [`Mortal`] kills the engine that calls. [`GuardedFleet`] keeps
//! the record where only what was seen last is written over. A [`Wrapper`] of a test's own has only
//! the calls that differ; the others pass through.
//!
//! ```
//! use std::sync::Arc;
//!
//! use rolling_provider::{Action, Fleet as _};
//! use rolling_simulator::{EPOCH, FleetConfig, Simulator, VirtualClock};
//! use rolling_testing::{Dies, Mortal, Witness};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), rolling_provider::ProviderError> {
//! let clock = Arc::new(VirtualClock::new(EPOCH));
//! let simulator = Arc::new(Simulator::in_memory(FleetConfig::default(), clock));
//! let witness = Witness::new(simulator.clone());
//! let mortal = Mortal::new(witness.clone(), 2, Dies::After);
//!
//! // What an engine might do: it dies at the second of three actions, which takes effect.
//! let engine = async {
//!     for max in [11, 12, 13] {
//!         let action = Action::SetCapacity { desired: None, max: Some(max) };
//!         mortal.act(&action).await.expect("a size");
//!     }
//! };
//! assert!(mortal.survive(engine).await.is_none());
//! assert_eq!(simulator.observe().await?.max(), 12);
//! assert_eq!(witness.calls().len(), 2);
//! # Ok(())
//! # }
//! ```

#[macro_use]
mod wrapper;

mod flaky;
mod guarded;
mod mortal;
#[doc(hidden)]
pub mod port;
mod stale;
mod witness;

pub use flaky::Flaky;
pub use guarded::{GuardedFleet, VersionedRecord};
pub use mortal::{Dies, Mortal};
pub use stale::Stale;
pub use witness::{Call, RecordedAction, Witness};
pub use wrapper::Wrapper;
