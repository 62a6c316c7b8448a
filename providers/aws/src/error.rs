//! From the SDK's errors to the port's: what sort of trouble, and whether the call took effect.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ec2::config::http::HttpResponse;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use rolling_provider::{Effect, ErrorKind, ProviderError};

/// Codes by which AWS services say "too fast".
const THROTTLED: [&str; 10] = [
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "PriorRequestNotComplete",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "SlowDown",
    "EC2ThrottledException",
];
/// Codes by which a group says that it is busy with something else just now.
/// S3 says that a request did not come to its end. A target that does not run will be seen to be
/// gone, or runs a moment later.
const BUSY: [&str; 5] = [
    "ScalingActivityInProgress",
    "ResourceContention",
    "ResourceInUse",
    "RequestTimeout",
    INVALID_TARGET,
];
/// `RegisterTargets` takes none of its targets when one of them does not exist or does not run.
pub(crate) const INVALID_TARGET: &str = "InvalidTarget";
/// Codes by which S3 says that an object is not, or not just now, as a call wants it.
const CHANGED: [&str; 3] = [PRECONDITION_FAILED, "ConditionalRequestConflict", "OperationAborted"];
pub(crate) const PRECONDITION_FAILED: &str = "PreconditionFailed";
/// Codes by which EC2 says that it has no room for a launch just now.
const NO_CAPACITY: [&str; 10] = [
    "InsufficientInstanceCapacity",
    "InsufficientHostCapacity",
    "InsufficientReservedInstanceCapacity",
    "InsufficientFreeAddressesInSubnet",
    "InstanceLimitExceeded",
    "MaxSpotInstanceCountExceeded",
    "ReservationCapacityExceeded",
    "SpotMaxPriceTooLow",
    "UnfulfillableCapacity",
    "VcpuLimitExceeded",
];
/// So many characters of a body are shown: enough to tell a page from an answer.
const SHOWN: usize = 120;
/// Codes by which AWS services say that the caller may not.
const DENIED: [&str; 3] = ["AccessDenied", "AccessDeniedException", "UnauthorizedOperation"];
/// Codes by which AWS services say that they do not take the credentials. EC2 says AuthFailure.
const CREDENTIALS: [&str; 8] = [
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];
/// The attribute at fault, and what to do, where the credentials are.
pub(crate) const PROVIDER: &str = "provider:aws";
pub(crate) const SIGN_IN: &str = "credentials come from the AWS SDK's default chain: set AWS_ACCESS_KEY_ID and \
     AWS_SECRET_ACCESS_KEY, choose a profile (AWS_PROFILE), sign in again, or run where an \
     instance or task role is attached";

/// What `error` of `operation` means. `service` is the prefix of its IAM actions.
pub(crate) fn from_sdk<E>(
    service: &str,
    operation: &str,
    error: &SdkError<E, HttpResponse>,
) -> ProviderError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let (kind, effect) = classify(error);
    let metadata = match error {
        SdkError::ServiceError(context) => Some(context.err().meta()),
        _ => None,
    };
    let code = metadata.and_then(|meta| meta.code()).map(str::to_owned);
    let message = match metadata.and_then(|meta| meta.message()) {
        Some(message) => message.to_owned(),
        None => match error.raw_response() {
            // No AWS error: what answered there is best known by its own words.
            Some(response) => format!("{}: {}", start_of_body(response), chain(error)),
            None => chain(error),
        },
    };
    let credentials = lacks_credentials(error).is_some()
        || code.as_deref().is_some_and(|code| CREDENTIALS.contains(&code));
    let remedy = match (code.as_deref(), error) {
        _ if credentials => Some(SIGN_IN.to_owned()),
        // Denied, too, but not for want of the call that was made.
        _ if message.contains("not authorized to use launch template") => Some(
            "to set a launch template takes ec2:RunInstances for all that it uses, ec2:CreateTags \
             where it tags what it launches, iam:PassRole where it has an instance profile, and \
             ssm:GetParameters where its image is a parameter: allow them to these credentials"
                .to_owned(),
        ),
        (Some(code), _) if DENIED.contains(&code) && message.contains("kms:") => Some(
            "the bucket encrypts by a KMS key: allow kms:GenerateDataKey and kms:Decrypt of it to \
             these credentials"
                .to_owned(),
        ),
        (Some(code), _) if DENIED.contains(&code) && operation == "GetObject" => Some(
            "allow s3:GetObject of the object, and s3:ListBucket of its bucket, without which AWS \
             does not tell an object that is not there from one that may not be read"
                .to_owned(),
        ),
        (Some(code), _) if DENIED.contains(&code) => {
            Some(format!("allow {service}:{operation} to these credentials"))
        }
        (_, SdkError::DispatchFailure(_)) => Some(
            "check the network, and endpoint_url or AWS_ENDPOINT_URL where one is set".to_owned(),
        ),
        _ => None,
    };
    ProviderError {
        operation: operation.into(),
        kind,
        effect,
        code,
        message,
        attribute: credentials.then(|| PROVIDER.to_owned()),
        remedy,
    }
}

