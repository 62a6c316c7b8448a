//! `rolling serve`: JSON-RPC 2.0 over standard input and output, one object per line.
//!
//! One loop receives from the peer, the workers and the signals. Every answer goes through one
//! writer. The reader, `ping` and cancellation never wait for workers.

pub mod log;
mod messages;
mod methods;
mod openrpc;
pub mod transport;
pub mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use self::messages as m;
use self::methods::{PeerSettings, RequestJob};
use self::transport::{Inbound, Outbox};
use self::wire::{PROTOCOL, Request, RpcError, code, response};
use crate::engine::Stop;
use crate::host::process_context::ProcessContext;
use crate::host::signals;
use crate::host::stdout::{claim_stdout, note, watch_reader};
use crate::report::exit_codes::FAILED;

pub use self::openrpc::openrpc;

/// How many requests may be in flight at once.
const MAX_IN_FLIGHT: usize = 1024;
/// How long the peer may take to read the last answers after a signal.
const LAST_ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// Serves until the peer is done. Returns the exit code: 0 after `shutdown` or the end of
/// standard input, 1 after `exit` without `shutdown`, 129, 130 or 143 after a signal. Unless it
/// `runs_commands`, it refuses deployments with a gate or hook that runs one on this host.
pub(crate) async fn serve(runs_commands: bool, context: &ProcessContext) -> u8 {
    let fail =
        |what: &'static str| move |error: std::io::Error| tracing::error!(%error, "cannot {what}");
    let opened = || -> Result<_, ()> {
        let out = claim_stdout().map_err(fail("claim standard output for the protocol"))?;
        let reader_left = watch_reader(&out).map_err(fail("watch standard output"))?;
        let channels = signals::listen().map_err(fail("listen for signals"))?;
        Ok((out, reader_left, channels))
    };
    let Ok((out, mut reader_left, (mut stop, interrupt))) = opened() else { return FAILED };
    let (outbox, mut written) = transport::write_lines(out);
    let mut inbound = transport::read_lines(std::io::stdin());
    let mut server = Server::new(outbox.clone(), runs_commands, context);
    let code = loop {
        if let Some(code) = server.done(*interrupt.borrow()) {
            break code;
        }
        let listens = !server.ended && outbox.has_room();
        tokio::select! {
            found = inbound.recv(), if listens => server.hear(found.unwrap_or(Inbound::End)),
            () = outbox.written(), if !listens && !server.ended => {}
            Some(done) = server.workers.join_next_with_id(), if !server.workers.is_empty() => {
                server.finish(done);
            }
            Ok(()) = stop.changed() => server.stop_all(*stop.borrow()),
            // Without a reader, the server cannot report how a rollout goes on.
            done = &mut written, if !server.reader_gone => {
                note(&done.unwrap_or(Ok(())));
                server.lose_reader();
            }
            Ok(()) = &mut reader_left, if !server.reader_gone => server.lose_reader(),
        }
    };
    let reader_gone = server.reader_gone;
    drop(server);
    drop(outbox);
    log::stop_logging();
    if !reader_gone {
        last_answers(written, stop, interrupt).await;
    }
    code
}

