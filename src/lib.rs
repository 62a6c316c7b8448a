//! Rolls a fleet of instances to a new revision, batch by batch.
//!
//! A [`Fleet`](rolling_provider::Fleet) is what an adapter puts behind the port; here it is the
//! simulator's, on virtual time:
//!
//! ```
//! use std::sync::Arc;
//!
//! use rolling::engine::{Caller, Rollout, Stop};
//! use rolling::model::event::{Event, Outcome};
//! use rolling::model::spec::{BatchSize, Policy, RollingDeployment};
//! use rolling_simulator::{EPOCH, FleetConfig, Simulator, VirtualClock};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), rolling_provider::ProviderError> {
//! // Ten instances that run v1, and are to run v2.
//! let clock = Arc::new(VirtualClock::new(EPOCH));
//! let fleet = Arc::new(Simulator::in_memory(FleetConfig::default(), clock));
//! let deployment = RollingDeployment {
//!     policy: Policy::Rolling(BatchSize::Percentage(30)),
//!     ..RollingDeployment::default()
//! };
//!
//! let caller = Caller::new("first", "host/1");
//! let rollout = Rollout::prepare(fleet, deployment, &caller).await?;
//! assert_eq!(rollout.preview().floor, 7);
//!
//! let (_keep, stop) = tokio::sync::watch::channel(Stop::No);
//! let mut batches = 0;
//! let report = rollout
//!     .run(stop, &mut |envelope| {
//!         batches += u32::from(matches!(envelope.event, Event::BatchFinished { .. }));
//!     })
//!     .await;
//! assert_eq!((report.outcome, batches), (Outcome::Succeeded, 4));
//! # Ok(())
//! # }
//! ```
//!
//! # Modules
//!
//! A document becomes a spec, the planner turns a spec and a look at the fleet into actions, the
//! engine carries them out and reports events, and the front-ends hand both out. ARCHITECTURE.md
//! draws the layers.
//!
//! For programs that embed the engine there are
//!
//! - [`model`]: a deployment as specified, the preview and the events of a rollout;
//! - [`record`]: what the cloud remembers of a rollout, and the commands to it;
//! - [`engine`]: looks a rollout up, previews it, runs it, and gives it commands.
//!
//! The other modules are public for the program `rolling` and for the project's own tests, and are
//! hidden here: `document`, `rollout` (the planner), `providers`, `deployment`, `report`, `host`,
//! `frontends` and `dispatch`.

#![warn(unreachable_pub)]

#[doc(hidden)]
pub mod deployment;
#[doc(hidden)]
pub mod dispatch;
#[doc(hidden)]
pub mod document;
pub mod engine;
mod foreign_settings;
#[doc(hidden)]
pub mod frontends;
#[doc(hidden)]
pub mod host;
pub mod model;
#[doc(hidden)]
pub mod providers;
pub mod record;
#[doc(hidden)]
pub mod report;
#[doc(hidden)]
pub mod rollout;
