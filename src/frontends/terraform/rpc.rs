//! Dispatch of calls on the wire to methods, and their answers.

use std::sync::Arc;

use hyper::body::Incoming;
use prost::Message;
use tokio::sync::mpsc;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::{BoxFuture, tokio_stream::Stream};
use tonic::server::{Grpc, StreamingService, UnaryService};
use tonic::{Status, Streaming};
use tonic_prost::ProstCodec;

use super::proto as p;
use super::provider::Provider;

/// The longest message in either direction, in bytes. It is Terraform's own limit.
const MAX_MESSAGE: usize = 256 << 20;
/// The service whose health the host asks for.
const PLUGIN: &str = "plugin";

/// Answers one call.
///
/// Findings are part of the answers: an error of the call itself would hide what has become of a
/// rollout.
pub(crate) async fn answer(provider: Arc<Provider>, call: Request<Incoming>) -> Response<Body> {
    let path = call.uri().path().to_owned();
    let Some((service, method)) = path.strip_prefix('/').and_then(|path| path.split_once('/'))
    else {
        return refuse(&path);
    };
    match (service, method) {
        ("tfplugin6.Provider", method) => of_provider(provider, method, call, &path).await,
        ("plugin.GRPCController", "Shutdown") => {
            let shut_down = |_: p::Empty| async move {
                provider.shut_down();
                Ok(p::Empty {})
            };
            unary(call, shut_down).await
        }
        ("plugin.GRPCStdio", "StreamStdio") | ("plugin.GRPCBroker", "StartStream") => {
            let codec = ProstCodec::<p::Empty, p::Empty>::default();
            Grpc::new(codec).streaming(Silence(provider), call).await
        }
        ("grpc.health.v1.Health", "Check") => unary(call, |asked| async { health(asked) }).await,
        _ => refuse(&path),
    }
}

/// The calls of the provider itself.
async fn of_provider(
    provider: Arc<Provider>,
    method: &str,
    call: Request<Incoming>,
    path: &str,
) -> Response<Body> {
    match method {
        "GetMetadata" => unary(call, |_: p::Empty| async { Ok(super::provider::metadata()) }).await,
        "GetProviderSchema" => {
            unary(call, |_: p::Empty| async { Ok(super::provider::schema()) }).await
        }
        "ValidateProviderConfig" => {
            unary(call, |asked| async { Ok(super::provider::validate_provider(asked)) }).await
        }
        "ValidateResourceConfig" => {
            unary(call, |asked| async { Ok(super::provider::validate(asked)) }).await
        }
        "UpgradeResourceState" => {
            unary(call, |asked| async { Ok(super::provider::upgrade(asked)) }).await
        }
        "ConfigureProvider" => {
            unary(call, |asked| async move { Ok(provider.configure(asked).await) }).await
        }
        "ReadResource" => unary(call, |asked| async move { Ok(provider.read(asked).await) }).await,
        "PlanResourceChange" => {
            unary(call, |asked| async move { Ok(provider.plan(asked).await) }).await
        }
        "ApplyResourceChange" => {
            unary(call, |asked| async move { Ok(provider.apply(asked).await) }).await
        }
        "ImportResourceState" => {
            unary(call, |asked| async move { Ok(provider.import(asked).await) }).await
        }
        // OpenTofu asks for functions; this provider has none.
        "GetFunctions" => unary(call, |_: p::Empty| async { Ok(p::Empty {}) }).await,
        "StopProvider" => {
            let stop = |_: p::Empty| async move {
                provider.stop();
                Ok(p::StopResponse::default())
            };
            unary(call, stop).await
        }
        _ => refuse(path),
    }
}

fn health(asked: p::HealthRequest) -> Result<p::HealthResponse, Status> {
    match asked.service.as_str() {
        "" | PLUGIN => Ok(p::HealthResponse { status: p::SERVING }),
        other => Err(Status::not_found(format!("there is no service {other:?}"))),
    }
}

pub(super) fn refuse(path: &str) -> Response<Body> {
    Status::unimplemented(format!("this provider has no {path}")).into_http()
}

async fn unary<Q, A, F>(
    call: Request<Incoming>,
    work: impl FnOnce(Q) -> F + Send + 'static,
) -> Response<Body>
where
    Q: Message + Default + Send + 'static,
    A: Message + Default + Send + 'static,
    F: Future<Output = Result<A, Status>> + Send + 'static,
{
    let codec = ProstCodec::<A, Q>::default();
    let mut grpc = Grpc::new(codec)
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_MESSAGE);
    grpc.unary(UnaryMethod(Some(work)), call).await
}

/// A method that is called once.
struct UnaryMethod<W>(Option<W>);

impl<Q, A, F, W> UnaryService<Q> for UnaryMethod<W>
where
    W: FnOnce(Q) -> F + Send + 'static,
    Q: Send + 'static,
    F: Future<Output = Result<A, Status>> + Send + 'static,
{
    type Response = A;
    type Future = BoxFuture<tonic::Response<A>, Status>;

    fn call(&mut self, request: tonic::Request<Q>) -> Self::Future {
        let work = self.0.take();
        Box::pin(async move {
            match work {
                Some(work) => work(request.into_inner()).await.map(tonic::Response::new),
                None => Err(Status::internal("called twice")),
            }
        })
    }
}

/// A stream that the host opens and that stays empty; it ends with the service.
struct Silence(Arc<Provider>);

impl StreamingService<p::Empty> for Silence {
    type Response = p::Empty;
    type ResponseStream = std::pin::Pin<Box<dyn Stream<Item = Result<p::Empty, Status>> + Send>>;
    type Future = BoxFuture<tonic::Response<Self::ResponseStream>, Status>;

    fn call(&mut self, _: tonic::Request<Streaming<p::Empty>>) -> Self::Future {
        let (hold, nothing) = mpsc::channel(1);
        let mut closing = self.0.closing();
        tokio::spawn(async move {
            super::until::until(&mut closing).await;
            drop(hold);
        });
        let stream: Self::ResponseStream = Box::pin(ReceiverStream::new(nothing));
        Box::pin(async { Ok(tonic::Response::new(stream)) })
    }
}
