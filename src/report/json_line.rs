//! An event as one line of JSON.

use crate::model::event::Envelope;

/// Returns an event as a JSON object, for programs.
pub(crate) fn json_line(resource: &str, envelope: &Envelope) -> serde_json::Value {
    serde_json::json!({
        "resource": resource,
        "index": envelope.index,
        "at": envelope.at,
        "rollout": envelope.rollout,
        "event": envelope.event,
    })
}
