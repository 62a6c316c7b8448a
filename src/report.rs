//! Plans, events and results as people and programs are shown them.

pub mod exit_codes;
pub mod json_line;
pub mod log_lines;
pub mod progress_file;
pub mod text;
