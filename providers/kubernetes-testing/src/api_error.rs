//! The answers of a request that is refused: `metav1.Status`, in the words of
//! `k8s.io/apimachinery/pkg/api/errors`.

use serde_json::{Value, json};

use super::object_kind::ObjectKind;

/// A refusal.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiError {
    /// The status code of HTTP.
    pub code: u16,
    /// The reason for programs: `Conflict`.
    pub reason: &'static str,
    /// The sentence for people.
    pub message: String,
    /// What it is about.
    pub details: Value,
}

/// One field that is refused.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldCause {
    /// The reason: `FieldValueInvalid`.
    pub reason: &'static str,
    /// The path of the field.
    pub field: String,
    /// The sentence, without the path.
    pub message: String,
}

impl ApiError {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: Value::Null }
    }

    fn about(mut self, kind: ObjectKind, name: &str) -> Self {
        let mut details = json!({"kind": kind.info().plural});
        if !name.is_empty() {
            details["name"] = name.into();
        }
        if !kind.info().group.is_empty() {
            details["group"] = kind.info().group.into();
        }
        self.details = details;
        self
    }

    /// 404 for an object that is not there.
    pub fn not_found(kind: ObjectKind, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", kind.qualified());
        Self::new(404, "NotFound", message).about(kind, name)
    }

    /// 404 for a path that is not served.
    pub fn no_such_path() -> Self {
        let message = "the server could not find the requested resource";
        Self { details: json!({}), ..Self::new(404, "NotFound", message) }
    }

    /// 405 for a verb that a resource does not have.
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self { details: json!({}), ..Self::new(405, "MethodNotAllowed", message) }
    }

    /// 409 for a write over a version that is not the latest.
    pub fn conflict(kind: ObjectKind, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version \
                   and try again";
        Self::conflict_because(kind, &kind.qualified(), name, why)
    }

    /// 409 with another cause; `resource` is how the message names it.
    pub fn conflict_because(kind: ObjectKind, resource: &str, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {resource} \"{name}\": {why}");
        Self::new(409, "Conflict", message).about(kind, name)
    }

    /// 409 for an object that is there already.
    pub fn already_exists(kind: ObjectKind, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", kind.qualified());
        Self::new(409, "AlreadyExists", message).about(kind, name)
    }

    /// 409 of an apply that would take fields from other managers.
    pub fn apply_conflict(conflicts: &[(String, String)]) -> Self {
        let count = conflicts.len();
        let plural = if count == 1 { "" } else { "s" };
        let lines: Vec<String> =
            conflicts.iter().map(|(who, field)| format!("{who}: {field}")).collect();
        let message = format!("Apply failed with {count} conflict{plural}: {}", lines.join("\n"));
        let cause = |(who, field): &(String, String)| json!({"reason": "FieldManagerConflict", "message": who, "field": field});
        let causes: Vec<Value> = conflicts.iter().map(cause).collect();
        Self { details: json!({"causes": causes}), ..Self::new(409, "Conflict", message) }
    }

    /// 422 for fields that are refused.
    pub fn invalid(kind: ObjectKind, name: &str, causes: &[FieldCause]) -> Self {
        let sentence = |cause: &FieldCause| format!("{}: {}", cause.field, cause.message);
        let sentences: Vec<String> = causes.iter().map(sentence).collect();
        let all = match sentences.as_slice() {
            [one] => one.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        let message = format!("{} \"{name}\" is invalid: {all}", kind.qualified_kind());
        let mut refused = Self::new(422, "Invalid", message).about(kind, name);
        refused.details["kind"] = kind.info().name.into();
        let cause = |cause: &FieldCause| json!({"reason": cause.reason, "message": cause.message, "field": cause.field});
        refused.details["causes"] = causes.iter().map(cause).collect();
        refused
    }

    /// 422 for a patch that does not fit the object.
    pub fn unprocessable(message: impl Into<String>) -> Self {
        let message = format!(
            "the server rejected our request due to an error in our request: {}",
            message.into()
        );
        Self { details: json!({}), ..Self::new(422, "Invalid", message) }
    }

    /// 400 for what cannot be read.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 415 for a patch of an unknown type.
    pub fn unsupported_media_type() -> Self {
        let message = "the body of the request was in an unknown format - accepted media types \
                       include: application/json-patch+json, application/merge-patch+json, \
                       application/strategic-merge-patch+json, application/apply-patch+yaml";
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// 401 without the token.
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// 403, in the words of who refused it: quota, an admission webhook.
    pub fn forbidden(kind: ObjectKind, name: &str, message: impl Into<String>) -> Self {
        Self::new(403, "Forbidden", message).about(kind, name)
    }

    /// 403 of the authorizer on a subresource, or on the resource where that is empty.
    pub fn not_allowed(
        user: &str,
        verb: &str,
        kind: ObjectKind,
        subresource: &str,
        namespace: &str,
        name: &str,
    ) -> Self {
        let info = kind.info();
        let subject = if name.is_empty() {
            kind.qualified()
        } else {
            format!("{} \"{name}\"", kind.qualified())
        };
        let slash = if subresource.is_empty() { "" } else { "/" };
        let place = if namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace \"{namespace}\"")
        };
        let message = format!(
            "{subject} is forbidden: User \"{user}\" cannot {verb} resource \
             \"{}{slash}{subresource}\" in API group \"{}\" {place}",
            info.plural, info.group
        );
        Self::new(403, "Forbidden", message).about(kind, name)
    }

    /// 410 for a watch or a list from a version that is no longer kept.
    pub fn gone() -> Self {
        Self::new(410, "Expired", "too old resource version")
    }

    /// 429 of priority and fairness.
    pub fn too_many_requests(seconds: u64) -> Self {
        let message = "Too many requests, please try again later.";
        let details = json!({"retryAfterSeconds": seconds});
        Self { details, ..Self::new(429, "TooManyRequests", message) }
    }

    /// 500 as when etcd does not answer.
    pub fn internal() -> Self {
        let message = "Internal error occurred: etcdserver: request timed out";
        let details = json!({"causes": [{"message": "etcdserver: request timed out"}]});
        Self { details, ..Self::new(500, "InternalError", message) }
    }

    /// 503 of a server that is starting or stopping.
    pub fn unavailable() -> Self {
        let message = "the server is currently unable to handle the request";
        Self { details: json!({}), ..Self::new(503, "ServiceUnavailable", message) }
    }

    /// 504 of a request that took too long.
    pub fn timeout() -> Self {
        let message = "Timeout: request did not complete within the allotted timeout";
        Self { details: json!({}), ..Self::new(504, "Timeout", message) }
    }

    /// Returns the answer's body.
    pub fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        status
    }
}
