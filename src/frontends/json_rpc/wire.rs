//! JSON-RPC 2.0 messages.

use serde_json::{Value, json};

use crate::document::{duplicates, shortened};

/// Codes of protocol errors. A failed deployment is not an error but a result with diagnostics.
pub(crate) mod code {
    /// The line is not JSON.
    pub(crate) const PARSE: i64 = -32700;
    /// The JSON is not a request.
    pub(crate) const INVALID_REQUEST: i64 = -32600;
    /// There is no such method.
    pub(crate) const METHOD_NOT_FOUND: i64 = -32601;
    /// The method does not take these parameters.
    pub(crate) const INVALID_PARAMS: i64 = -32602;
    /// An internal fault of the server.
    pub(crate) const INTERNAL: i64 = -32603;
    /// The first request is not `initialize`.
    pub(crate) const NOT_INITIALIZED: i64 = -32002;
    /// Cancelled before any mutation.
    pub(crate) const CANCELLED: i64 = -32800;
    /// No common protocol version.
    pub(crate) const VERSION: i64 = 1001;
    /// No such resource type.
    pub(crate) const TYPE: i64 = 1002;
    /// The line is too long.
    pub(crate) const TOO_LARGE: i64 = 1003;
    /// Too many requests are in flight, or another operation on this target is.
    pub(crate) const BUSY: i64 = 1004;
    /// Another engine is at work on the target.
    pub(crate) const LOCKED: i64 = 1005;
    /// The plan was made for another configuration or revision.
    pub(crate) const STALE_PLAN: i64 = 1006;
}

/// A protocol error.
#[derive(Clone, Debug, PartialEq)]
pub struct RpcError {
    /// See `code`.
    pub code: i64,
    /// What is wrong.
    pub message: String,
    /// Further data for programs.
    pub(crate) data: Option<Value>,
}

impl RpcError {
    /// An error without data.
    pub(crate) fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: shortened(message.into()), data: None }
    }
}

/// A request, or a notification when there is no id.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// A string or a whole number.
    pub(crate) id: Option<Value>,
    /// The method to call.
    pub(crate) method: String,
    /// The parameters; null for none.
    pub(crate) params: Value,
}

impl Request {
    /// Reads one line.
    ///
    /// # Errors
    /// The error to answer with, and the id of the request to answer.
    pub fn parse(line: &[u8]) -> Result<Request, (Value, RpcError)> {
        let message: Value = serde_json::from_slice(line).map_err(|error| {
            let message = format!("the line is not JSON: {error}");
            (Value::Null, RpcError::new(code::PARSE, message))
        })?;
        let invalid =
            |id: Value, message: &str| (id, RpcError::new(code::INVALID_REQUEST, message));
        let Value::Object(mut object) = message else {
            let message = "a message is one JSON object; batches are not supported";
            return Err(invalid(Value::Null, message));
        };
        let id = object.remove("id");
        let known = id.clone().filter(is_id).unwrap_or_default();
        if id.as_ref().is_some_and(|id| !is_id(id)) {
            return Err(invalid(Value::Null, "an id is a string or a whole number"));
        }
        // The first and the last of two would not be the same to every reader.
        let text = std::str::from_utf8(line).unwrap_or_default();
        if let Some(twice) = duplicates(text).first() {
            return Err(invalid(known, &format!("{}: {twice}", twice.pointer)));
        }
        if object.get("jsonrpc") != Some(&json!("2.0")) {
            return Err(invalid(known, "\"jsonrpc\" must be \"2.0\""));
        }
        let Some(Value::String(method)) = object.remove("method") else {
            return Err(invalid(known, "\"method\" must be a string"));
        };
        let params = object.remove("params").unwrap_or_default();
        if !(params.is_object() || params.is_null()) {
            return Err(invalid(known, "\"params\" must be an object"));
        }
        Ok(Request { id, method, params })
    }
}

/// Returns the line that answers `id`.
pub(crate) fn response(id: &Value, result: Result<Value, RpcError>) -> String {
    let message = match result {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(error) => {
            let mut body = json!({ "code": error.code, "message": error.message });
            if let Some(data) = error.data {
                body["data"] = data;
            }
            json!({ "jsonrpc": "2.0", "id": id, "error": body })
        }
    };
    message.to_string()
}

/// Returns the line of a notification.
pub(crate) fn notification(method: &str, params: &Value) -> String {
    json!({ "jsonrpc": "2.0", "method": method, "params": params }).to_string()
}

fn is_id(id: &Value) -> bool {
    let is_whole = |number: f64| number.fract() == 0.0;
    id.is_string() || id.as_f64().is_some_and(is_whole)
}

/// The version of this protocol.
pub(crate) const PROTOCOL: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> (Value, i64) {
        let (id, error) = Request::parse(line.as_bytes()).unwrap_err();
        (id, error.code)
    }

    #[test]
    fn what_is_not_a_request_is_answered_with_its_id_where_it_has_one() {
        assert_eq!(refused("{"), (Value::Null, code::PARSE));
        assert_eq!(refused("[]"), (Value::Null, code::INVALID_REQUEST));
        assert_eq!(refused(r#"{"id":7,"method":"ping"}"#), (json!(7), code::INVALID_REQUEST));
        assert_eq!(refused(r#"{"jsonrpc":"2.0","id":"a"}"#), (json!("a"), code::INVALID_REQUEST));
        let line = r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#;
        assert_eq!(refused(line), (Value::Null, code::INVALID_REQUEST));
        let line = r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}"#;
        assert_eq!(refused(line), (json!(1), code::INVALID_REQUEST));
    }
}
