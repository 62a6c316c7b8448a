//! Log lines on standard error, in the form that the host reads: JSON as of HashiCorp's hclog. The
//! host shows them with `TF_LOG_PROVIDER=INFO`.

use std::fmt;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, UNIX_EPOCH};

use rolling_provider::Clock;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::layer::Context;

use crate::model::printable;

/// The longest message, in bytes: the host reads lines of at most 64 KiB.
const MAX_LOG: usize = 32 << 10;

static CLOCK: OnceLock<Arc<dyn Clock>> = OnceLock::new();
static VERBOSE: AtomicBool = AtomicBool::new(false);

/// Starts logging to the host, with timestamps from `clock`; `verbose` adds debug messages.
pub(super) fn listen(clock: Arc<dyn Clock>, verbose: bool) {
    VERBOSE.store(verbose, Ordering::Relaxed);
    CLOCK.get_or_init(|| clock);
}

/// The part of the program's subscriber that logs to the host.
pub fn layer<S: Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>>() -> impl Layer<S>
{
    ToHost.with_filter(dynamic_filter_fn(|metadata, _| is_wanted(metadata)))
}

fn is_wanted(metadata: &Metadata<'_>) -> bool {
    let least = match metadata.target() {
        _ if VERBOSE.load(Ordering::Relaxed) => Level::DEBUG,
        target if target.starts_with("rolling::frontends::terraform") => Level::INFO,
        target if target.starts_with("rolling::report::progress_file") => Level::INFO,
        // The progress that is logged includes the engine's actions.
        _ => Level::WARN,
    };
    // Only this program's own messages: its libraries log every byte of the wire.
    CLOCK.get().is_some() && metadata.target().starts_with("rolling") && *metadata.level() <= least
}

struct ToHost;

impl<S: Subscriber> Layer<S> for ToHost {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let Some(clock) = CLOCK.get() else { return };
        let at = UNIX_EPOCH + Duration::from_millis(clock.now().0);
        let metadata = event.metadata();
        let mut fields = LogFields::default();
        event.record(&mut fields);
        let LogFields { mut message, mut fields } = fields;
        message.truncate(message.floor_char_boundary(MAX_LOG));
        fields.insert("@level".into(), json!(metadata.level().as_str().to_ascii_lowercase()));
        fields.insert("@message".into(), json!(printable::line(&message)));
        fields.insert("@module".into(), json!(metadata.target().replace("::", ".")));
        let at = humantime::format_rfc3339_micros(at).to_string();
        fields.insert("@timestamp".into(), json!(at));
        let line = Value::Object(fields).to_string() + "\n";
        // A host that is gone reads nothing.
        std::io::stderr().write_all(line.as_bytes()).unwrap_or_default();
    }
}

#[derive(Default)]
struct LogFields {
    message: String,
    fields: Map<String, Value>,
}

impl Visit for LogFields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "message" => self.message = text,
            name => drop(self.fields.insert(name.to_owned(), Value::String(text))),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            name => drop(self.fields.insert(name.to_owned(), json!(value))),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.fields.insert(field.name().to_owned(), json!(value));
    }
}
