//! Where calls go, and which calls are unknown there.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_ec2::config::http::HttpResponse;
use aws_sdk_ec2::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_ec2::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_ec2::error::{BoxError, ProvideErrorMetadata, SdkError};
use rolling_provider::ProviderError;

use crate::error::{from_sdk, start_of_body};

/// Suffixes of AWS's endpoints, including VPC endpoints:
/// <https://docs.aws.amazon.com/general/latest/gr/rande.html>, and `dnsSuffix` of each partition in
/// botocore's `partitions.json`.
const AWS: [&str; 9] = [
    "amazonaws.com",
    "amazonaws.com.cn",
    "amazonaws.eu",
    "api.aws",
    "api.amazonwebservices.com.cn",
    "api.amazonwebservices.eu",
    "c2s.ic.gov",
    "sc2s.sgov.gov",
    "csp.hci.ic.gov",
];
/// Error codes by which an emulator says that it does not know a call.
const UNKNOWN: [&str; 4] =
    ["InvalidAction", "NotImplemented", "UnknownOperation", "UnknownOperationException"];

/// Where calls went, by service, and which of them were unknown there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reached(Arc<Mutex<ReachedHosts>>);

#[derive(Debug, Default)]
struct ReachedHosts {
    /// Hosts that do not belong to AWS, by service.
    others: BTreeMap<&'static str, String>,
    warned: BTreeSet<String>,
}

/// Notes where the calls of one service go.
#[derive(Debug)]
pub(crate) struct CallRecorder(&'static str, Reached);

impl Reached {
    pub(crate) fn watch(&self, service: &'static str) -> CallRecorder {
        CallRecorder(service, self.clone())
    }

    /// Returns the answer, or `None` where an emulator does not know this call, which only checks
    /// or warns.
    ///
    /// # Errors
    /// Those of the call.
    pub(crate) fn checked<T, E>(
        &self,
        service: &'static str,
        operation: &str,
        sent: Result<T, SdkError<E, HttpResponse>>,
    ) -> Result<Option<T>, ProviderError>
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let error = match sent {
            Ok(answer) => return Ok(Some(answer)),
            Err(error) => error,
        };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(host), Some(answered)) = (known.others.get(service), unknown(&error)) else {
            return Err(from_sdk(service, operation, &error));
        };
        let message = format!("{host} does not know {operation} ({answered}): left out");
        if known.warned.insert(message.clone()) {
            tracing::warn!("{message}");
        }
        Ok(None)
    }

    /// Returns the host that answers for `service`, where it does not belong to AWS.
    pub(crate) fn other(&self, service: &str) -> Option<String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.others.get(service).cloned()
    }

    /// Returns a warning for each call that was left out so far.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.warned.iter().cloned().collect()
    }

    fn note(&self, service: &'static str, host: &str) {
        if !is_of_aws(host) {
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            known.others.entry(service).or_insert_with(|| host.to_owned());
        }
    }
}

impl Intercept for CallRecorder {
    fn name(&self) -> &'static str {
        "Watch"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Ok(uri) = context.request().uri().parse::<http::Uri>() {
            self.1.note(self.0, uri.host().unwrap_or_default());
        }
        Ok(())
    }
}

/// Returns the answer, where AWS would not give it: the host does not know the call.
fn unknown<E>(error: &SdkError<E, HttpResponse>) -> Option<String>
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let response = error.raw_response()?;
    let status = response.status().as_u16();
    let code = match error {
        SdkError::ServiceError(context) => context.err().code(),
        _ => None,
    };
    let is_no_answer = match code {
        Some(code) => UNKNOWN.contains(&code) || status == 501,
        // AWS always gives a code.
        None => matches!(status, 404 | 405) || status >= 500,
    };
    is_no_answer.then(|| start_of_body(response))
}

fn is_of_aws(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    AWS.iter()
        .any(|suffix| host.strip_suffix(suffix).is_some_and(|remaining| remaining.ends_with('.')))
}

#[cfg(test)]
mod tests {
    use super::is_of_aws;

    #[test]
    fn the_endpoints_of_every_partition_are_awss_and_nothing_else_is() {
        for host in [
            "autoscaling.eu-west-1.amazonaws.com",
            "ec2.us-gov-west-1.amazonaws.com",
            "autoscaling.cn-north-1.amazonaws.com.cn",
            "vpce-0a1b-xyz.autoscaling.eu-west-1.vpce.amazonaws.com",
            "ec2.eu-west-1.api.aws",
            "EC2.eu-west-1.AMAZONAWS.com.",
        ] {
            assert!(is_of_aws(host), "{host}");
        }
        for host in [
            "localhost",
            "127.0.0.1",
            "localhost.localstack.cloud",
            "amazonaws.com.example.org",
            "notamazonaws.com",
            "amazonaws.com",
        ] {
            assert!(!is_of_aws(host), "{host}");
        }
    }
}
