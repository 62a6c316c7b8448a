//! How subcommands that follow a rollout show its events.

use std::io;

use super::arguments::{Arguments, OutputFormat, is_live, print_json};
use super::live::LiveDisplay;
use crate::engine::Rollout;
use crate::host::process_context::ProcessContext;
use crate::host::stdout::print_line;
use crate::model::event::Envelope;
use crate::report::json_line::json_line;
use crate::report::log_lines::LogLines;

/// Returns a function that shows events in the output format of `arguments`.
pub(super) fn shower<'a>(
    arguments: &Arguments,
    name: &'a str,
    rollout: &Rollout,
    context: &ProcessContext,
) -> Box<dyn FnMut(&Envelope) + Send + 'a> {
    match arguments.output {
        OutputFormat::Json => Box::new(|envelope| print_json(&json_line(name, envelope))),
        OutputFormat::Text if is_live(context) => {
            let mut live = LiveDisplay::new(rollout.clock());
            Box::new(move |envelope| live.show(envelope))
        }
        OutputFormat::Text => {
            let mut log_lines = LogLines::default();
            Box::new(move |envelope| {
                for line in log_lines.lines(envelope) {
                    print_line(&mut io::stdout(), &line);
                }
            })
        }
    }
}
