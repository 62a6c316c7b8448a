//! What Terraform does with its provider: starts it, shakes hands, and calls it. For tests of the
//! protocol itself, and where there is no Terraform; `e2e/terraform.rs` has the real one.

// By its path, since benchmarks include this file by its own.
#[path = "terraform_host/connection.rs"]
pub mod connection;

use std::cell::RefCell;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use prost::Message;
use rolling::frontends::terraform::proto as p;
use rolling::frontends::terraform::schema::{Attribute, Kind, schemas};
use rolling::frontends::terraform::value::Raw;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tonic::Status;

use crate::process::rolling;

pub use self::connection::{Calls, Identity, Started, connect};

/// A provider that is connected, and configured when the test says so.
pub struct Plugin {
    pub runtime: Runtime,
    pub started: Started,
    pub calls: Option<Calls>,
    /// The private state that the provider returned with each state.
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

/// What a plan answers.
#[derive(Debug)]
pub struct Planned {
    pub state: Option<p::DynamicValue>,
    pub value: Value,
    pub unknown: Vec<String>,
    pub replaces: Vec<String>,
    pub found: Vec<Found>,
}

/// What a change answers.
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

    /// Plans `config` over `prior`; [`unknown`] stands for what is not known of it.
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

    /// Applies what was planned. As Terraform demands, what was known in the plan must hold.
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

    /// Returns the private state that was returned last with `state`.
    fn private(&self, state: &p::DynamicValue) -> Vec<u8> {
        let private_states = self.private_states.borrow();
        let found = private_states.iter().rev().find(|(known, _)| known == state);
        found.map(|(_, private)| private.clone()).unwrap_or_default()
    }

    pub fn stop(&self) {
        let answer: p::StopResponse = self.provider("StopProvider", p::Empty {});
        assert_eq!(answer.error, "");
    }

    /// Ends the provider as Terraform does.
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

/// Replaces [`unknown`] by what Terraform sends.
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

/// Terraform's rule: what is known in a plan is so after the apply.
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

/// Returns a path with its steps told apart: `.name`, `[0]`, `["key"]`.
fn place(path: &p::AttributePath) -> String {
    let step = |step: &p::Step| match step.selector.as_ref().expect("a step") {
        p::Selector::AttributeName(name) => format!(".{name}"),
        p::Selector::ElementKeyInt(index) => format!("[{index}]"),
        p::Selector::ElementKeyString(key) => format!("[{key:?}]"),
    };
    path.steps.iter().map(step).collect()
}

/// Returns the attribute at a path of names.
pub fn attribute<'a>(attributes: &'a [Attribute], path: &str) -> &'a Attribute {
    let (first, remaining) = path.split_once('.').map_or((path, None), |(a, b)| (a, Some(b)));
    let found = attributes.iter().find(|attribute| attribute.name == first);
    let found = found.unwrap_or_else(|| panic!("no attribute {path}"));
    remaining.map_or(found, |remaining| attribute(found.kind.attributes(), remaining))
}
