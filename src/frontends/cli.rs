//! The command line.
//!
//! Exit codes are an interface: 0 succeeded or nothing to do, 1 failed, 2 usage or invalid
//! document, 3 rolled back, 4 paused or aborted, 5 locked by another engine, 10 changes (only
//! `plan --detailed-exitcode`), 130, 143 and 129 interrupted by SIGINT, SIGTERM
//! and SIGHUP.

mod after_end;
pub(super) mod answers;
pub(super) mod apply;
mod arguments;
mod command;
mod convert;
pub(super) mod doctor;
mod event_output;
pub(super) mod follow;
mod followed;
mod live;
mod open_targets;
mod plan;
mod status;
mod supersede;

pub(crate) use apply::{apply, roll_back_to};
pub(crate) use arguments::{Arguments, OutputFormat, print_json};
pub(crate) use command::{command, roll_back};
pub(crate) use convert::{ConvertArguments, convert};
pub(crate) use doctor::doctor;
pub(crate) use follow::{follow, is_progress};
pub(crate) use plan::{plan, validate};
pub(crate) use status::status;
