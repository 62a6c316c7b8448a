//! A provider for Terraform and OpenTofu: their plugin protocol 6, on the same engine.
//!
//! The host starts several of these processes for one apply, each for a part of the work. None
//! keeps anything that the others need. A rollout goes on only while the host waits for it: a call
//! that the host gives up, and any rollout left when the host is gone, stops at the next safe
//! point.

mod convert;
pub mod docs;
pub mod log;
mod private_state;
pub mod proto;
mod provider;
mod rpc;
pub mod schema;
mod serve_error;
mod tls;
mod until;
pub mod value;
mod wire_error;

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;

use self::provider::Provider;
use self::serve_error::ServeError;
use self::until::until;
use crate::engine::Stop;
use crate::engine::clock::TokioClock;
use crate::host::handshake::{Host, Security, reattachment};
use crate::host::process_context::ProcessContext;
use crate::host::stdout::{claim_stdout, print_line, watch_reader};
use crate::report::exit_codes::FAILED;

/// How long rollouts have to reach a safe point once the host no longer waits for them.
const SAFE_WITHIN: Duration = Duration::from_secs(25);
/// How long they then have to end their current call.
const END_WITHIN: Duration = Duration::from_secs(4);
/// How long connections have to send their last answers.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Serves the host that started this process. Returns the exit code.
pub(crate) async fn serve(host: &Host, context: &ProcessContext) -> u8 {
    log::listen(Arc::<TokioClock>::clone(&context.clock), host.verbose);
    match serve_host(host, context).await {
        Ok(()) => 0,
        Err(why) => {
            // The host shows this when it gets no other answer.
            print_line(&mut io::stderr(), &format!("rolling: {why}"));
            FAILED
        }
    }
}

async fn serve_host(host: &Host, context: &ProcessContext) -> Result<(), ServeError> {
    let fail = |what: &'static str| move |error: io::Error| ServeError::Process(what, error);
    // Ctrl-C reaches the whole process group; the host says what this process must do.
    let mut ctrl_c = signal(SignalKind::interrupt()).map_err(fail("listen for signals"))?;
    let mut hangup = signal(SignalKind::hangup()).map_err(fail("listen for signals"))?;
    let mut terminated = signal(SignalKind::terminate()).map_err(fail("listen for signals"))?;
    let security = host.security()?;
    let tls = match security {
        Security::Tls(certificate) => Some(tls::accept(certificate)?),
        Security::Unencrypted => None,
    };
    let socket = Socket::bind(&host.socket_folder)?;
    let mut out = claim_stdout().map_err(fail("claim standard output"))?;
    let certificate = tls.as_ref().map_or(&[][..], |tls| &tls.certificate);
    let line = host.answer(&socket.path.to_string_lossy(), certificate);
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(fail("answer the host"))?;
    let host_left = watch_reader(&out).map_err(fail("watch the host"))?;

    let provider = Arc::new(Provider::new(context, host.progress_folder.clone(), true));
    let mut ended = provider.ended();
    tokio::select! {
        () = socket.accept(&provider, tls.map(|tls| tls.acceptor)) => {}
        () = async { while ctrl_c.recv().await.is_some() {} } => {}
        () = async { while hangup.recv().await.is_some() {} } => {}
        () = until(&mut ended) => {}
        Some(()) = terminated.recv() => tracing::warn!("asked to end (SIGTERM)"),
        Ok(()) = host_left => tracing::warn!("the host process (Terraform or OpenTofu) has ended"),
    }
    provider.finish().await;
    Ok(())
}

/// Serves hosts that the operator points at this process, until Ctrl-C. Returns the exit code.
pub(crate) async fn debug(host: &Host, context: &ProcessContext) -> u8 {
    let served = async {
        let fail = |error: io::Error| ServeError::Process("listen for signals", error);
        let mut ctrl_c = signal(SignalKind::interrupt()).map_err(fail)?;
        let socket = Socket::bind(&host.socket_folder)?;
        print_line(&mut io::stdout(), &reattachment(&socket.path.to_string_lossy()));
        let note =
            "Serving until Ctrl-C. Set the variable above so that terraform uses this process.";
        print_line(&mut io::stderr(), note);
        let provider = Arc::new(Provider::new(context, host.progress_folder.clone(), false));
        tokio::select! {
            () = socket.accept(&provider, None) => {}
            _ = ctrl_c.recv() => print_line(&mut io::stderr(), "stopping at the next safe point"),
        }
        provider.finish().await;
        Ok::<(), ServeError>(())
    };
    match served.await {
        Ok(()) => 0,
        Err(why) => {
            print_line(&mut io::stderr(), &format!("error: {why}"));
            FAILED
        }
    }
}

/// The socket for the host, in a folder that only this user may enter; removed at the end.
struct Socket {
    listener: UnixListener,
    path: PathBuf,
    _folder: TempDir,
}

impl Socket {
    fn bind(within: &Path) -> Result<Socket, ServeError> {
        let at = |error: io::Error| ServeError::Socket(within.to_owned(), error);
        let mut folder = tempfile::Builder::new();
        let folder = folder.prefix("rolling-").permissions(Permissions::from_mode(0o700));
        let folder = folder.tempdir_in(within).map_err(at)?;
        let path = folder.path().join("plugin.sock");
        let listener = UnixListener::bind(&path).map_err(at)?;
        Ok(Socket { listener, path, _folder: folder })
    }

    /// Accepts connections forever.
    async fn accept(&self, provider: &Arc<Provider>, tls: Option<TlsAcceptor>) {
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // For example, too many open files; the host tries again.
                    tracing::warn!(%error, "cannot take a connection");
                    tokio::task::yield_now().await;
                    continue;
                }
            };
            let (provider, tls) = (Arc::clone(provider), tls.clone());
            tokio::spawn(async move {
                match tls {
                    None => connection(provider, stream).await,
                    Some(tls) => match tls.accept(stream).await {
                        Ok(stream) => connection(provider, stream).await,
                        Err(error) => tracing::warn!(%error, "refused a connection"),
                    },
                }
            });
        }
    }
}

async fn connection(
    provider: Arc<Provider>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) {
    let _open = provider.open();
    let mut closing = provider.closing();
    let calls = Arc::clone(&provider);
    let service = hyper::service::service_fn(move |call| {
        let provider = Arc::clone(&calls);
        async move { Ok::<_, std::convert::Infallible>(rpc::answer(provider, call).await) }
    });
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = until(&mut closing) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

impl Provider {
    /// Brings rollouts under way to a safe point, and sends the last answers.
    async fn finish(&self) {
        self.ask_to_stop(Stop::Gracefully);
        if within(SAFE_WITHIN, self.idle()).await.is_none() {
            self.ask_to_stop(Stop::Now);
            if within(END_WITHIN, self.idle()).await.is_none() {
                tracing::error!(
                    "a call to the cloud does not return; the next apply continues from the record"
                );
            }
        }
        self.close();
        within(ANSWER_WITHIN, self.disconnected()).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "the host's time, not the fleet's")]
async fn within(limit: Duration, work: impl Future<Output = ()>) -> Option<()> {
    tokio::select! {
        () = work => Some(()),
        () = tokio::time::sleep(limit) => None,
    }
}
