//! Shows plans, events and results to people and programs.

pub mod exit_codes;
pub mod json_line;
pub mod log_lines;
pub mod progress_file;
pub mod text;