/// `HTTP 500: <!doctype html> ...`: the status and the start of what was answered.
pub(crate) fn start_of_body(response: &HttpResponse) -> String {
    let body = response.body().bytes().map(String::from_utf8_lossy).unwrap_or_default();
    let message: Vec<&str> = body.split_whitespace().take(40).collect();
    let message: String = message.join(" ").chars().take(SHOWN).collect();
    let status = response.status().as_u16();
    match message.as_str() {
        "" => format!("HTTP {status}"),
        message => format!("HTTP {status}: {message}"),
    }
}

/// Whether AWS said that the caller may not.
pub(crate) fn is_denied(error: &ProviderError) -> bool {
    error.code.as_deref().is_some_and(|code| DENIED.contains(&code))
}

fn classify<E>(error: &SdkError<E, HttpResponse>) -> (ErrorKind, Effect)
where
    E: ProvideErrorMetadata + Error + 'static,
{
    // Nothing is sent unsigned.
    if let Some(kind) = lacks_credentials(error) {
        return (kind, Effect::NotApplied);
    }
    match error {
        SdkError::ConstructionFailure(_) => (ErrorKind::Refused, Effect::NotApplied),
        SdkError::DispatchFailure(_) if never_connected(error) => {
            (ErrorKind::Transient, Effect::NotApplied)
        }
        SdkError::ServiceError(context) => {
            let code = context.err().code().unwrap_or_default();
            if THROTTLED.contains(&code) || context.raw().status().as_u16() == 429 {
                (ErrorKind::Throttled, Effect::NotApplied)
            } else if NO_CAPACITY.contains(&code) {
                (ErrorKind::NoCapacity, Effect::NotApplied)
            } else if BUSY.contains(&code)
                || CHANGED.contains(&code)
                || is_not_seen_yet(code, context.err().message().unwrap_or_default())
            {
                (ErrorKind::Transient, Effect::NotApplied)
            } else if CREDENTIALS.contains(&code) {
                (ErrorKind::Invalid, Effect::NotApplied)
            } else if context.raw().status().is_server_error()
                // Not implemented: so it stays, and nothing was done.
                && context.raw().status().as_u16() != 501
            {
                (ErrorKind::Transient, Effect::Unknown)
            } else {
                (ErrorKind::Refused, Effect::NotApplied)
            }
        }
        // Timed out, cut off, or answered with something unreadable: it may have happened.
        _ => (ErrorKind::Transient, Effect::Unknown),
    }
}

/// Whether it is about an instance profile that another service made a moment ago, maybe: IAM is
/// eventually consistent, and `hashicorp/terraform-provider-aws#40088` waits for the same.
fn is_not_seen_yet(code: &str, message: &str) -> bool {
    let says_so = message.contains("Invalid IAM Instance Profile");
    let of_ec2 = message.contains("iamInstanceProfile");
    (code == "ValidationError" && says_so)
        || (code == "InvalidParameterValue" && (says_so || of_ec2))
}

/// What sort of trouble it is that the SDK found no credentials to sign with, if that is what
/// `error` says. A source of credentials that is out of reach may be back in a moment.
fn lacks_credentials(error: &(dyn Error + 'static)) -> Option<ErrorKind> {
    let mut next = Some(error);
    while let Some(error) = next {
        match error.downcast_ref::<CredentialsError>() {
            Some(CredentialsError::ProviderTimedOut(_) | CredentialsError::ProviderError(_)) => {
                return Some(ErrorKind::Transient);
            }
            Some(_) => return Some(ErrorKind::Invalid),
            None => next = error.source(),
        }
    }
    None
}

/// Whether the request cannot have left, since there was no connection.
fn never_connected(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<std::io::Error>()
            && io.kind() == std::io::ErrorKind::ConnectionRefused
        {
            return true;
        }
        if error.to_string().contains("dns error") {
            return true;
        }
        next = error.source();
    }
    false
}

/// The causes of an error, the outermost first, each said once.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut message: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let parts = error.to_string();
        if !parts.is_empty() && message.last().is_none_or(|last| !last.contains(&parts)) {
            message.push(parts);
        }
        next = error.source();
    }
    message.join(": ")
}
