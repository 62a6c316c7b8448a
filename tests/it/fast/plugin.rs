//! Terraform's plugin protocol, call by call, without Terraform.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rolling::frontends::terraform::proto as p;
use rolling::frontends::terraform::schema::{Presence, schemas};
use serde_json::{Value, json};
use tonic::Code;

use crate::process::{self, rolling, run, write};
use crate::terraform_host::{
    Identity, Planned, Plugin, Started, TYPE, attribute, connect, connect_plainly, unknown,
};

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

/// A connected provider whose fleets live `speed` times as fast as real ones.
pub fn fast(folder: &Path, speed: u32) -> Plugin {
    let plugin = Plugin::start(folder);
    assert_eq!(plugin.configure(&json!({ "simulator": { "speed": speed } })), []);
    plugin
}

/// Rolls the fleet to `revision` from nothing.
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
        "/status",
    ];
    assert_eq!(unknown, outcome, "{plan:?}");
}

pub fn sizes(value: &Value) -> Vec<u64> {
    let batches = value["batches"].as_array().expect("batches").iter();
    batches.map(|batch| batch["replaces"].as_u64().expect("a size")).collect()
}

/// What `rolling status` tells of the fleet in `folder`.
fn status(folder: &Path, config: &Value) -> Value {
    let document = json!({ "resource": { "rolling_deployment": { "web": config } } });
    let file = write(folder, &document);
    let ran = run(rolling().current_dir(folder).args(["status", "--output", "json"]).arg(file));
    ran.lines()[0]["resources"][0].clone()
}

/// The revisions of the instances, each with how many run it.
fn revisions(status: &Value) -> Vec<(String, usize)> {
    let mut counts = std::collections::BTreeMap::new();
    for instance in status["instances"].as_array().expect("instances") {
        let revision = instance["revision"].as_str().expect("a revision").to_owned();
        *counts.entry(revision).or_insert(0) += 1;
    }
    counts.into_iter().collect()
}

/// Waits until the record on the target tells of a rollout that has begun to replace.
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
    assert_eq!(blocks, ["aws", "simulator"]);
    assert_no_key_is_dropped(&provider);

    // A part of a resource is never both set by the user and by the provider.
    let all = schemas().resource.attributes();
    assert_eq!(attribute(all, "floor").presence, Presence::Computed);
    assert_eq!(attribute(all, "auto_scaling_group.name").presence, Presence::Required);
    plugin.shut_down();
}

/// Terraform drops what it does not know in a nested attribute; there is none that a user sets.
fn assert_no_key_is_dropped(block: &p::Block) {
    for attribute in &block.attributes {
        let is_set_by_user = attribute.required || attribute.optional;
        assert!(!is_set_by_user || attribute.nested_type.is_none(), "{}", attribute.name);
    }
    for nested in &block.block_types {
        assert_no_key_is_dropped(nested.block.as_ref().expect("a block"));
    }
}

#[test]
fn what_terraform_opens_stays_open_and_what_there_is_not_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = Plugin::start(folder.path());
    let mut calls = plugin.calls.clone().expect("a connection");
    plugin.runtime.block_on(async {
        for stream in ["plugin.GRPCStdio/StreamStdio", "plugin.GRPCBroker/StartStream"] {
            let mut reply = calls.listen(stream).await;
            let silence = tokio::time::timeout(Duration::from_millis(100), reply.message()).await;
            assert!(silence.is_err(), "{stream} has said {silence:?}");
        }
        for method in ["tfplugin6.Provider/ReadDataSource", "tfplugin6.Provider/Nonsense"] {
            let answer = calls.call::<p::Empty, p::Empty>(method, p::Empty {}).await;
            assert_eq!(answer.expect_err(method).code(), Code::Unimplemented);
        }
        let other = p::HealthRequest { service: "other".into() };
        let method = "grpc.health.v1.Health/Check";
        let health = calls.call::<_, p::HealthResponse>(method, other).await;
        assert_eq!(health.expect_err("no such service").code(), Code::NotFound);
    });
    plugin.shut_down();
}

