//! The cluster as a service, for clients with a transport of their own.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::{Request, Response};

use super::api::api_request::{ApiRequest, ApiResponse, Delivery};
use super::api::watch::Watch;
use super::virtual_cluster::Cluster;

/// Where the time comes from: the time since 1970.
pub type ClusterClock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// The connection is closed without an answer, as the door says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped;

impl std::fmt::Display for Dropped {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("connection closed before message completed")
    }
}

impl std::error::Error for Dropped {}

/// A cluster that follows a clock: whoever comes finds it as it is at that time.
#[derive(Clone)]
pub struct InMemoryService {
    cluster: Arc<Mutex<Cluster>>,
    clock: ClusterClock,
}

impl InMemoryService {
    /// Puts a cluster on a clock.
    pub fn new(cluster: Cluster, clock: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self { cluster: Arc::new(Mutex::new(cluster)), clock: Arc::new(clock) }
    }

    /// Looks at the cluster, or changes it, as it is now.
    pub fn with<T>(&self, look: impl FnOnce(&mut Cluster) -> T) -> T {
        let mut cluster = self.cluster.lock().unwrap_or_else(PoisonError::into_inner);
        cluster.advance_to((self.clock)());
        look(&mut cluster)
    }

    /// Answers a request at once; when the answer is to arrive is in it.
    pub fn answer(&self, request: &ApiRequest) -> ApiResponse {
        self.with(|cluster| cluster.answer(request))
    }

    /// Returns what a watch has not told yet.
    pub fn watched(&self, watch: &mut Watch) -> Vec<serde_json::Value> {
        self.with(|cluster| cluster.watched(watch))
    }

    /// Waits until the clock has come so far.
    pub async fn wait(&self, time: Duration) {
        let until = (self.clock)() + time;
        while (self.clock)() < until {
            pause(Duration::from_millis(1)).await;
        }
    }

    /// Answers a request without a socket, for a client with a transport of its own. A watch has
    /// what happened so far, and ends.
    pub async fn handle(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, Dropped> {
        let answer = self.answer(&read(&request));
        let Delivery::After(time) = answer.delivery else { return Err(Dropped) };
        self.wait(time).await;
        let mut body = Vec::new();
        if let Some(mut watch) = answer.watch.clone() {
            for event in self.watched(&mut watch) {
                body.extend(event.to_string().into_bytes());
                body.push(b'\n');
            }
        } else {
            body.extend(answer.body.to_string().into_bytes());
        }
        Ok(head(&answer).map(|()| body))
    }
}

/// Waits in the time of the runtime, which a test may have paused.
#[expect(clippy::disallowed_methods, reason = "the clock is the caller's; this only lets it go on")]
pub async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Reads a request of HTTP.
pub fn read(request: &Request<Vec<u8>>) -> ApiRequest {
    let header = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let headers: Vec<(String, String)> = request.headers().iter().map(header).collect();
    let headers: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let query = request.uri().query().unwrap_or_default();
    let method = request.method().as_str();
    ApiRequest::new(method, request.uri().path(), query, &headers, request.body())
}

/// Returns an answer's head.
pub fn head(answer: &ApiResponse) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() =
        hyper::StatusCode::from_u16(answer.status).unwrap_or(hyper::StatusCode::OK);
    let json = ("content-type".to_owned(), "application/json".to_owned());
    for (name, value) in answer.headers.iter().chain([&json]) {
        let name = hyper::header::HeaderName::from_bytes(name.as_bytes());
        let value = hyper::header::HeaderValue::from_str(value);
        if let (Ok(name), Ok(value)) = (name, value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
