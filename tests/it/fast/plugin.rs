//! Terraform's plugin protocol, call by call, without Terraform.

mod connection;
mod plans;
mod state;

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rolling::frontends::terraform::proto as p;
use rolling::frontends::terraform::schema::{Presence, schemas};
use serde_json::{Value, json};

use crate::process::{self, rolling, run, write};
use crate::terraform_host::connection::connect_plainly;
use crate::terraform_host::{Planned, Plugin, Started, TYPE, attribute};

/// A fleet of ten of which version 3 is bad.
pub fn config(revision: &str) -> Value {
    json!({
        "policy": "rolling", "batch_size_type": "percentage", "batch_size": 30,
        "health": { "healthy_timeout": "1h" },
        "simulated_fleet": {
            "name": "web", "revision": revision, "bad_revisions": { "v3": "unhealthy" },
        },
    })
}

pub fn with(config: &Value, changes: &Value) -> Value {
    let mut config = config.clone();
    for (name, value) in changes.as_object().expect("changes") {
        config[name] = value.clone();
    }
    config
}

/// Returns a connected provider whose fleets run `speed` times as fast as real ones.
pub fn fast(folder: &Path, speed: u32) -> Plugin {
    let plugin = Plugin::start(folder);
    assert_eq!(plugin.configure(&json!({ "simulator": { "speed": speed } })), []);
    plugin
}

/// Creates the deployment of `config`, which rolls its fleet.
pub fn created(plugin: &Plugin, config: &Value) -> p::DynamicValue {
    let plan = plugin.plan(None, config);
    let applied = plugin.apply(None, &plan, config);
    assert_eq!(applied.found, [], "{applied:?}");
    applied.state.expect("a state")
}

fn assert_outcome_unknown(plan: &Planned) {
    let mut unknown = plan.unknown.clone();
    unknown.sort();
    let outcome = [
        "/completed_revision",
        "/deployed_revision",
        "/fleet",
        "/instance_ids",
        "/last_error",
        "/previous_revision",
        "/status",
    ];
    assert_eq!(unknown, outcome, "{plan:?}");
}

pub fn sizes(value: &Value) -> Vec<u64> {
    let batches = value["batches"].as_array().expect("batches").iter();
    batches.map(|batch| batch["replaces"].as_u64().expect("a size")).collect()
}

/// Returns what `rolling status` reports of the fleet in `folder`.
fn status(folder: &Path, config: &Value) -> Value {
    let document = json!({ "resource": { "rolling_deployment": { "web": config } } });
    let file = write(folder, &document);
    let ran = run(rolling().current_dir(folder).args(["status", "--output", "json"]).arg(file));
    ran.lines()[0]["resources"][0].clone()
}

/// Returns the revisions of the instances, each with how many run it.
fn revisions(status: &Value) -> Vec<(String, usize)> {
    let mut counts = std::collections::BTreeMap::new();
    for instance in status["instances"].as_array().expect("instances") {
        let revision = instance["revision"].as_str().expect("a revision").to_owned();
        *counts.entry(revision).or_insert(0) += 1;
    }
    counts.into_iter().collect()
}

/// Waits until the record on the target is of a rollout that has begun to replace.
fn wait_for_a_batch(folder: &Path) {
    let file = folder.join(".rolling/web.json");
    process::until("a batch begins", || {
        std::fs::read_to_string(&file).is_ok_and(|text| text.contains("\"deregistered_at\":1"))
    });
}

