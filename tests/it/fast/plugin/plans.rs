//! What a plan reports.

use serde_json::{Value, json};

use super::{assert_outcome_unknown, config, fast, sizes, status, with};
use crate::terraform_host::{Plugin, unknown};

#[test]
fn a_plan_tells_what_comes_and_after_it_there_is_nothing_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = fast(folder.path(), 500);
    let two = with(&config("v2"), &json!({ "max_surge": null, "timeouts": { "create": "2h" } }));
    let plan = plugin.plan(None, &two);
    let reply = "This plan rolls 10 of 10 instances of web from v1 to v2 (rolling): batches of 3, 3, \
                3, 1, at least 7 serve, at most 10 live, about 4m 40s";
    assert_eq!((plan.found[0].summary.as_str(), plan.found[0].is_error), (reply, false));
    assert_eq!(plan.unknown.len(), 12, "{plan:?}");
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

    // A refresh finds no change.
    let refreshed = plugin.read(&state);
    assert_eq!((refreshed.found, refreshed.state), (vec![], Some(state.clone())));
    let again = plugin.plan(Some(&state), &two);
    assert_eq!((again.found, again.unknown), (vec![], vec![]));
    assert_eq!(again.state, Some(state.clone()), "to the byte");

    // The plan of an update has every figure.
    let four = with(&two, &json!({ "simulated_fleet": config("v4")["simulated_fleet"] }));
    let plan = plugin.plan(Some(&state), &four);
    assert_outcome_unknown(&plan);
    assert_eq!(sizes(&plan.value), [3, 3, 3, 1]);
    assert_eq!((&plan.value["floor"], &plan.value["ceiling"]), (&json!(7), &json!(10)));
    assert_eq!(plan.value["expected_duration"], "4m 40s");
    assert_eq!(plan.value["target_revision"], "v4");

    // Settings of the next rollout and other timeouts roll nothing.
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

#[test]
fn what_is_not_known_yet_makes_the_outcome_unknown_and_asks_no_cloud() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = fast(folder.path(), 500);
    let unknown_target = with(&config("v2"), &json!({ "simulated_fleet": unknown() }));
    let plan = plugin.plan(None, &unknown_target);
    let reply = "What this plan rolls is known only when simulated_fleet is";
    assert_eq!((plan.found[0].summary.as_str(), plan.found.len()), (reply, 1));
    let computed = plan.unknown.iter().filter(|place| *place != "/simulated_fleet").count();
    assert_eq!(computed, 13, "{plan:?}");
    assert!(!folder.path().join(".rolling").exists(), "a cloud was asked");
    assert_eq!(plugin.validate(&unknown_target), []);
    let wrong = with(&unknown_target, &json!({ "policy": "rollin" }));
    assert_eq!(plugin.plan(None, &wrong).found[0].place, ".policy");

    // Once all is known, Terraform plans again before it applies.
    let two = config("v2");
    let plan = plugin.plan(None, &two);
    let applied = plugin.apply(None, &plan, &two);
    assert_eq!(applied.found, []);
    assert_eq!(applied.value["target_revision"], "v2");
    assert_eq!(applied.value["batches"].as_array().map(Vec::len), Some(4));
    let state = applied.state.expect("a state");

    // An unknown target may be another one, so it is a replacement.
    let plan = plugin.plan(Some(&state), &unknown_target);
    assert_eq!(plan.replaces, [".simulated_fleet.name"]);
    let mut other = two.clone();
    other["simulated_fleet"]["name"] = json!("other");
    assert_eq!(plugin.plan(Some(&state), &other).replaces, [".simulated_fleet.name"]);

    // An unknown configuration of the provider itself.
    assert_eq!(plugin.configure(&json!({ "simulator": unknown() })), []);
    let plan = plugin.plan(Some(&state), &two);
    assert_eq!(plan.unknown.len(), 12, "all but the id");
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
        (
            json!({ "checkpoints": checkpoints }),
            ".checkpoints[1].percentage",
            "must be greater than 50",
        ),
        (
            json!({ "health": { "healthy_timeout": "soon" } }),
            ".health.healthy_timeout",
            "time span",
        ),
        (json!({ "timeouts": { "update": "0s" } }), ".timeouts.update", "above 0s"),
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
