//! What Terraform is to its provider: starts it, shakes hands, and calls it. For tests that look at
//! the protocol itself, and where there is no Terraform; `terraform.rs` has the real one.

use std::cell::RefCell;
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
use rolling::frontends::terraform::schema::{Attribute, Kind, schemas};
use rolling::frontends::terraform::value::Raw;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
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

use crate::process::rolling;

const COOKIE: &str = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2";
const MAX_MESSAGE: usize = 256 << 20;

/// A certificate as Terraform makes one: it signs itself, is an authority, and its key is P-521.
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
struct Told(CertificateDer<'static>, Arc<CryptoProvider>);

impl ServerCertVerifier for Told {
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
    /// `command` is the program; its environment gets what Terraform sets.
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

    /// The exit code, if it ends within `limit`.
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

    /// What it has said on standard error, to its end.
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
    let told = Told(CertificateDer::from(server), Arc::clone(&provider));
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .expect("TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(told));
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

    /// Opens a stream on which this side says nothing.
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

/// A provider that is connected, and configured when the test says so.
pub struct Plugin {
    pub runtime: Runtime,
    pub started: Started,
    pub calls: Option<Calls>,
    /// What the provider wants kept beside each state.
    pub private_states: RefCell<Vec<(p::DynamicValue, Vec<u8>)>>,
}

/// An error or a warning: its summary, its detail, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub is_error: bool,
    pub summary: String,
    pub detail: String,
    pub place: String,
}

/// What a plan says.
#[derive(Debug)]
pub struct Planned {
    pub state: Option<p::DynamicValue>,
    pub value: Value,
    pub unknown: Vec<String>,
    pub replaces: Vec<String>,
    pub found: Vec<Found>,
}

/// What a change has led to.
#[derive(Debug)]
pub struct Applied {
    pub state: Option<p::DynamicValue>,
    pub value: Value,
    pub found: Vec<Found>,
}

const PROVIDER: &str = "tfplugin6.Provider";
pub const TYPE: &str = "rolling_deployment";

impl Plugin {
    /// The program in `folder`.
    pub fn start(folder: &Path) -> Plugin {
        Plugin::start_as(rolling().current_dir(folder).env("TMPDIR", folder))
    }

    pub fn start_as(command: &mut Command) -> Plugin {
        let identity = Identity::new();
        let started = Started::start(command, Some(&identity.pem));
        let runtime = Runtime::new().expect("a runtime");
        let (socket, certificate) = (started.socket(), started.certificate());
        let calls = runtime
            .block_on(connect(&socket, certificate, Some(&identity)))
            .unwrap_or_else(|error| panic!("{error}"));
        Plugin { runtime, started, calls: Some(calls), private_states: RefCell::default() }
    }

    pub fn call<Q, A>(&self, method: &str, asked: Q) -> A
    where
        Q: Message + Default + 'static,
        A: Message + Default + 'static,
    {
        let mut calls = self.calls.clone().expect("a connection");
        let answer = self.runtime.block_on(calls.call(method, asked));
        answer.unwrap_or_else(|status| panic!("{method}: {status}"))
    }

    fn provider<Q, A>(&self, method: &str, asked: Q) -> A
    where
        Q: Message + Default + 'static,
        A: Message + Default + 'static,
    {
        self.call(&format!("{PROVIDER}/{method}"), asked)
    }

    pub fn configure(&self, config: &Value) -> Vec<Found> {
        let config = value(config, &schemas().provider);
        let asked = p::ConfigureRequest { terraform_version: "1.11.4".into(), config };
        let answer: p::Diagnostics = self.provider("ConfigureProvider", asked);
        found(answer.diagnostics)
    }

    pub fn validate(&self, config: &Value) -> Vec<Found> {
        let config = value(config, &schemas().resource);
        let asked = p::ResourceConfigRequest { type_name: TYPE.into(), config };
        let answer: p::Diagnostics = self.provider("ValidateResourceConfig", asked);
        found(answer.diagnostics)
    }

    /// Plans `config` over `prior`; what is unknown of it is [`unknown`].
    pub fn plan(&self, prior: Option<&p::DynamicValue>, config: &Value) -> Planned {
        let config = value(config, &schemas().resource);
        let prior_private = prior.map(|prior| self.private(prior)).unwrap_or_default();
        let asked = p::PlanRequest {
            type_name: TYPE.into(),
            prior_state: prior.cloned().or_else(|| Raw::null().send()),
            proposed_new_state: config.clone(),
            config,
            prior_private,
        };
        let answer: p::PlanResponse = self.provider("PlanResourceChange", asked);
        self.keep(answer.planned_state.as_ref(), answer.planned_private);
        let read = read(answer.planned_state.as_ref());
        Planned {
            state: answer.planned_state,
            value: read.0,
            unknown: read.1,
            replaces: answer.requires_replace.iter().map(place).collect(),
            found: found(answer.diagnostics),
        }
    }

    /// Begins to apply.
    pub fn begin(
        &self,
        prior: Option<&p::DynamicValue>,
        planned: Option<&p::DynamicValue>,
        config: &Value,
    ) -> JoinHandle<Result<p::ApplyResponse, Status>> {
        let asked = p::ApplyRequest {
            type_name: TYPE.into(),
            prior_state: prior.cloned().or_else(|| Raw::null().send()),
            planned_state: planned.cloned().or_else(|| Raw::null().send()),
            config: value(config, &schemas().resource),
            planned_private: planned.or(prior).map(|it| self.private(it)).unwrap_or_default(),
        };
        let mut calls = self.calls.clone().expect("a connection");
        self.runtime.spawn(async move {
            calls.call(&format!("{PROVIDER}/ApplyResourceChange"), asked).await
        })
    }

    pub fn end(&self, applying: JoinHandle<Result<p::ApplyResponse, Status>>) -> Applied {
        let answer = self.runtime.block_on(applying).expect("a task").expect("an answer");
        self.keep(answer.new_state.as_ref(), answer.private);
        let (value, unknown) = read(answer.new_state.as_ref());
        assert_eq!(unknown, Vec::<String>::new(), "after an apply everything is known");
        Applied { state: answer.new_state, value, found: found(answer.diagnostics) }
    }

    /// Applies what was planned. What was known in the plan must hold, as Terraform demands it.
    pub fn apply(
        &self,
        prior: Option<&p::DynamicValue>,
        plan: &Planned,
        config: &Value,
    ) -> Applied {
        let applied = self.end(self.begin(prior, plan.state.as_ref(), config));
        if applied.found.is_empty() {
            holds(plan, &applied.value);
        }
        applied
    }

    pub fn destroy(&self, prior: &p::DynamicValue) -> Applied {
        self.end(self.begin(Some(prior), None, &Value::Null))
    }

    pub fn read(&self, prior: &p::DynamicValue) -> Applied {
        // Terraform keeps states as JSON, and asks for their upgrade each time.
        let (saved, _) = read(Some(prior));
        let raw_state = Some(p::RawState { json: saved.to_string().into_bytes() });
        let asked = p::UpgradeRequest { type_name: TYPE.into(), version: 1, raw_state };
        let upgraded: p::UpgradeResponse = self.provider("UpgradeResourceState", asked);
        assert_eq!(found(upgraded.diagnostics), []);
        let asked = p::ReadRequest {
            type_name: TYPE.into(),
            current_state: upgraded.upgraded_state,
            private: self.private(prior),
        };
        let (current, private) = (asked.current_state.clone(), asked.private.clone());
        let answer: p::ReadResponse = self.provider("ReadResource", asked);
        if answer.new_state == current && !private.is_empty() {
            let text = |private_states: &[u8]| String::from_utf8_lossy(private_states).into_owned();
            assert_eq!(text(&answer.private), text(&private), "Terraform calls that drift");
        }
        self.keep(answer.new_state.as_ref(), answer.private);
        let (value, _) = read(answer.new_state.as_ref());
        Applied { state: answer.new_state, value, found: found(answer.diagnostics) }
    }

    pub fn import(&self, id: &str) -> Applied {
        let asked = p::ImportRequest { type_name: TYPE.into(), id: id.into() };
        let answer: p::ImportResponse = self.provider("ImportResourceState", asked);
        let imported = answer.imported_resources.into_iter().next();
        let state = imported.as_ref().and_then(|found| found.state.clone());
        self.keep(state.as_ref(), imported.map(|found| found.private).unwrap_or_default());
        let (value, _) = read(state.as_ref());
        Applied { state, value, found: found(answer.diagnostics) }
    }

    fn keep(&self, state: Option<&p::DynamicValue>, private: Vec<u8>) {
        if let Some(state) = state {
            self.private_states.borrow_mut().push((state.clone(), private));
        }
    }

    /// What was kept beside `state` last.
    fn private(&self, state: &p::DynamicValue) -> Vec<u8> {
        let private_states = self.private_states.borrow();
        let found = private_states.iter().rev().find(|(known, _)| known == state);
        found.map(|(_, private)| private.clone()).unwrap_or_default()
    }

    pub fn stop(&self) {
        let answer: p::StopResponse = self.provider("StopProvider", p::Empty {});
        assert_eq!(answer.error, "");
    }

    /// Ends it as Terraform does.
    pub fn shut_down(mut self) -> String {
        let _: p::Empty = self.call("plugin.GRPCController/Shutdown", p::Empty {});
        let ended = self.started.ends_within(Duration::from_secs(10));
        assert_eq!(ended, Some(0), "Terraform waits for 2 s, on a machine that is not busy");
        self.started.reply()
    }
}

/// A value on the wire; see [`unknown`].
pub fn value(config: &Value, kind: &Kind) -> Option<p::DynamicValue> {
    if config.is_null() {
        return Raw::null().send();
    }
    let mut sent = Raw::from_json(config, kind).send()?;
    let mut packed = rmpv::decode::read_value(&mut sent.msgpack.as_slice()).expect("a value");
    make_unknown(&mut packed);
    sent.msgpack.clear();
    rmpv::encode::write_value(&mut sent.msgpack, &packed).expect("memory");
    Some(sent)
}

/// Puts what Terraform sends where [`unknown`] stands.
fn make_unknown(packed: &mut rmpv::Value) {
    match packed {
        rmpv::Value::String(text) if unknown() == text.as_str().unwrap_or_default() => {
            *packed = rmpv::Value::Ext(0, vec![0]);
        }
        rmpv::Value::Array(items) => items.iter_mut().for_each(make_unknown),
        rmpv::Value::Map(entries) => {
            entries.iter_mut().for_each(|(_, value)| make_unknown(value));
        }
        _ => {}
    }
}

/// Stands for an attribute of a configuration that is not known yet.
pub fn unknown() -> Value {
    json!("(known after apply)")
}

fn read(state: Option<&p::DynamicValue>) -> (Value, Vec<String>) {
    let kind = &schemas().resource;
    let raw = Raw::receive(state, kind).expect("a value");
    let read = raw.to_json(kind).expect("a value of the schema");
    (read.value, read.unknown)
}

/// Terraform's rule: what a plan says is known is so after it was applied.
fn holds(plan: &Planned, applied: &Value) {
    for (name, planned) in plan.value.as_object().expect("a plan") {
        if !plan.unknown.contains(&format!("/{name}")) {
            assert_eq!(&applied[name], planned, "{name} is not as it was planned");
        }
    }
}

fn found(diagnostics: Vec<p::Diagnostic>) -> Vec<Found> {
    let one = |found: p::Diagnostic| Found {
        is_error: found.severity == p::Severity::Error as i32,
        summary: found.summary,
        detail: found.detail,
        place: found.attribute.as_ref().map(place).unwrap_or_default(),
    };
    diagnostics.into_iter().map(one).collect()
}

/// A path with its steps told apart: `.name`, `[0]`, `["key"]`.
fn place(path: &p::AttributePath) -> String {
    let step = |step: &p::Step| match step.selector.as_ref().expect("a step") {
        p::Selector::AttributeName(name) => format!(".{name}"),
        p::Selector::ElementKeyInt(index) => format!("[{index}]"),
        p::Selector::ElementKeyString(key) => format!("[{key:?}]"),
    };
    path.steps.iter().map(step).collect()
}

/// The attribute at a path of names.
pub fn attribute<'a>(attributes: &'a [Attribute], path: &str) -> &'a Attribute {
    let (first, remaining) = path.split_once('.').map_or((path, None), |(a, b)| (a, Some(b)));
    let found = attributes.iter().find(|attribute| attribute.name == first);
    let found = found.unwrap_or_else(|| panic!("no attribute {path}"));
    remaining.map_or(found, |remaining| attribute(found.kind.attributes(), remaining))
}