#[test]
fn the_schema_says_who_sets_what_and_what_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = Plugin::start(folder.path());
    let metadata: p::Metadata = plugin.call("tfplugin6.Provider/GetMetadata", p::Empty {});
    assert_eq!(metadata.resources[0].type_name, TYPE);
    let schema: p::ProviderSchema =
        plugin.call("tfplugin6.Provider/GetProviderSchema", p::Empty {});
    let capabilities = schema.server_capabilities.expect("capabilities");
    assert!(capabilities.plan_destroy && capabilities.get_provider_schema_optional);

    let resource = &schema.resource_schemas[TYPE];
    assert_eq!(resource.version, 1);
    let block = resource.block.as_ref().expect("a block");
    let of = |name: &str| block.attributes.iter().find(|a| a.name == name).expect(name);
    assert!(of("policy").required && !of("policy").optional);
    assert!(of("batch_size").optional && of("batches").computed && !of("batches").optional);
    assert_eq!(of("id").r#type, b"\"string\"");
    assert_eq!(of("max_surge").r#type, b"\"string\"");
    assert_eq!(of("suspend_processes").r#type, b"[\"list\",\"string\"]");
    assert_eq!(of("fleet").nested_type.as_ref().expect("nested").nesting, p::LIST);
    let nesting = |name: &str| {
        let found = block.block_types.iter().find(|block| block.type_name == name).expect(name);
        (found.nesting, found.min_items, found.max_items)
    };
    assert_eq!(nesting("health"), (p::SINGLE, 0, 0));
    assert_eq!(nesting("timeouts"), (p::SINGLE, 0, 0));
    assert_eq!(nesting("checkpoints"), (p::LIST, 0, 0));
    let record = block.block_types.iter().find(|block| block.type_name == "record");
    let within = record.and_then(|record| record.block.as_ref()).expect("a block");
    assert_eq!((within.block_types[0].min_items, within.block_types[0].max_items), (1, 1));
    assert_no_key_is_dropped(block);
    assert!(block.attributes.iter().all(|a| !a.description.is_empty()));
    let provider = schema.provider.expect("a schema").block.expect("a block");
    let blocks: Vec<&str> = provider.block_types.iter().map(|block| &*block.type_name).collect();
    assert_eq!(blocks, ["aws", "kubernetes", "simulator"]);
    assert_no_key_is_dropped(&provider);

    // No part of a resource is set both by the user and by the provider.
    let all = schemas().resource.attributes();
    assert_eq!(attribute(all, "floor").presence, Presence::Computed);
    assert_eq!(attribute(all, "auto_scaling_group.name").presence, Presence::Required);
    plugin.shut_down();
}

/// Terraform drops unknown names in a nested attribute; there is none that a user sets.
fn assert_no_key_is_dropped(block: &p::Block) {
    for attribute in &block.attributes {
        let is_set_by_user = attribute.required || attribute.optional;
        assert!(!is_set_by_user || attribute.nested_type.is_none(), "{}", attribute.name);
    }
    for nested in &block.block_types {
        assert_no_key_is_dropped(nested.block.as_ref().expect("a block"));
    }
}

/// Terraform plans again before it applies, in another process and maybe much later, and reports
/// any difference as a bug of the provider.
#[test]
fn a_plan_comes_out_the_same_when_the_fleet_has_changed_since() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = fast(folder.path(), 500);
    let state = created(&plugin, &config("v2"));
    let state = plugin.read(&state).state.expect("a state");
    let plan = plugin.plan(Some(&state), &config("v4"));
    assert_eq!(sizes(&plan.value), [3, 3, 3, 1]);
    // Somebody makes it larger.
    let file = folder.path().join(".rolling/web.json");
    let text = std::fs::read_to_string(&file).expect("the fleet");
    let mut fleet: Value = serde_json::from_str(&text).expect("JSON");
    fleet["capacity"] = json!({ "min": 0, "max": 20, "desired": 14 });
    std::fs::write(&file, fleet.to_string()).expect("a larger fleet");
    let again = plugin.plan(Some(&state), &config("v4"));
    assert_eq!((&again.state, &again.unknown), (&plan.state, &plan.unknown));
    let applied = plugin.apply(Some(&state), &again, &config("v4"));
    assert_eq!(applied.found, []);
    assert_eq!(
        applied.value["fleet"],
        json!([{ "revision": "v4", "instances": 14, "serving": 14 }])
    );
    plugin.shut_down();
}

#[test]
fn a_stopped_apply_answers_and_the_next_one_finishes() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = fast(folder.path(), 20);
    let two = config("v2");
    let plan = plugin.plan(None, &two);
    let applying = plugin.begin(None, plan.state.as_ref(), &two);
    wait_for_a_batch(folder.path());
    // Ctrl-C reaches the provider, too, which ignores it.
    process::signal(plugin.started.child.id(), "-INT");
    // Long enough for it to stop if it did not ignore it.
    std::thread::sleep(Duration::from_millis(300));
    assert!(!applying.is_finished(), "the signal alone has ended it");
    plugin.stop();
    let applied = plugin.end(applying);
    assert!(applied.found[0].summary.contains("was interrupted: asked to stop"), "{applied:?}");
    assert!(applied.found[0].detail.contains("Apply again to finish"), "{applied:?}");
    // It still answers, and begins nothing more.
    let refused = plugin.end(plugin.begin(None, plan.state.as_ref(), &two));
    assert_eq!(refused.found.len(), 1);
    plugin.shut_down();

    let plugin = fast(folder.path(), 500);
    let state = created(&plugin, &two);
    assert_eq!(revisions(&status(folder.path(), &two)), [("v2".to_owned(), 10)]);
    drop(state);
    plugin.shut_down();
}

