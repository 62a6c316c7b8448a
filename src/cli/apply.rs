//! `rolling apply`: roll every meant deployment, one after the other, and wait for the end.

use std::io;

use super::live::Live;
use super::plain::Plain;
use super::{
    ABORTED, Edge, FAILED, Input, LOCKED, Output, Purpose, ROLLED_BACK, is_terminal, prepare_all,
    print_json,
};
use super::{refuse, say, signals, text};
use crate::engine::Rollout;
use crate::event::{Envelope, Outcome, Report};

pub(super) async fn apply(input: &Input, edge: &Edge) -> u8 {
    let prepared = match prepare_all(input, edge, Purpose::Begin).await {
        Ok(prepared) => prepared,
        Err(found) => return refuse(input, &found),
    };
    let Some((stop, interrupt)) = listen() else { return FAILED };
    for (resource, rollout) in prepared {
        let name = &resource.name;
        let preview = rollout.preview();
        let mut show = shower(input, name, &rollout);
        let report = rollout.run(stop.clone(), &mut |envelope| show(&envelope)).await;
        drop(show);
        if input.output == Output::Text {
            let words = if preview.changes {
                text::report(name, &report)
            } else {
                text::nothing_to_do(name, &preview)
            };
            say(&mut io::stdout(), &words);
        }
        let interrupted = *interrupt.borrow();
        match (report.outcome, interrupted) {
            (Outcome::Succeeded, None) => {}
            (_, Some(interrupt)) => return interrupt.exit_code(),
            (_, None) => return exit_code(&report),
        }
    }
    0
}

/// Listens for signals; `None` after saying why that cannot be.
pub(super) fn listen() -> Option<signals::Channels> {
    match signals::listen() {
        Ok(channels) => Some(channels),
        Err(error) => {
            let words = format!("error: failed to listen for signals: {error}; nothing was done");
            say(&mut io::stderr(), &words);
            None
        }
    }
}

/// Shows events as `input` wants them.
pub(super) fn shower<'a>(
    input: &Input,
    name: &'a str,
    rollout: &Rollout,
) -> Box<dyn FnMut(&Envelope) + Send + 'a> {
    match input.output {
        Output::Json => Box::new(|envelope| print_json(&json_line(name, envelope))),
        Output::Text if is_terminal() => {
            let mut live = Live::new(rollout.clock());
            Box::new(move |envelope| live.show(envelope))
        }
        Output::Text => {
            let mut plain = Plain::default();
            Box::new(move |envelope| {
                for line in plain.lines(envelope) {
                    say(&mut io::stdout(), &line);
                }
            })
        }
    }
}

pub(super) fn exit_code(report: &Report) -> u8 {
    match report.outcome {
        Outcome::Succeeded => 0,
        Outcome::Failed => FAILED,
        Outcome::RolledBack => ROLLED_BACK,
        Outcome::Paused | Outcome::Aborted => ABORTED,
        Outcome::Locked => LOCKED,
    }
}

/// An event, for programs.
pub(crate) fn json_line(resource: &str, envelope: &Envelope) -> serde_json::Value {
    serde_json::json!({
        "resource": resource,
        "index": envelope.index,
        "at": envelope.at,
        "rollout": envelope.rollout,
        "event": envelope.event,
    })
}
