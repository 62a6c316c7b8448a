//! Rolls Deployments on a real Kubernetes control plane.

mod cluster;
mod interrupted;
mod pods;
mod stateful_sets;
mod told;

use serde_json::{Value, json};

use self::cluster::{Namespace, namespace};
use super::front_ends::{Done, by_ansible, by_json_rpc, by_terraform, by_the_command_line};

/// What a witness has seen of a rollout: how many new and old pods were asked for, in order, how many
/// were ready at least, and how many were asked for at most.
type Sizes = (Vec<(u64, u64)>, u64, u64);

/// Applies a rollout to `app:v2` of six pods.
fn sizes(more: &Value) -> Option<Sizes> {
    let namespace = namespace(6)?;
    let witness = namespace.witness();
    // On a busy machine the controller is paused late: within this soak all the same.
    let mut more = more.clone();
    more["health"] = json!({ "min_healthy_time": "5s", "healthy_timeout": "60s" });
    let ran = namespace.run("apply", &namespace.document("v2", &more));
    assert_eq!(ran.code, 0, "{ran:?}");
    namespace.assert_clean();
    let seen = witness.seen("app:v2");
    Some((seen.asked, seen.least_ready, seen.most_asked))
}

/// Whether all of `wanted` are among `asked`, in order: a witness may see what is in between.
fn passes_through(asked: &[(u64, u64)], wanted: &[(u64, u64)]) -> bool {
    let mut asked = asked.iter();
    wanted.iter().all(|step| asked.any(|seen| seen == step))
}

#[test]
fn batches_go_one_after_the_other_and_the_floor_holds() {
    let more = json!({ "pacing": "batch" });
    let Some((asked, least, most)) = sizes(&more) else { return };
    assert!(passes_through(&asked, &[(0, 6), (2, 4), (4, 2), (6, 0)]), "{asked:?}");
    assert!(least >= 4 && most <= 6, "{least} {most} {asked:?}");
    assert!(asked.iter().all(|(new, old)| new + old <= 6), "{asked:?}");
}

#[test]
fn an_additional_batch_keeps_all_of_the_capacity() {
    let more = json!({
        "policy": "rolling_with_additional_batch", "max_unavailable": null, "pacing": "batch",
        "batch_size_type": "fixed", "batch_size": 2,
    });
    let Some((asked, least, most)) = sizes(&more) else { return };
    assert!(passes_through(&asked, &[(2, 6), (4, 4), (6, 2), (6, 0)]), "{asked:?}");
    assert!(least >= 6 && most <= 8, "{least} {most} {asked:?}");
}

#[test]
fn an_immutable_set_is_whole_before_the_old_one_goes() {
    let more = json!({
        "policy": "immutable", "max_unavailable": null,
        "gates": { "command": { "run": ["true"] } },
    });
    let Some((asked, least, most)) = sizes(&more) else { return };
    // One first; then all but one, after which the gate is asked.
    assert!(passes_through(&asked, &[(1, 6), (5, 5), (6, 0)]), "{asked:?}");
    assert!(least >= 6 && most <= 12, "{least} {most} {asked:?}");
}

#[test]
fn at_its_own_pace_the_controller_keeps_the_bounds() {
    let more = json!({ "max_surge": "25%", "max_unavailable": 0 });
    let Some((_, least, most)) = sizes(&more) else { return };
    assert!(least >= 6 && most <= 8, "{least} {most}");
    let more = json!({ "policy": "all_at_once", "max_unavailable": null });
    let Some((asked, ..)) = sizes(&more) else { return };
    assert!(passes_through(&asked, &[(0, 6), (6, 0)]), "{asked:?}");
}

#[test]
fn a_checkpoint_waits_until_somebody_resumes() {
    let Some(namespace) = namespace(6) else { return };
    let more = json!({ "checkpoints": [{ "percentage": 50 }] });
    let document = namespace.document("v2", &more);
    let ran = namespace.run("apply", &document);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stdout.contains("checkpoint at 50 percent"), "{ran:?}");
    assert_eq!(namespace.deployment("/spec/paused"), json!(true));
    assert_eq!(namespace.deployment("/status/updatedReplicas"), json!(3));
    let again = namespace.run("apply", &document);
    assert_eq!(again.code, 4, "to apply again does not resume it: {again:?}");
    let status = namespace.run("status", &document);
    assert!(status.stdout.contains("paused"), "{status:?}");
    let resumed = namespace.run("resume", &document);
    assert_eq!(resumed.code, 0, "{resumed:?}");
    assert_eq!(namespace.deployment("/status/updatedReplicas"), json!(6));
    namespace.assert_clean();
}

/// The same Deployment through the command line, JSON-RPC, Ansible and Terraform's protocol: the plan
/// and the end are the same.
#[test]
fn every_front_end_rolls_a_deployment_alike() {
    let by = |front_end: fn(&Value, &Value) -> Done| -> Option<Done> {
        let namespace = namespace(5)?;
        let config = namespace.config("v2", &json!({ "pacing": "batch" }));
        let (sizes, mut end) = front_end(&config, &namespace.provider());
        namespace.assert_clean();
        // Each namespace has other pods.
        for instance in end["instances"].as_array_mut().expect("instances") {
            *instance = json!([instance["revision"], instance["serves"]]);
        }
        Some((sizes, end))
    };
    let Some(first) = by(by_the_command_line) else { return };
    assert_eq!(first.0, [2, 2, 1]);
    assert_eq!(first.1["instances"].as_array().map(Vec::len), Some(5));
    for front_end in [by_json_rpc, by_ansible, by_terraform] {
        assert_eq!(by(front_end).expect("a cluster"), first);
    }
}

/// The documented role is enough, and without it the refusal says what is missing.
#[test]
fn the_documented_role_is_enough() {
    let Some(namespace) = namespace(2) else { return };
    let document = namespace.document("v2", &json!({}));
    let document = namespace.as_documented_user(&document);
    let doctor = namespace.run("doctor", &document);
    assert_eq!(doctor.code, 0, "{doctor:?}");
    let ran = namespace.run("apply", &document);
    assert_eq!(ran.code, 0, "{ran:?}");
    namespace.assert_clean();
    namespace.kubectl(&["delete", "rolebinding", "rolling"]);
    let refused = namespace.run("plan", &document);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("Forbidden"), "{refused:?}");
    assert!(refused.stderr.contains("docs/kubernetes-role.yaml"), "{refused:?}");
}

/// Where all that is wanted runs already, nothing is done.
#[test]
fn a_deployment_that_runs_the_revision_is_left_alone() {
    let Some(namespace) = namespace(2) else { return };
    let before = namespace.deployment("/metadata/resourceVersion");
    let document = namespace.document("v1", &json!({}));
    let planned = namespace.run("plan", &document);
    assert!(planned.stdout.contains("nothing to do"), "{planned:?}");
    let ran = namespace.run("apply", &document);
    assert_eq!((ran.code, ran.stdout.contains("nothing to do")), (0, true), "{ran:?}");
    assert_eq!(namespace.deployment("/metadata/resourceVersion"), before);
    let doctor = namespace.run("doctor", &document);
    assert_eq!(doctor.code, 0, "{doctor:?}");
}

/// Returns what the pods of the Deployment run.
fn images(namespace: &Namespace) -> Vec<String> {
    let path = "jsonpath={.items[*].spec.containers[0].image}";
    let text = namespace.kubectl(&["get", "pods", "--selector", "app=web", "--output", path]);
    let mut images: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    images.sort();
    images.dedup();
    images
}