#[test]
fn only_the_host_that_started_it_is_let_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let (host, other) = (Identity::new(), Identity::new());
    let command = || {
        let mut command = rolling();
        command.current_dir(folder.path()).env("TMPDIR", folder.path());
        command
    };
    let started = Started::start(&mut command(), Some(&host.pem));
    let parts: Vec<&str> = started.line.split('|').collect();
    assert_eq!((&parts[..3], parts[4], parts.len()), (&["1", "6", "unix"][..], "grpc", 6));
    let socket = started.socket();
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &socket.parent().expect("a folder").metadata().expect("a folder").permissions(),
    );
    assert_eq!(mode & 0o777, 0o700, "nobody else may enter");
    tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        let certificate = || started.certificate();
        let refused = |who: &str, found: Result<_, String>| assert!(found.is_err(), "{who}");
        refused("without a certificate", connect(&socket, certificate(), None).await.map(drop));
        let wrong = connect(&socket, certificate(), Some(&other)).await.map(drop);
        refused("with another certificate", wrong);
        refused("without TLS", connect_plainly(&socket).await.map(drop));
        connect(&socket, certificate(), Some(&host)).await.expect("the host itself");
    });
    drop(started);

    // Where the host says so, and only there, it goes without.
    let mut unmanaged = Started::start(&mut command(), None);
    assert!(unmanaged.line.ends_with("|grpc|"), "{}", unmanaged.line);
    let socket = unmanaged.socket();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut calls = runtime.block_on(connect_plainly(&socket)).expect("a connection");
    let shut_down = calls.call::<_, p::Empty>("plugin.GRPCController/Shutdown", p::Empty {});
    runtime.block_on(shut_down).expect("an answer");
    assert_eq!(unmanaged.ends_within(Duration::from_secs(10)), Some(0));
    assert!(!socket.parent().expect("a folder").exists(), "the socket's folder is left");
    let mut refused = Started::start(command().env("TF_DISABLE_PLUGIN_TLS", ""), Some(""));
    assert_eq!(refused.ends_within(Duration::from_secs(5)), Some(1));
    let reply = refused.reply();
    assert!(reply.contains("no certificate (PLUGIN_CLIENT_CERT)"), "{reply}");
}

#[test]
fn a_host_that_is_too_old_is_told_what_it_needs() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = rolling();
    command
        .current_dir(folder.path())
        .env(
            "TF_PLUGIN_MAGIC_COOKIE",
            "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2",
        )
        .env("PLUGIN_PROTOCOL_VERSIONS", "5");
    let ran = run(&mut command);
    assert_eq!((ran.code, &*ran.stdout), (1, ""), "{ran:?}");
    assert!(ran.stderr.contains("use Terraform 1.0 or later"), "{ran:?}");
    // A subcommand is one, whoever has started the program.
    let ran = run(command.arg("--version"));
    assert_eq!(ran.code, 1, "an option is no subcommand: {ran:?}");
    let mut command = rolling();
    command.env(
        "TF_PLUGIN_MAGIC_COOKIE",
        "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2",
    );
    assert_eq!(run(command.arg("schema")).code, 0);
}

