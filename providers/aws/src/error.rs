//! Converts the SDK's errors to the port's: their kind, and whether the call took effect.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ec2::config::http::HttpResponse;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use rolling_provider::{Effect, ErrorKind, ProviderError};

/// Codes of AWS services for a caller that is too fast.
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
/// Codes for a call that may succeed a moment later.
///
/// A group is busy with something else. A request to S3 did not complete. A target that does not
/// run will turn out to be gone, or runs a moment later.
const BUSY: [&str; 5] = [
    "ScalingActivityInProgress",
    "ResourceContention",
    "ResourceInUse",
    "RequestTimeout",
    INVALID_TARGET,
];
/// The code of `RegisterTargets` when a target does not exist or does not run.
///
/// The call then registers none of its targets.
pub(crate) const INVALID_TARGET: &str = "InvalidTarget";
/// Codes of S3 for an object that does not, or just now does not, meet the condition of a call.
const CHANGED: [&str; 3] = [PRECONDITION_FAILED, "ConditionalRequestConflict", "OperationAborted"];
pub(crate) const PRECONDITION_FAILED: &str = "PreconditionFailed";
/// Codes of EC2 for a launch that it has no capacity for just now.
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
/// How many characters of a body are shown: enough to tell a web page from an answer of AWS.
const SHOWN: usize = 120;
/// Codes of AWS services for a caller without permission.
const DENIED: [&str; 3] = ["AccessDenied", "AccessDeniedException", "UnauthorizedOperation"];
/// Codes of AWS services for credentials that they do not accept. EC2 uses `AuthFailure`.
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
/// The attribute at fault, and below it the remedy, when the credentials are at fault.
pub(crate) const PROVIDER: &str = "provider:aws";
pub(crate) const SIGN_IN: &str = "credentials come from the AWS SDK's default chain: set AWS_ACCESS_KEY_ID and \
     AWS_SECRET_ACCESS_KEY, choose a profile (AWS_PROFILE), sign in again, or run where an \
     instance or task role is attached";

/// Converts `error` of `operation`. `service` is the prefix of its IAM actions.
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
            // Not an error of AWS: the body shows best what answered.
            Some(response) => format!("{}: {}", start_of_body(response), chain(error)),
            None => chain(error),
        },
    };
    let credentials = lacks_credentials(error).is_some()
        || code.as_deref().is_some_and(|code| CREDENTIALS.contains(&code));
    let remedy = match credentials {
        true => Some(SIGN_IN.to_owned()),
        false => remedy(service, operation, error, &message),
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

/// Returns the status and the start of the body: `HTTP 500: <!doctype html> ...`.
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

/// Whether AWS denied the call for lack of permission.
pub(crate) fn is_denied(error: &ProviderError) -> bool {
    error.code.as_deref().is_some_and(|code| DENIED.contains(&code))
}

fn classify<E>(error: &SdkError<E, HttpResponse>) -> (ErrorKind, Effect)
where
    E: ProvideErrorMetadata + Error + 'static,
{
    // The SDK sends nothing unsigned.
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
            } else if DENIED.contains(&code) {
                (ErrorKind::Denied, Effect::NotApplied)
            } else if context.raw().status().is_server_error()
                // Not implemented: this does not change, and nothing was done.
                && context.raw().status().as_u16() != 501
            {
                (ErrorKind::Transient, Effect::Unknown)
            } else {
                (ErrorKind::Refused, Effect::NotApplied)
            }
        }
        // Timed out, cut off, or an unreadable answer: the call may have taken effect.
        _ => (ErrorKind::Transient, Effect::Unknown),
    }
}

/// Whether the error may be about an instance profile that another service made a moment ago.
///
/// IAM is eventually consistent, and `hashicorp/terraform-provider-aws#40088` waits for the same.
fn is_not_seen_yet(code: &str, message: &str) -> bool {
    let says_so = message.contains("Invalid IAM Instance Profile");
    let of_ec2 = message.contains("iamInstanceProfile");
    (code == "ValidationError" && says_so)
        || (code == "InvalidParameterValue" && (says_so || of_ec2))
}

/// Returns the kind of `error` if it says that the SDK found no credentials to sign with.
///
/// A source of credentials that is out of reach may be back in a moment.
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

/// Whether there was no connection, so that the request cannot have left.
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

/// Returns the causes of an error, the outermost first, each of them once.
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

/// Drops what a call answers, and reads its error.
pub(crate) fn done<T, E>(
    service: &str,
    operation: &str,
    sent: Result<T, SdkError<E, HttpResponse>>,
) -> Result<(), ProviderError>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    sent.map(drop).map_err(|error| from_sdk(service, operation, &error))
}

/// Returns what to do about an error.
fn remedy<E: ProvideErrorMetadata>(
    service: &str,
    operation: &str,
    error: &SdkError<E, HttpResponse>,
    message: &str,
) -> Option<String> {
    let code = match error {
        SdkError::ServiceError(context) => context.err().code(),
        _ => None,
    };
    match (code, error) {
        // Denied as well, but the missing permission is not that of the call.
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
    }
}
