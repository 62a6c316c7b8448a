//! The cluster over HTTP on a free port of 127.0.0.1.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::sync::{mpsc, oneshot};

use super::api::api_request::Delivery;
use super::api::watch::Watch;
use super::in_memory_service::{Dropped, InMemoryService, head, pause, read};

/// How often a watch looks for changes.
const LOOK: Duration = Duration::from_millis(5);

/// A cluster that is served over HTTP until this is dropped.
pub struct HttpServer {
    service: InMemoryService,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl HttpServer {
    /// Serves a cluster, in a thread of its own.
    pub fn start(service: InMemoryService) -> std::io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let served = service.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread =
            std::thread::Builder::new().name("kubernetes".to_owned()).spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        _ = accept(served, listener) => {}
                        _ = stopped => {}
                    }
                });
            })?;
        Ok(Self { service, address, stop: Some(stop), thread: Some(thread) })
    }

    /// Returns the URL: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the cluster that is served.
    pub fn service(&self) -> &InMemoryService {
        &self.service
    }

    /// Returns a kubeconfig for it, in JSON, with a namespace and the token of its settings.
    pub fn kubeconfig(&self, namespace: &str) -> String {
        let token = self.service.with(|cluster| cluster.settings().token.clone());
        let user = token
            .map_or_else(|| serde_json::json!({}), |token| serde_json::json!({"token": token}));
        serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": self.url()}}],
            "users": [{"name": "test", "user": user}],
            "contexts": [{"name": "test",
                "context": {"cluster": "test", "user": "test", "namespace": namespace}}],
        })
        .to_string()
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // It may have ended by itself.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(service: InMemoryService, listener: std::net::TcpListener) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let service = service.clone();
        tokio::spawn(async move {
            let answered = service_fn(|request| respond(service.clone(), request));
            let connection = hyper::server::conn::http1::Builder::new();
            // A connection that is dropped, by either side, is no failure of the server.
            let _ = connection.serve_connection(TokioIo::new(stream), answered).await;
        });
    }
}

async fn respond(
    service: InMemoryService,
    request: Request<Incoming>,
) -> Result<Response<Stream>, Dropped> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Dropped)?.to_bytes().to_vec();
    let answer = service.answer(&read(&Request::from_parts(parts, body)));
    let Delivery::After(time) = answer.delivery else { return Err(Dropped) };
    service.wait(time).await;
    let (sender, receiver) = mpsc::channel(64);
    match answer.watch.clone() {
        Some(watch) => {
            tokio::spawn(tell(service, watch, sender));
        }
        None => {
            let body = match &answer.body {
                serde_json::Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            // The receiver is there, and the channel is empty.
            let _ = sender.try_send(Bytes::from(body));
        }
    }
    Ok(head(&answer).map(|()| Stream(receiver)))
}

/// Sends the events of a watch until the client is gone or its time is over.
async fn tell(service: InMemoryService, mut watch: Watch, sender: mpsc::Sender<Bytes>) {
    let end =
        Duration::from_secs(if watch.seconds == 0 { u64::from(u32::MAX) } else { watch.seconds });
    let begin = service.with(|cluster| cluster.now());
    while service.with(|cluster| cluster.now()) < begin + end {
        for event in service.watched(&mut watch) {
            if sender.send(Bytes::from(format!("{event}\n"))).await.is_err() {
                return;
            }
        }
        if sender.is_closed() {
            return;
        }
        pause(LOOK).await;
    }
}

/// A body of which the parts come one after another.
struct Stream(mpsc::Receiver<Bytes>);

impl Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|part| part.map(|part| Ok(Frame::data(part))))
    }
}