#[test]
fn a_plan_tells_what_comes_and_after_it_there_is_nothing_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = fast(folder.path(), 500);
    let two = with(&config("v2"), &json!({ "max_surge": null, "timeouts": { "create": "2h" } }));
    let plan = plugin.plan(None, &two);
    let reply = "This plan rolls 10 of 10 instances of web from v1 to v2 (rolling): batches of 3, 3, \
                3, 1, at least 7 serve, at most 10 live, about 4m 40s";
    assert_eq!((plan.found[0].summary.as_str(), plan.found[0].is_error), (reply, false));
    assert_eq!(plan.unknown.len(), 11, "{plan:?}");
    assert_eq!(plan.value["target_revision"], "v2");
    assert_eq!(status(folder.path(), &two)["status"], Value::Null, "planning touches nothing");

    let applied = plugin.apply(None, &plan, &two);
    assert_eq!(applied.found, []);
    assert_eq!(applied.value["status"], "succeeded");
    assert_eq!(applied.value["deployed_revision"], "v2");
    assert_eq!(
        applied.value["fleet"],
        json!([{ "revision": "v2", "instances": 10, "serving": 10 }])
    );
    assert_eq!((sizes(&applied.value), &applied.value["floor"]), (vec![3, 3, 3, 1], &json!(7)));
    let state = applied.state.expect("a state");

    // A refresh finds nothing that has changed.
    let refreshed = plugin.read(&state);
    assert_eq!((refreshed.found, refreshed.state), (vec![], Some(state.clone())));
    let again = plugin.plan(Some(&state), &two);
    assert_eq!((again.found, again.unknown), (vec![], vec![]));
    assert_eq!(again.state, Some(state.clone()), "to the byte");

    // An update tells all that it can.
    let four = with(&two, &json!({ "simulated_fleet": config("v4")["simulated_fleet"] }));
    let plan = plugin.plan(Some(&state), &four);
    assert_outcome_unknown(&plan);
    assert_eq!(sizes(&plan.value), [3, 3, 3, 1]);
    assert_eq!((&plan.value["floor"], &plan.value["ceiling"]), (&json!(7), &json!(10)));
    assert_eq!(plan.value["expected_duration"], "4m 40s");
    assert_eq!(plan.value["target_revision"], "v4");

    // Settings of the next rollout roll nothing, and neither do other timeouts.
    let smaller = with(&two, &json!({ "batch_size": 10 }));
    let plan = plugin.plan(Some(&state), &smaller);
    assert_eq!(plan.unknown, Vec::<String>::new());
    assert_eq!(plan.found[0].summary, "This plan rolls nothing");
    assert_eq!((plan.found.len(), sizes(&plan.value)), (1, vec![3, 3, 3, 1]), "of the last one");
    let file = folder.path().join(".rolling/web.json");
    let before = std::fs::read_to_string(&file).expect("the fleet");
    let applied = plugin.apply(Some(&state), &plan, &smaller);
    assert_eq!((applied.found, &applied.value["status"]), (vec![], &json!("succeeded")));
    let state = applied.state.expect("a state");
    let longer = with(&smaller, &json!({ "timeouts": { "update": "3h" } }));
    let plan = plugin.plan(Some(&state), &longer);
    assert_eq!(plan.unknown, Vec::<String>::new());
    let applied = plugin.apply(Some(&state), &plan, &longer);
    assert_eq!((applied.found, &applied.value["timeouts"]["update"]), (vec![], &json!("3h")));
    let instances = |text: &str| -> Value {
        serde_json::from_str::<Value>(text).expect("JSON")["instances"].clone()
    };
    let after = std::fs::read_to_string(&file).expect("the fleet");
    assert_eq!(instances(&after), instances(&before), "nothing was touched");
    plugin.shut_down();
}

/// Terraform plans again before it applies, in another process and maybe much later, and takes for
/// a bug of the provider whatever differs.
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
fn what_is_not_known_yet_makes_the_outcome_unknown_and_asks_no_cloud() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = fast(folder.path(), 500);
    let dark = with(&config("v2"), &json!({ "simulated_fleet": unknown() }));
    let plan = plugin.plan(None, &dark);
    let reply = "What this plan rolls is known only when simulated_fleet is";
    assert_eq!((plan.found[0].summary.as_str(), plan.found.len()), (reply, 1));
    let computed = plan.unknown.iter().filter(|place| *place != "/simulated_fleet").count();
    assert_eq!(computed, 12, "{plan:?}");
    assert!(!folder.path().join(".rolling").exists(), "a cloud was asked");
    assert_eq!(plugin.validate(&dark), []);
    let wrong = with(&dark, &json!({ "policy": "rollin" }));
    assert_eq!(plugin.plan(None, &wrong).found[0].place, ".policy");

    // Then all is known, and Terraform plans again before it applies.
    let two = config("v2");
    let plan = plugin.plan(None, &two);
    let applied = plugin.apply(None, &plan, &two);
    assert_eq!(applied.found, []);
    assert_eq!(applied.value["target_revision"], "v2");
    assert_eq!(applied.value["batches"].as_array().map(Vec::len), Some(4));
    let state = applied.state.expect("a state");

    // An unknown target may be another one, so it is.
    let plan = plugin.plan(Some(&state), &dark);
    assert_eq!(plan.replaces, [".simulated_fleet.name"]);
    let mut other = two.clone();
    other["simulated_fleet"]["name"] = json!("other");
    assert_eq!(plugin.plan(Some(&state), &other).replaces, [".simulated_fleet.name"]);

    // An unknown configuration of the provider itself.
    assert_eq!(plugin.configure(&json!({ "simulator": unknown() })), []);
    let plan = plugin.plan(Some(&state), &two);
    assert_eq!(plan.unknown.len(), 11, "all but the id");
    assert_eq!(plan.found[0].summary, "What this plan rolls is known only when it is applied");
    assert_eq!(plugin.read(&state).state, Some(state));
    plugin.shut_down();
}

