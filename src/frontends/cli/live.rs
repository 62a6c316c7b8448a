//! Shows a rollout on a terminal: a line for each batch, a progress bar, and what it waits for.

use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use rolling_provider::Clock;

use crate::model::event::{Envelope, Event};
use crate::model::printable;
use crate::model::wait::Wait;
use crate::report::log_lines::batch;
use crate::report::text;

const BAR: &str = "[{bar:32}] {pos} of {len} {prefix}, {clock}\n{spinner} {wide_msg}";

/// Draws on standard error's terminal.
pub(crate) struct LiveDisplay {
    bar: ProgressBar,
    clock: Arc<dyn Clock>,
    serving: usize,
}

impl LiveDisplay {
    /// Creates an empty display, which measures elapsed time by `clock`, the fleet's clock.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { bar: ProgressBar::hidden(), clock, serving: 0 }
    }

    /// Shows the event in `envelope`.
    pub(crate) fn show(&mut self, envelope: &Envelope) {
        match &envelope.event {
            Event::Started { preview } if preview.changes => {
                let expected = Duration::from_secs(preview.expected_seconds);
                self.start(preview.size, expected);
                for line in text::begins(preview, true) {
                    self.line(&line);
                }
            }
            Event::Started { .. } | Event::Acted { .. } => {}
            Event::Replacing { .. } => self.line(&batch(&envelope.event)),
            Event::RollingBack { reason, to, asked } => {
                for line in text::rolling_back(reason, to, *asked) {
                    self.line(&line);
                }
                self.bar.set_prefix(printable::line(&format!("on {to}")).into_owned());
            }
            Event::BatchStarted { number, .. } => {
                self.line(&format!("batch {number}: {}", batch(&envelope.event)));
            }
            Event::Waiting { on } => self.wait_for(on),
            Event::Progressed { updated, serving, size } => {
                self.serving = *serving;
                self.bar.set_length(u64::from(*size));
                self.bar.set_position(*updated.min(&(*size as usize)) as u64);
            }
            Event::BatchFinished { number } => {
                let serving = self.serving;
                self.line(&format!("batch {number}: done, {serving} serving"));
            }
            Event::GateAnswered { gate, passed, message } => {
                self.line(&text::gate(gate, *passed, message))
            }
            Event::HookStarted { .. } | Event::HookFinished { .. } => {
                self.line(&text::hook(&envelope.event))
            }
            Event::DelegatedRollout { kind, id, step } => {
                self.line(&text::delegated_step(kind, id, *step))
            }
            Event::Warned { warning } => self.line(&format!("warning: {warning}")),
            Event::Retrying { error } => self.line(&format!("trying again: {error}")),
            Event::Refused { action, error } => self.line(&format!("could not {action}: {error}")),
            Event::Halting { reason, until } => {
                self.line(&format!("halting: {reason}"));
                let message = text::putting_back(envelope.at, *until);
                if until.is_some() {
                    self.line(&message);
                }
                self.bar.set_message(message);
            }
            Event::Finished { .. } => self.bar.finish_and_clear(),
        }
    }

    fn wait_for(&self, on: &[Wait]) {
        let message: Vec<String> = on.iter().map(ToString::to_string).collect();
        if !message.is_empty() {
            let message = format!("waiting for {}", message.join("; "));
            self.bar.set_message(printable::line(&message).into_owned());
        }
    }

    fn start(&mut self, size: u32, expected: Duration) {
        let clock = Arc::clone(&self.clock);
        let started = clock.now();
        let expected = text::span(expected);
        let key = move |_: &ProgressState, to: &mut dyn std::fmt::Write| {
            let elapsed = text::span(clock.now().since(started));
            // The bar redraws the line in a moment, so a failed write does no harm.
            write!(to, "{elapsed} of about {expected}").unwrap_or_default();
        };
        let style = ProgressStyle::with_template(BAR)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> ")
            .with_key("clock", key);
        self.bar = ProgressBar::new(u64::from(size)).with_style(style).with_prefix("updated");
        self.bar.enable_steady_tick(Duration::from_millis(100));
    }

    fn line(&self, message: &str) {
        self.bar.println(printable::line(message));
    }
}