#[test]
fn a_rollout_that_takes_longer_than_its_timeout_stops_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = fast(folder.path(), 20);
    let two = with(&config("v2"), &json!({ "timeouts": { "create": "1s" } }));
    let plan = plugin.plan(None, &two);
    let applied = plugin.apply(None, &plan, &two);
    let reply = &applied.found[0].summary;
    assert!(
        reply.ends_with("was interrupted: timed out after 1s (timeouts.create)"),
        "{applied:?}"
    );
    plugin.shut_down();
}

#[test]
fn when_the_host_is_gone_the_rollout_stops_and_the_process_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut plugin = fast(folder.path(), 20);
    let two = config("v2");
    let plan = plugin.plan(None, &two);
    let applying = plugin.begin(None, plan.state.as_ref(), &two);
    wait_for_a_batch(folder.path());
    // As when the host is killed: every descriptor of it is closed.
    applying.abort();
    plugin.calls = None;
    drop(std::mem::replace(&mut plugin.runtime, tokio::runtime::Runtime::new().expect("another")));
    plugin.started.stdout = None;
    plugin.started.stderr = None;
    assert_eq!(plugin.started.ends_within(Duration::from_secs(30)), Some(0));
    let left = status(folder.path(), &two);
    let serving = left["instances"].as_array().expect("instances").iter();
    assert_eq!(serving.filter(|i| i["serves"] == true).count(), 10, "{left}");
    created(&fast(folder.path(), 500), &two);
}

#[test]
fn a_call_that_its_host_gives_up_stops_although_the_process_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = rolling();
    command.current_dir(folder.path()).env("TMPDIR", folder.path()).arg("terraform");
    let mut served =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a start");
    let mut line = String::new();
    let mut out = std::io::BufReader::new(served.stdout.take().expect("a pipe"));
    std::io::BufRead::read_line(&mut out, &mut line).expect("a line");
    let attached =
        line.trim().strip_prefix("export TF_REATTACH_PROVIDERS='").expect("what to export");
    let attached: Value = serde_json::from_str(attached.trim_end_matches('\'')).expect("JSON");
    let attached = &attached["registry.terraform.io/rolling/rolling"];
    assert_eq!((&attached["Protocol"], &attached["ProtocolVersion"]), (&json!("grpc"), &json!(6)));
    let socket = attached["Addr"]["String"].as_str().expect("a socket").to_owned();

    let connected = || {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let calls = runtime.block_on(connect_plainly(Path::new(&socket))).expect("a connection");
        let started = Started {
            child: Command::new("true").spawn().expect("a stand-in"),
            line: String::new(),
            stdout: None,
            stderr: None,
        };
        Plugin { runtime, started, calls: Some(calls), private_states: Default::default() }
    };
    let two = config("v2");
    let host = connected();
    host.configure(&json!({ "simulator": { "speed": 20 } }));
    let plan = host.plan(None, &two);
    let applying = host.begin(None, plan.state.as_ref(), &two);
    wait_for_a_batch(folder.path());
    drop(applying);
    drop(host);
    // The next host finds the rollout stopped, or waits until it has.
    let host = connected();
    host.stop();
    host.configure(&json!({ "simulator": { "speed": 500 } }));
    process::until_within(Duration::from_secs(30), "it ends when nobody waits", || {
        status(folder.path(), &two)["owner"] == Value::Null
    });
    assert_ne!(revisions(&status(folder.path(), &two)), [("v2".to_owned(), 10)], "it went on");
    created(&host, &two);
    process::signal(served.id(), "-INT");
    assert_eq!(served.wait().expect("an end").code(), Some(0));
    let mut reply = String::new();
    served.stderr.take().expect("a pipe").read_to_string(&mut reply).expect("UTF-8");
    assert!(reply.contains("Serving until Ctrl-C"), "{reply}");
    assert!(!Path::new(&socket).exists());
}