#[test]
fn each_finding_names_its_attribute() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = Plugin::start(folder.path());
    let checkpoints = json!([{ "percentage": 50 }, { "percentage": 20 }]);
    for (changes, place, message) in [
        (json!({ "policy": "rollin" }), ".policy", "policy: \"rollin\" is not one"),
        (json!({ "policy": null }), ".policy", "policy: the attribute \"policy\" is missing"),
        (json!({ "batch_size": 2.5 }), ".batch_size", "must be a whole number"),
        (json!({ "batch_size": null }), ".batch_size", "batch_size: the attribute"),
        (json!({ "checkpoints": checkpoints }), ".checkpoints[1].percentage", "must be above 50"),
        (
            json!({ "health": { "healthy_timeout": "soon" } }),
            ".health.healthy_timeout",
            "time span",
        ),
        (json!({ "timeouts": { "update": "0s" } }), ".timeouts.update", "longer than nothing"),
        (json!({ "simulated_fleet": null }), "", "There is no target"),
    ] {
        let found = plugin.validate(&with(&config("v2"), &changes));
        assert_eq!(found.len(), 1, "{changes}: {found:?}");
        assert_eq!(found[0].place, place, "{found:?}");
        assert!(found[0].summary.contains(message), "{found:?}");
        assert!(found[0].is_error);
    }
    let found = plugin.configure(&json!({ "simulator": { "speed": 0 } }));
    assert_eq!(found[0].place, ".simulator.speed");
    plugin.shut_down();
}

#[test]
fn a_failed_update_keeps_what_is_true_and_a_failed_creation_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = fast(folder.path(), 500);
    let (two, bad) = (config("v2"), config("v3"));
    let state = created(&plugin, &two);
    let plan = plugin.plan(Some(&state), &bad);
    let applied = plugin.apply(Some(&state), &plan, &bad);
    let found = &applied.found[0];
    assert!(found.summary.starts_with("web went back from v3 to v2: instance i-"), "{found:?}");
    assert!(found.summary.contains("Health checks failed with these codes: [502]"), "{found:?}");
    assert!(found.detail.contains("Nothing is borrowed any more"), "{found:?}");
    let value = &applied.value;
    assert_eq!(value["simulated_fleet"]["revision"], "v2", "as it was before");
    assert_eq!(value["status"], "rolled_back");
    assert_eq!(
        (&value["target_revision"], &value["deployed_revision"]),
        (&json!("v3"), &json!("v2"))
    );
    assert!(value["last_error"].as_str().expect("an error").contains("502"));

    // It stays so until somebody changes it, and the next plan shows the change again.
    let state = applied.state.expect("a state");
    let refreshed = plugin.read(&state);
    assert_eq!(refreshed.value["status"], "rolled_back");
    let plan = plugin.plan(refreshed.state.as_ref(), &bad);
    assert_outcome_unknown(&plan);
    let four = config("v4");
    let plan = plugin.plan(refreshed.state.as_ref(), &four);
    let applied = plugin.apply(refreshed.state.as_ref(), &plan, &four);
    assert_eq!((applied.found, &applied.value["last_error"]), (vec![], &Value::Null));

    let mut other = bad;
    other["simulated_fleet"]["name"] = json!("other");
    let plan = plugin.plan(None, &other);
    let applied = plugin.apply(None, &plan, &other);
    assert_eq!((applied.value, applied.found.len()), (Value::Null, 1), "nothing is saved");
    plugin.shut_down();
}

