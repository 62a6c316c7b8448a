//! The command line.
//!
//! Exit codes are an interface: 0 succeeded or nothing to do, 1 failed, 2 usage or invalid
//! document, 3 rolled back, 4 paused or aborted, 5 locked by another engine, 10 changes (only
//! `plan --detailed-exitcode`), 130, 143 and 129 interrupted by SIGINT, SIGTERM
//! and SIGHUP.

pub(super) mod apply;
mod command;
pub(super) mod doctor;
pub(super) mod follow;
mod followed;
mod input;
mod live;
mod plan;
mod prepare;
mod status;

pub use apply::apply;
pub use command::command;
pub use doctor::doctor;
pub use follow::{follow, is_progress};
pub use input::{Input, Output, print_json};
pub use plan::{plan, validate};
pub use status::status;
