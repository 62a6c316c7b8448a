//! The planner is pure, and decides what is done with the fleet.
//!
//! It takes `(spec, target, look, state, now)` and answers the actions to do now, what the rollout
//! waits for and until when, and a verdict. It uses no clock, randomness, environment or I/O, and
//! only ordered collections, so that the same input always gives the same plan.

mod answer;
mod batch;
mod between_batches;
mod borrow;
pub mod check;
mod controller;
mod deadlines;
mod delegated_preview;
mod dry_run;
pub(crate) mod due;
mod environment_preview;
mod failure;
mod found_rollout;
mod gate;
mod halt;
mod hook;
mod in_place;
mod input;
mod judge;
mod launch;
mod no_progress;
mod pace;
mod preflight;
mod preview;
mod refusal;
mod restart;
mod retire;
mod roll;
mod run_by;
mod set_aside;
mod shift;
mod shortfall;
mod spare;
mod stop_conditions;
mod termination;
mod tick;
mod view;
mod zones;

pub(crate) use answer::{Ask, BatchStart, Step};
pub use answer::{Plan, Verdict};
pub use input::Input;
pub(crate) use judge::{RejectedPlans, judge};
pub use preflight::Preflight;
pub(crate) use preflight::{impossible, preflight};
pub use preview::preview;
pub(crate) use refusal::{may_act_beside, refused, waits_of};
pub(crate) use run_by::run_by_all;
pub(crate) use set_aside::left_alone;
pub(crate) use tick::erase;
pub use tick::plan;
pub use view::View;
pub(crate) use view::{Member, is_converged};