#[test]
fn drift_and_what_others_have_done_show_when_it_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = fast(folder.path(), 500);
    let two = config("v2");
    let state = created(&plugin, &two);
    // Another process rolls the fleet, and waits at a checkpoint.
    let other = with(&config("v4"), &json!({ "checkpoints": [{ "percentage": 30 }] }));
    let document = json!({
        "provider": { "rolling": { "simulator": { "speed": 500 } } },
        "resource": { "rolling_deployment": { "web": other } },
    });
    let file = write(folder.path(), &document);
    assert_eq!(run(rolling().current_dir(folder.path()).arg("apply").arg(&file)).code, 4);
    let refreshed = plugin.read(&state);
    assert_eq!(refreshed.value["status"], "paused");
    assert_eq!(refreshed.value["last_error"], "checkpoint at 30 percent");
    assert_eq!(refreshed.value["deployed_revision"], Value::Null);
    let fleet = [("v2", 7), ("v4", 3)].map(
        |(revision, count)| json!({ "revision": revision, "instances": count, "serving": count }),
    );
    assert_eq!(refreshed.value["fleet"], json!(fleet));

    // The same configuration plans to go back, and says what it replaces; the paused one is told of.
    let plan = plugin.plan(refreshed.state.as_ref(), &two);
    assert_outcome_unknown(&plan);
    assert!(plan.found[0].summary.starts_with("This plan rolls 3 of 10"), "{:?}", plan.found);
    assert!(plan.found[0].detail.contains("eplaces rollout"), "{:?}", plan.found);
    assert!(!plan.found[0].is_error);
    let waiting = plugin.plan(refreshed.state.as_ref(), &other);
    let told = &waiting.found[0];
    assert!(told.summary.starts_with("This plan rolls nothing: rollout"), "{told:?}");
    assert!(told.summary.ends_with("is paused (checkpoint at 30 percent)"), "{told:?}");
    assert!(told.detail.contains("apply leaves it so"), "{told:?}");
    let applied = plugin.apply(refreshed.state.as_ref(), &waiting, &other);
    assert!(applied.found[0].summary.contains("is paused: checkpoint"), "{:?}", applied.found);
    assert!(applied.found[0].detail.contains("rolling resume"), "{:?}", applied.found);

    // To destroy it gives the rollout up, which the plan says, and touches no instance.
    let before = status(folder.path(), &other)["instances"].clone();
    let asked = p::PlanRequest {
        type_name: TYPE.into(),
        prior_state: refreshed.state.clone(),
        ..p::PlanRequest::default()
    };
    let plan: p::PlanResponse = plugin.call("tfplugin6.Provider/PlanResourceChange", asked);
    assert!(plan.diagnostics[0].summary.contains("is paused on web"), "{plan:?}");
    let gone = plugin.destroy(&refreshed.state.expect("a state"));
    assert_eq!((gone.value, gone.found), (Value::Null, vec![]));
    let now = status(folder.path(), &other);
    assert_eq!((&now["instances"], &now["record"]), (&before, &Value::Null));
    plugin.shut_down();
}

#[test]
fn a_target_that_is_gone_is_gone_from_the_state_and_nothing_to_destroy() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = fast(folder.path(), 500);
    let found = plugin.import("simulated_fleet/web");
    assert!(found.found[0].summary.contains("does not exist"), "{found:?}");
    let state = created(&plugin, &config("v2"));
    let imported = plugin.import("simulated_fleet/web");
    assert_eq!(imported.found, []);
    assert_eq!(imported.value["policy"], "rolling");
    assert_eq!(imported.value["deployed_revision"], "v2");
    // A configuration like it has nothing to do.
    let source_instance = json!({
        "policy": "rolling", "batch_size_type": "fixed", "batch_size": 1,
        "simulated_fleet": { "name": "web", "revision": "v2" },
    });
    let plan = plugin.plan(imported.state.as_ref(), &source_instance);
    assert_eq!((plan.state, plan.found), (imported.state, vec![]));
    assert_eq!(plugin.destroy(&state).found, []);
    plugin.shut_down();
}

#[test]
fn states_of_other_versions_are_upgraded_or_refused_with_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = Plugin::start(folder.path());
    let upgrade = |version, state: &Value| -> p::UpgradeResponse {
        let raw_state = Some(p::RawState { json: state.to_string().into_bytes() });
        let asked = p::UpgradeRequest { type_name: TYPE.into(), version, raw_state };
        plugin.call("tfplugin6.Provider/UpgradeResourceState", asked)
    };
    let saved = json!({
        "policy": "rolling", "max_surge": "2", "batch_size": null,
        "simulated_fleet": { "name": "web", "revision": "v2", "boot_sigma": 0.3 },
        "timeouts": { "create": null, "delete": null, "update": "2h" },
        "id": "simulated:web", "status": "succeeded", "batches": [],
    });
    let answer = upgrade(1, &saved);
    assert_eq!(answer.diagnostics, []);
    let state = answer.upgraded_state.expect("a state");
    let plan = plugin.plan(Some(&state), &Value::Null);
    assert_eq!(plan.found, [], "it can be read");
    let more = with(&saved, &json!({ "colour": "red" }));
    let answer = upgrade(1, &more);
    assert_eq!(answer.upgraded_state, Some(state));
    assert_eq!(answer.diagnostics[0].summary, "colour: not known any more, and left out");
    let answer = upgrade(7, &saved);
    assert!(answer.diagnostics[0].summary.contains("a state of version 7"), "{answer:?}");
    plugin.shut_down();
}

