//! Shows plans, events and results to people and programs.

pub mod exit_codes;
pub(crate) mod json_line;
pub(crate) mod log_lines;
pub(crate) mod progress_file;
pub mod text;

#[cfg(test)]
mod escaped;
