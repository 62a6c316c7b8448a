//! Errors of Kubernetes' API.

use kube::core::Status;
use rolling_provider::{Effect, ErrorKind, ProviderError};

/// The call to `operation` that failed with `error`; `changes` says whether it may have changed
/// something.
///
/// The reasons are those of `StatusReason` in `k8s.io/apimachinery/pkg/apis/meta/v1`.
pub(crate) fn from_kube(operation: &str, error: &kube::Error, changes: bool) -> ProviderError {
    let unknown = if changes { Effect::Unknown } else { Effect::NotApplied };
    match error {
        kube::Error::Api(status) => from_status(operation, status, unknown),
        // Nothing was sent.
        kube::Error::Auth(error) => ProviderError {
            kind: ErrorKind::Denied,
            effect: Effect::NotApplied,
            remedy: Some(
                "see that `kubectl get deployments` works with the same kubeconfig".into(),
            ),
            ..failed(operation, error.to_string())
        },
        kube::Error::BuildRequest(_) | kube::Error::HttpError(_) => ProviderError {
            kind: ErrorKind::Invalid,
            effect: Effect::NotApplied,
            ..failed(operation, chain(error))
        },
        _ => ProviderError { effect: unknown, ..failed(operation, chain(error)) },
    }
}

fn failed(operation: &str, message: String) -> ProviderError {
    ProviderError {
        operation: operation.into(),
        kind: ErrorKind::Transient,
        effect: Effect::NotApplied,
        code: None,
        message,
        attribute: None,
        remedy: None,
    }
}

fn from_status(operation: &str, status: &Status, unknown: Effect) -> ProviderError {
    let kind = match (status.code, status.reason.as_str()) {
        (429, _) => ErrorKind::Throttled,
        (_, "Conflict" | "AlreadyExists" | "Expired") => ErrorKind::Transient,
        (401 | 403, _) => ErrorKind::Denied,
        (404, _) => ErrorKind::Missing,
        (500.., _) => ErrorKind::Transient,
        (_, "Invalid" | "BadRequest") => ErrorKind::Invalid,
        _ => ErrorKind::Refused,
    };
    // An answer that says what is wrong with the call was made before it took effect.
    let effect = if status.code >= 500 { unknown } else { Effect::NotApplied };
    let remedy = (kind == ErrorKind::Denied)
        .then(|| "grant what docs/kubernetes-role.yaml lists, or use another context".to_owned());
    ProviderError {
        kind,
        effect,
        code: Some(status.reason.clone()).filter(|reason| !reason.is_empty()),
        remedy,
        ..failed(operation, status.message.clone())
    }
}

/// An error with what it comes from: the client says only that a service failed.
fn chain(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let text = source.to_string();
        if !message.contains(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        next = source.source();
    }
    message
}

/// Whether an object has been written by somebody since it was read.
pub(crate) fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.reason == "Conflict")
}

/// Whether the object is not there.
pub(crate) fn is_missing(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16, reason: &str) -> kube::Error {
        let status = Status::failure("the server says why", reason).with_code(code);
        kube::Error::Api(Box::new(status))
    }

    #[test]
    fn what_an_error_leaves_behind_is_known_where_the_server_says_what_is_wrong() {
        use {Effect::*, ErrorKind::*};
        for (code, reason, kind, effect) in [
            (409, "Conflict", Transient, NotApplied),
            (409, "AlreadyExists", Transient, NotApplied),
            (429, "TooManyRequests", Throttled, NotApplied),
            (403, "Forbidden", Denied, NotApplied),
            (401, "Unauthorized", Denied, NotApplied),
            (404, "NotFound", Missing, NotApplied),
            (422, "Invalid", Invalid, NotApplied),
            (500, "InternalError", Transient, Unknown),
            (504, "Timeout", Transient, Unknown),
        ] {
            let error = from_kube("PATCH deployments/web", &status(code, reason), true);
            assert_eq!((error.kind, error.effect), (kind, effect), "{code} {reason}");
            assert_eq!(error.code.as_deref(), Some(reason));
            let read = from_kube("GET deployments/web", &status(code, reason), false);
            assert_eq!(read.effect, NotApplied);
        }
        assert!(
            is_conflict(&status(409, "Conflict")) && !is_conflict(&status(409, "AlreadyExists"))
        );
    }
}
