//! `rolling apply`: roll every meant deployment, one after the other, and wait for the end.

use std::io;

use super::live::Live;
use super::plain::Plain;
use super::{
    ABORTED, Edge, FAILED, Input, Output, check_all, is_terminal, prepare_all, print_json,
};
use super::{refuse, say, signals, text};
use crate::event::{Envelope, Outcome};

pub(super) async fn apply(input: &Input, edge: &Edge) -> u8 {
    let prepared = match prepare_all(input, edge).await {
        Ok(prepared) => prepared,
        Err(found) => return refuse(input, &found),
    };
    if let Err(found) = check_all(&prepared) {
        return refuse(input, &found);
    }
    let (stop, interrupt) = match signals::listen() {
        Ok(channels) => channels,
        Err(error) => {
            let words = format!("error: failed to listen for signals: {error}; nothing was done");
            say(&mut io::stderr(), &words);
            return FAILED;
        }
    };
    for (resource, rollout) in prepared {
        let name = &resource.name;
        let preview = rollout.preview();
        let mut show: Box<dyn FnMut(&Envelope) + Send> = match input.output {
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
        };
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
            (Outcome::Failed, None) => return FAILED,
            (Outcome::Aborted, None) => return ABORTED,
        }
    }
    0
}

fn json_line(resource: &str, envelope: &Envelope) -> serde_json::Value {
    serde_json::json!({
        "resource": resource,
        "index": envelope.index,
        "at": envelope.at,
        "rollout": envelope.rollout,
        "event": envelope.event,
    })
}
