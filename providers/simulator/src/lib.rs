//! An embedded cloud: a fleet with boots, health checks, drains and failures, from a seed.
//!
//! It needs no account, no network and no daemon. Its whole state is a function of its calls and
//! its clock, so a run on virtual time is the same every time. Kept in a file, it lets separate
//! runs of the program see one fleet.
//!
//! [`FleetConfig`] says what the fleet is like and what goes wrong in it, [`Intervention`] what
//! others do to it, and [`VirtualClock`] passes the time at once:
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use rolling_provider::{Clock as _, Fleet as _};
//! use rolling_simulator::{EPOCH, FleetConfig, Intervention, Simulator, VirtualClock};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), rolling_provider::ProviderError> {
//! let clock = Arc::new(VirtualClock::new(EPOCH));
//! let config = FleetConfig { instances: 3, ..FleetConfig::default() };
//! let simulator = Simulator::in_memory(config, clock.clone());
//!
//! // Somebody terminates one of the three, and the fleet launches another.
//! simulator.intervene(Intervention::Terminate("i-0001".into()))?;
//! clock.sleep(Duration::from_secs(3600)).await;
//! let look = simulator.observe().await?;
//! let live = look.instances.iter().filter(|(_, instance)| instance.lifecycle.is_live());
//! let live: Vec<&str> = live.map(|(id, _)| id.as_str()).collect();
//! assert_eq!(live, ["i-0002", "i-0003", "i-0004"]);
//! # Ok(())
//! # }
//! ```

mod clock;
mod config;
mod fleet;
mod fleet_state;
mod intervene;
mod intervention;
mod state_file;

pub use clock::VirtualClock;
pub use config::{Behaviour, FleetConfig, Hangs, LifecycleHooks, SimulatedTargetGroup};
pub use fleet::{EPOCH, Simulator};
pub use intervention::Intervention;