#[test]
fn what_is_stopped_answers_and_the_next_apply_finishes() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = fast(folder.path(), 20);
    let two = config("v2");
    let plan = plugin.plan(None, &two);
    let applying = plugin.begin(None, plan.state.as_ref(), &two);
    wait_for_a_batch(folder.path());
    // Ctrl-C reaches the provider, too, and is not its business.
    process::signal(plugin.started.child.id(), "-INT");
    // Long enough for it to stop if that were its business.
    std::thread::sleep(Duration::from_millis(300));
    assert!(!applying.is_finished(), "the signal alone has ended it");
    plugin.stop();
    let applied = plugin.end(applying);
    assert!(applied.found[0].summary.contains("was given up: asked to stop"), "{applied:?}");
    assert!(applied.found[0].detail.contains("Apply again to finish"), "{applied:?}");
    // It still serves, and begins nothing more.
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
    assert!(reply.ends_with("was given up: timed out after 1s (timeouts.create)"), "{applied:?}");
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
    // As when it is killed: every descriptor of it is closed.
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
    let told = line.trim().strip_prefix("export TF_REATTACH_PROVIDERS='").expect("what to export");
    let told: Value = serde_json::from_str(told.trim_end_matches('\'')).expect("JSON");
    let told = &told["registry.terraform.io/rolling/rolling"];
    assert_eq!((&told["Protocol"], &told["ProtocolVersion"]), (&json!("grpc"), &json!(6)));
    let socket = told["Addr"]["String"].as_str().expect("a socket").to_owned();

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
    // The next host finds it stopped, or waits until it has.
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

#[test]
fn five_megabytes_in_one_attribute_pass() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = fast(folder.path(), 500);
    let mut large = config("v2");
    let bad: serde_json::Map<String, Value> =
        (0..50_000).map(|n| (format!("{n:0100}"), json!("unhealthy"))).collect();
    large["simulated_fleet"]["bad_revisions"] = Value::Object(bad);
    assert!(large.to_string().len() > 5_000_000);
    assert_eq!(plugin.validate(&large), []);
    let plan = plugin.plan(None, &large);
    assert!(plan.found.iter().all(|found| !found.is_error), "{:?}", plan.found);
    let bad = |value: &Value| value["simulated_fleet"]["bad_revisions"].clone();
    assert!(bad(&plan.value) == bad(&large), "it comes back as it came");
    plugin.shut_down();
}

#[test]
fn what_happens_is_logged_for_the_host_and_written_for_who_follows() {
    let folder = tempfile::tempdir().expect("a folder");
    let progress = folder.path().join("progress");
    let mut command = rolling();
    command.current_dir(folder.path()).env("TMPDIR", folder.path());
    let plugin = Plugin::start_as(command.env("ROLLING_PROGRESS_DIR", &progress));
    plugin.configure(&json!({ "simulator": { "speed": 500 } }));
    let two = config("v2");
    created(&plugin, &two);
    let reply = plugin.shut_down();
    for line in reply.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        let message = line["@message"].as_str().expect("a message");
        assert_eq!((&line["@level"], &line["target"]), (&json!("info"), &json!("web")), "{line}");
        assert!(message.starts_with("web: "), "{line}");
        assert!(line["@timestamp"].as_str().is_some_and(|at| at.ends_with('Z')), "{line}");
    }
    assert!(reply.contains("web: batch 2: replacing i-0004, i-0005, i-0006"), "{reply}");

    let file = progress.join("web.jsonl");
    let follow = |more: &[&str]| {
        let mut command = rolling();
        command.current_dir(folder.path()).args(["status", "--follow"]).args(more);
        run(command.arg(&file))
    };
    let ran = follow(&[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stdout.starts_with("[  0:00.0] rolling web to v2: batches of 3, 3, 3, 1"),
        "{ran:?}"
    );
    assert!(ran.stdout.contains("batch 4 done"), "{ran:?}");
    assert!(ran.stdout.contains("web: succeeded, 10 instances on v2 after 4 batches"), "{ran:?}");
    let lines = follow(&["--output", "json"]).lines();
    assert_eq!(lines.last().expect("an end")["event"]["type"], "finished");
    // It has the document in it, so the other commands take it.
    let ran = run(rolling().current_dir(folder.path()).arg("plan").arg(&file));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("nothing to do"), "{ran:?}");

    // Of one that was killed it is told that it was.
    let text = std::fs::read_to_string(&file).expect("progress");
    let cut: Vec<&str> = text.lines().take(5).collect();
    std::fs::write(&file, cut.join("\n") + "\n").expect("a part");
    let ran = follow(&[]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("is gone"), "{ran:?}");
}