/// Waits until every answer is written, however slow the reader is, unless a signal asks the
/// program to end.
async fn last_answers(
    written: oneshot::Receiver<std::io::Result<()>>,
    mut stop: watch::Receiver<Stop>,
    interrupt: watch::Receiver<Option<signals::Interrupt>>,
) {
    let asked = async {
        while interrupt.borrow().is_none() {
            if stop.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
        #[expect(clippy::disallowed_methods, reason = "the peer's time")]
        tokio::time::sleep(LAST_ANSWERS_WITHIN).await;
    };
    tokio::select! {
        done = written => if let Ok(done) = done {
            note(&done);
            if let Err(error) = done {
                tracing::debug!(%error, "the client closed standard output before the last answer");
            }
        },
        () = asked => tracing::warn!("the client does not read the last answers"),
    }
}

/// A request that a worker handles: its id, and the target that it keeps busy.
type InFlightRequest = (Value, Option<String>);

/// One conversation.
struct Server {
    out: Outbox,
    session: Option<PeerSettings>,
    runs_commands: bool,
    context: ProcessContext,
    workers: JoinSet<Result<Value, RpcError>>,
    tasks: BTreeMap<tokio::task::Id, InFlightRequest>,
    in_flight: BTreeMap<String, watch::Sender<Stop>>,
    busy: BTreeSet<String>,
    shutdown: Option<Value>,
    was_shut_down: bool,
    exit: bool,
    ended: bool,
    reader_gone: bool,
    operations: u64,
}

impl Server {
    fn new(out: Outbox, runs_commands: bool, context: &ProcessContext) -> Self {
        Self {
            out,
            session: None,
            runs_commands,
            context: context.clone(),
            workers: JoinSet::new(),
            tasks: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            busy: BTreeSet::new(),
            shutdown: None,
            was_shut_down: false,
            exit: false,
            ended: false,
            reader_gone: false,
            operations: 0,
        }
    }

    /// Returns the exit code once there is nothing left to receive, do or answer.
    fn done(&mut self, interrupt: Option<signals::Interrupt>) -> Option<u8> {
        if !self.workers.is_empty() {
            return None;
        }
        if let Some(id) = self.shutdown.take() {
            self.answer(&id, Ok(Value::Null));
        }
        match interrupt {
            Some(interrupt) => Some(interrupt.exit_code()),
            None if self.exit => Some(if self.was_shut_down { 0 } else { FAILED }),
            None if self.ended => Some(0),
            None => None,
        }
    }

    fn hear(&mut self, inbound: Inbound) {
        match inbound {
            Inbound::End => self.ended = true,
            Inbound::TooLong => {
                let message = format!("the line is longer than {} bytes", transport::MAX_MESSAGE);
                self.answer(&Value::Null, Err(RpcError::new(code::TOO_LARGE, message)));
            }
            Inbound::Line(line) if line.trim_ascii().is_empty() => {}
            Inbound::Line(line) => match Request::parse(&line) {
                Ok(Request { id: Some(id), method, params }) => self.request(id, &method, params),
                Ok(Request { id: None, method, params }) => self.notification(&method, &params),
                Err((id, error)) => self.answer(&id, Err(error)),
            },
        }
    }

    fn notification(&mut self, method: &str, params: &Value) {
        match method {
            "exit" => {
                self.exit = true;
                if !self.was_shut_down {
                    self.stop_all(Stop::Gracefully);
                }
            }
            "$/cancel_request" => {
                if let Some(stop) = self.in_flight.get(&params["id"].to_string()) {
                    stop.send_modify(more_urgent);
                }
            }
            // An unknown notification gets no answer.
            _ => {}
        }
    }

    fn request(&mut self, id: Value, method: &str, params: Value) {
        if self.in_flight.contains_key(&id.to_string()) {
            let error = RpcError::new(code::INVALID_REQUEST, format!("id {id} is in flight"));
            return self.answer(&id, Err(error));
        }
        if self.was_shut_down {
            let error = RpcError::new(code::INVALID_REQUEST, "the server is shutting down");
            return self.answer(&id, Err(error));
        }
        if method == "rpc.discover" {
            let answer = methods::read(method, params);
            return self.answer(&id, answer.map(|m::NoParams {}| openrpc()));
        }
        let Some(session) = &mut self.session else {
            let answer = match method {
                "initialize" => self.initialize(params),
                _ => {
                    let message = "the first request must be initialize";
                    Err(RpcError::new(code::NOT_INITIALIZED, message))
                }
            };
            return self.answer(&id, answer);
        };
        let answer = match method {
            "initialize" => {
                Err(RpcError::new(code::INVALID_REQUEST, "initialize was called already"))
            }
            "ping" => methods::read(method, params)
                .and_then(|m::NoParams {}| methods::write(&m::Empty {})),
            "provider.schema" => {
                methods::read(method, params).and_then(|m::NoParams {}| methods::schema())
            }
            "provider.configure" => session.configure(params, &self.context.clock),
            "shutdown" => {
                self.was_shut_down = true;
                self.shutdown = Some(id);
                return;
            }
            "resource.validate" => methods::validate(params, self.runs_commands),
            "resource.upgrade_state" => methods::upgrade(params),
            "resource.plan" | "resource.apply" | "resource.read" | "resource.import"
            | "resource.delete" | "resource.status" | "resource.control" => {
                return self.start(id, method, params);
            }
            _ => {
                let message = format!("there is no method {method:?}");
                Err(RpcError::new(code::METHOD_NOT_FOUND, message))
            }
        };
        self.answer(&id, answer);
    }

    fn initialize(&mut self, params: Value) -> Result<Value, RpcError> {
        let params: m::InitializeParams = methods::read("initialize", params)?;
        if !params.protocol_versions.contains(&PROTOCOL) {
            let message = format!("this server speaks protocol version {PROTOCOL}");
            let data = Some(json!({ "supported": [PROTOCOL] }));
            return Err(RpcError { data, ..RpcError::new(code::VERSION, message) });
        }
        if let Some(level) = params.capabilities.log {
            log::listen(level, self.out.clone());
        }
        self.session = Some(PeerSettings::new(self.runs_commands, &self.context));
        let version = Some(env!("CARGO_PKG_VERSION").into());
        methods::write(&m::InitializeResult {
            protocol_version: PROTOCOL,
            server: m::Program { name: "rolling".into(), version },
            capabilities: m::ServerCapabilities {
                max_message_bytes: transport::MAX_MESSAGE,
                max_in_flight: MAX_IN_FLIGHT,
                progress: true,
                cancel: true,
            },
            resource_types: vec![methods::TYPE],
        })
    }

    /// Hands a request that calls a cloud to a worker.
    fn start(&mut self, id: Value, method: &str, params: Value) {
        let Some(session) = &self.session else { return };
        // The limit does not hold for commands: a command may end what is in flight.
        if self.in_flight.len() >= MAX_IN_FLIGHT && method != "resource.control" {
            let message = format!("{MAX_IN_FLIGHT} requests are in flight; wait for an answer");
            return self.answer(&id, Err(RpcError::new(code::BUSY, message)));
        }
        // A target takes one operation at a time. Looks are always allowed, and so is a command to
        // the operation at work.
        let mut target = methods::target_key(method, &params);
        if let Some(key) = &target
            && !self.busy.insert(key.clone())
        {
            if method != "resource.control" {
                let message = format!("another operation on {key} is in progress");
                return self.answer(&id, Err(RpcError::new(code::BUSY, message)));
            }
            target = None;
        }
        let (send, stop) = watch::channel(Stop::No);
        self.in_flight.insert(id.to_string(), send);
        self.operations += 1;
        let work = RequestJob {
            name: format!("{}-{}", self.context.rollout_id, self.operations),
            owner: format!("{}.{}", self.context.owner, self.operations),
            stop,
            out: self.out.clone(),
        };
        let session = session.clone();
        let method = method.to_owned();
        let spawned = self.workers.spawn(async move { session.work(&method, params, work).await });
        self.tasks.insert(spawned.id(), (id, target));
    }

    fn finish(
        &mut self,
        done: Result<(tokio::task::Id, Result<Value, RpcError>), tokio::task::JoinError>,
    ) {
        let (task, result) = done.unwrap_or_else(|error| {
            let message = format!("internal error in this request: {error}");
            (error.id(), Err(RpcError::new(code::INTERNAL, message)))
        });
        let Some((id, target)) = self.tasks.remove(&task) else { return };
        self.in_flight.remove(&id.to_string());
        if let Some(target) = target {
            self.busy.remove(&target);
        }
        self.answer(&id, result);
    }

    fn lose_reader(&mut self) {
        self.reader_gone = true;
        self.ended = true;
        log::stop_logging();
        self.stop_all(Stop::Gracefully);
    }

    fn stop_all(&self, urgency: Stop) {
        for stop in self.in_flight.values() {
            stop.send_modify(|now| *now = urgency.max(*now));
        }
    }

    fn answer(&self, id: &Value, result: Result<Value, RpcError>) {
        self.out.send(response(id, result));
    }
}

fn more_urgent(stop: &mut Stop) {
    *stop = if *stop == Stop::No { Stop::Gracefully } else { Stop::Now };
}
