//! Starts the provider, and connects to it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use base64::Engine as _;
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rolling::frontends::terraform::proto as p;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response, Uri};
use tonic_prost::ProstCodec;

const COOKIE: &str = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2";
const MAX_MESSAGE: usize = 256 << 20;

/// A certificate as Terraform makes one: self-signed, an authority, with a P-521 key.
pub struct Identity {
    pub pem: String,
    der: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    pub fn new() -> Identity {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).expect("a key");
        let mut about = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        about.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = about.self_signed(&key).expect("a certificate");
        Identity {
            pem: format!(
                "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
                base64::engine::general_purpose::STANDARD.encode(certificate.der())
            ),
            der: certificate.der().clone(),
            key: PrivateKeyDer::try_from(key.serialize_der()).expect("a key"),
        }
    }
}

/// Trusts the certificate of the handshake and no other.
#[derive(Debug)]
struct Run(CertificateDer<'static>, Arc<CryptoProvider>);

impl ServerCertVerifier for Run {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match *shown == self.0 {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(Error::General("another certificate than that of the handshake".into())),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("not TLS 1.3".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.1.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.1.signature_verification_algorithms.supported_schemes()
    }
}

/// The provider, started as Terraform starts it.
pub struct Started {
    pub child: Child,
    /// The line of the handshake.
    pub line: String,
    pub stdout: Option<BufReader<ChildStdout>>,
    pub stderr: Option<ChildStderr>,
}

impl Started {
    /// Starts `command`, the program; its environment gets what Terraform sets.
    pub fn start(command: &mut Command, certificate: Option<&str>) -> Started {
        command
            .env("TF_PLUGIN_MAGIC_COOKIE", COOKIE)
            .env("PLUGIN_PROTOCOL_VERSIONS", "5,6")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        match certificate {
            Some(certificate) => command.env("PLUGIN_CLIENT_CERT", certificate),
            None => command.env("TF_DISABLE_PLUGIN_TLS", "1"),
        };
        let mut child = command.spawn().expect("the provider starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line");
        let stderr = child.stderr.take();
        Started { child, line: line.trim_end().to_owned(), stdout: Some(stdout), stderr }
    }

    pub fn socket(&self) -> PathBuf {
        self.line.split('|').nth(3).expect("a socket").into()
    }

    pub fn certificate(&self) -> Vec<u8> {
        let text = self.line.split('|').nth(5).expect("a certificate");
        base64::engine::general_purpose::STANDARD_NO_PAD.decode(text).expect("base64")
    }

    /// Returns the exit code, if it ends within `limit`.
    pub fn ends_within(&mut self, limit: Duration) -> Option<i32> {
        let until = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().expect("a status") {
                return status.code();
            }
            if Instant::now() > until {
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Returns what it has written to standard error, to its end.
    pub fn reply(&mut self) -> String {
        let mut reply = String::new();
        self.stderr.take().expect("asked once").read_to_string(&mut reply).expect("UTF-8");
        reply
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

/// Connects with `identity`'s certificate, or none.
pub async fn connect(
    socket: &Path,
    server: Vec<u8>,
    identity: Option<&Identity>,
) -> Result<Calls, String> {
    let stream = UnixStream::connect(socket).await.map_err(|error| error.to_string())?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Run(CertificateDer::from(server), Arc::clone(&provider));
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .expect("TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match identity {
        Some(identity) => config
            .with_client_auth_cert(vec![identity.der.clone()], identity.key.clone_key())
            .expect("an identity"),
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    over(stream.map_err(|error| error.to_string())?).await
}

/// Connects without TLS.
pub async fn connect_plainly(socket: &Path) -> Result<Calls, String> {
    over(UnixStream::connect(socket).await.map_err(|error| error.to_string())?).await
}

async fn over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<Calls, String> {
    let (calls, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    // With TLS 1.3 the server's refusal comes after the client's handshake: only a call shows it.
    let mut calls = Calls(calls);
    let asked = p::HealthRequest { service: "plugin".into() };
    let health: p::HealthResponse =
        calls.call("grpc.health.v1.Health/Check", asked).await.map_err(|s| s.to_string())?;
    assert_eq!(health.status, p::SERVING);
    Ok(calls)
}

/// A connection.
#[derive(Clone)]
pub struct Calls(SendRequest<Body>);

impl Service<Request<Body>> for Calls {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future =
        Pin<Box<dyn Future<Output = Result<Response<Incoming>, hyper::Error>> + Send + 'static>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

impl Calls {
    pub async fn call<Q, A>(&mut self, method: &str, asked: Q) -> Result<A, Status>
    where
        Q: Message + Default + 'static,
        A: Message + Default + 'static,
    {
        let origin = Uri::from_static("http://localhost");
        let mut grpc = tonic::client::Grpc::with_origin(self.clone(), origin)
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let path = format!("/{method}").parse().expect("a path");
        let codec = ProstCodec::<Q, A>::default();
        grpc.unary(tonic::Request::new(asked), path, codec).await.map(tonic::Response::into_inner)
    }

    /// Opens a stream on which this side sends nothing.
    pub async fn listen(&mut self, method: &str) -> tonic::Streaming<p::Empty> {
        let origin = Uri::from_static("http://localhost");
        let mut grpc = tonic::client::Grpc::with_origin(self.clone(), origin);
        grpc.ready().await.expect("ready");
        let path = format!("/{method}").parse().expect("a path");
        let codec = ProstCodec::<p::Empty, p::Empty>::default();
        let answer = grpc.server_streaming(tonic::Request::new(p::Empty {}), path, codec).await;
        answer.expect("a stream").into_inner()
    }
}
