//! `$/log`: sends this program's log to a peer that asks for it.

use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::layer::Context;

use super::messages::{LogLevel, LogParams};
use super::transport::Outbox;
use super::wire::notification;

/// The longest message in bytes; the rest is cut off.
const MAX_LOG: usize = 64 << 10;

/// How much the peer asks for: 0 for nothing, otherwise the [`LogLevel`] plus one.
static WANTED: AtomicU8 = AtomicU8::new(0);
static PEER: Mutex<Option<Outbox>> = Mutex::new(None);

/// Starts to send to `out` what is at least as severe as `level`.
pub(super) fn listen(level: LogLevel, out: Outbox) {
    *PEER.lock().unwrap_or_else(PoisonError::into_inner) = Some(out);
    WANTED.store(level as u8 + 1, Ordering::Relaxed);
}

/// Stops sending to the peer.
pub(super) fn stop_logging() {
    WANTED.store(0, Ordering::Relaxed);
    *PEER.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// Returns the layer of the program's subscriber that logs to the peer.
pub fn layer<S: Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>>() -> impl Layer<S>
{
    ToPeer.with_filter(dynamic_filter_fn(|metadata, _| is_wanted(metadata)))
}

fn is_wanted(metadata: &Metadata<'_>) -> bool {
    // Only this program's own messages: its libraries log every byte on the wire.
    metadata.target().starts_with("rolling")
        && level(*metadata.level())
            .is_some_and(|level| (level as u8) < WANTED.load(Ordering::Relaxed))
}

fn level(level: Level) -> Option<LogLevel> {
    Some(match level {
        Level::ERROR => LogLevel::Error,
        Level::WARN => LogLevel::Warn,
        Level::INFO => LogLevel::Info,
        Level::DEBUG => LogLevel::Debug,
        Level::TRACE => return None,
    })
}

struct ToPeer;

impl<S: Subscriber> Layer<S> for ToPeer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let Some(level) = level(*metadata.level()) else { return };
        let peer = PEER.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(out) = peer.filter(Outbox::has_room) else { return };
        let mut message = MessageVisitor::default();
        event.record(&mut message);
        let mut message = message.message + &message.fields;
        if message.len() > MAX_LOG {
            message.truncate(message.floor_char_boundary(MAX_LOG));
        }
        let params = LogParams { level, message, target: metadata.target().to_owned() };
        out.send(notification("$/log", &json!(params)));
    }
}

/// An event as a line: its message, then its fields.
#[derive(Default)]
struct MessageVisitor {
    message: String,
    fields: String,
}

impl Visit for MessageVisitor {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        }
        .unwrap_or_default();
    }
}
