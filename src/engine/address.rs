//! Makes one request to an address of the user's: a gate or a hook.

use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use crate::rollout::gate_failure::AddressFailure;

/// Asks once. Returns the status of the answer.
///
/// # Errors
/// Why there is no answer.
pub(super) async fn get(url: &str) -> Result<u16, AddressFailure> {
    send(url, Request::get(uri(url)?).body(String::new())).await
}

/// Sends a JSON text once. Returns the status of the answer.
///
/// # Errors
/// Why there is no answer.
pub(super) async fn post(url: &str, json: String) -> Result<u16, AddressFailure> {
    let request = Request::post(uri(url)?).header("content-type", "application/json");
    send(url, request.body(json)).await
}

fn uri(url: &str) -> Result<hyper::Uri, AddressFailure> {
    url.parse().map_err(|error: hyper::http::uri::InvalidUri| invalid(url, error.to_string()))
}

fn invalid(url: &str, why: String) -> AddressFailure {
    AddressFailure::Invalid { url: url.to_owned(), why }
}

async fn send(
    url: &str,
    request: Result<Request<String>, hyper::http::Error>,
) -> Result<u16, AddressFailure> {
    let request = request.map_err(|error| invalid(url, error.to_string()))?;
    let crypto = tokio_rustls::rustls::crypto::aws_lc_rs::default_provider();
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(crypto)
        .map_err(|error| AddressFailure::NoCertificates(error.to_string()))?
        .https_or_http()
        .enable_http1()
        .build();
    let client: Client<_, String> = Client::builder(TokioExecutor::new()).build(connector);
    let answer = client.request(request).await.map_err(|error| {
        let causes = std::iter::successors(std::error::Error::source(&error), |e| e.source());
        let why = causes.last().map_or_else(|| error.to_string(), ToString::to_string);
        AddressFailure::Request(why)
    })?;
    Ok(answer.status().as_u16())
}
