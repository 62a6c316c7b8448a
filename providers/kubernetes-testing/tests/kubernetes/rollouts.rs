//! Rollouts of Deployments: the sizes they go through, and what held throughout.
//!
//! The table of the design: N = 6, looked at every 200 ms by whoever holds it.

use serde_json::json;

use crate::support::{Lab, condition, image, manifest, millis, roll, seconds};

const PAUSE: &str = "paused";

fn window(surge: serde_json::Value, unavailable: serde_json::Value) -> serde_json::Value {
    json!({"spec": {"paused": false, "strategy": {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}}})
}

fn resume(lab: &mut Lab) {
    lab.patch(&json!({"spec": {PAUSE: false}}));
}

fn wait_for_new(lab: &mut Lab, count: i64) {
    lab.until(60, |lab| lab.available_of_new() == count);
}

/// Rolls in two held steps and returns the sizes at the holds.
fn stepped(lab: &mut Lab, surge: i64, unavailable: i64) -> Vec<(i64, i64)> {
    let all = 6 + surge;
    let mut paused_sizes = Vec::new();
    lab.patch(&roll("web:v2", json!(surge), json!(unavailable)));
    for new in [2, 4] {
        lab.hold_at(new, all);
        wait_for_new(lab, new);
        lab.settle();
        paused_sizes.push(lab.sizes());
        resume(lab);
    }
    lab.until(60, Lab::is_complete);
    paused_sizes.push(lab.sizes());
    paused_sizes
}

#[test]
fn batches_are_held() {
    for seed in 1..20 {
        let mut lab = Lab::seeded(seed);
        assert_eq!(stepped(&mut lab, 0, 2), [(2, 4), (4, 2), (6, 0)]);
        let witness = lab.witness();
        assert_eq!((witness.least_ready(), witness.most_asked()), (4, 6), "{seed}");
    }
}

#[test]
fn additional_batches_are_held() {
    let mut lab = Lab::new();
    assert_eq!(stepped(&mut lab, 2, 0), [(2, 6), (4, 4), (6, 0)]);
    let witness = lab.witness();
    assert_eq!((witness.least_ready(), witness.most_asked()), (6, 8));
}

#[test]
fn surge_and_unavailable_go_together() {
    let mut lab = Lab::new();
    assert_eq!(stepped(&mut lab, 1, 1), [(2, 5), (4, 3), (6, 0)]);
    let witness = lab.witness();
    assert_eq!((witness.least_ready(), witness.most_asked()), (5, 7));
}

#[test]
fn held_with_all_new_ones_the_old_set_goes_while_it_is_paused() {
    let mut lab = Lab::new();
    lab.patch(&roll("web:v2", json!("100%"), json!(0)));
    lab.hold_at(6, 12);
    lab.reaches(6, 0);
    assert_eq!(lab.available_of_new(), 6);
    assert_eq!(lab.get()["spec"][PAUSE], true);
    assert_eq!(lab.witness().least_available(), 6);
}

#[test]
fn one_first_and_then_all() {
    let mut lab = Lab::new();
    lab.patch(&roll("web:v2", json!(1), json!(0)));
    lab.hold_at(1, 7);
    wait_for_new(&mut lab, 1);
    lab.patch(&window(json!("100%"), json!(0)));
    lab.until(10, |lab| lab.sizes() == (6, 5));
    lab.patch(&json!({"spec": {PAUSE: true}}));
    lab.reaches(7, 5);
    lab.settle();
    // Filled up while it is paused, and the old set stays.
    assert_eq!(lab.sizes(), (7, 5));
    resume(&mut lab);
    lab.until(60, Lab::is_complete);
    let witness = lab.witness();
    assert!(witness.least_available() >= 6 && witness.most_asked() <= 12);
}

#[test]
fn held_before_the_last_one_all_serve() {
    let mut lab = Lab::new();
    lab.patch(&roll("web:v2", json!(5), json!(0)));
    lab.hold_at(5, 11);
    wait_for_new(&mut lab, 5);
    lab.settle();
    let last = lab.cluster.timeline().of("shop", "web").last().expect("a moment");
    assert_eq!(last.sum(|set| set.ready), 11);
    resume(&mut lab);
    lab.until(60, Lab::is_complete);
    assert_eq!(lab.witness().least_ready(), 6);
}

#[test]
fn a_template_patched_while_paused_does_nothing() {
    let mut lab = Lab::new();
    lab.patch(&json!({"spec": {PAUSE: true}}));
    lab.settle();
    lab.patch(&image("web:v2"));
    lab.settle();
    assert_eq!(lab.sizes(), (0, 6));
    assert_eq!(lab.sets().len(), 1);
    assert_eq!(lab.reason(), "DeploymentPaused");
    assert_eq!(lab.get()["status"]["observedGeneration"], 3);
}

#[test]
fn scaled_while_held_both_sets_grow() {
    let mut lab = Lab::new();
    lab.patch(&roll("web:v2", json!(0), json!(2)));
    lab.hold_at(2, 6);
    lab.settle();
    lab.patch(&json!({"spec": {"replicas": 12}}));
    lab.reaches(4, 8);
    lab.settle();
    assert_eq!(lab.sizes(), (4, 8));
}

#[test]
fn surge_given_while_held_fills_both_sets() {
    let mut lab = Lab::new();
    lab.patch(&roll("web:v2", json!(0), json!(2)));
    lab.hold_at(2, 6);
    lab.settle();
    lab.patch(&json!({"spec": {"strategy": {"rollingUpdate": {"maxSurge": 6}}}}));
    lab.reaches(4, 8);
    lab.patch(&json!({"spec": {"strategy": {"rollingUpdate": {"maxSurge": 0}}}}));
    lab.reaches(2, 4);
}

#[test]
fn a_bad_image_passes_the_deadline() {
    let mut lab = Lab::new();
    let mut patch = roll("web:no-image", json!(1), json!(1));
    patch["spec"]["progressDeadlineSeconds"] = 8.into();
    lab.patch(&patch);
    let took = lab.until(20, |lab| lab.reason() == "ProgressDeadlineExceeded");
    assert!(took > seconds(8) && took < millis(9800), "{took:?}");
    assert_eq!(lab.sizes(), (2, 5));
    let reasons = lab.witness().reasons();
    let expected = [
        "NewReplicaSetAvailable",
        "NewReplicaSetCreated",
        "ReplicaSetUpdated",
        "ProgressDeadlineExceeded",
    ];
    assert_eq!(reasons, expected);
    let condition = condition(&lab.get(), "Progressing");
    assert_eq!(condition["status"], "False");
    let name = lab.set_of("web:no-image")["metadata"]["name"].clone();
    let name = name.as_str().expect("a name");
    assert_eq!(condition["message"], format!("ReplicaSet \"{name}\" has timed out progressing."));
    // The controller goes on trying: it is mended later.
    lab.patch(&image("web:v1"));
    lab.until(60, Lab::is_complete);
    assert_eq!(lab.reason(), "NewReplicaSetAvailable");
}

#[test]
fn undo_after_two_bad_ones_leads_to_a_bad_one() {
    let mut lab = Lab::new();
    lab.patch(&roll("web:no-image-1", json!(1), json!(1)));
    lab.reaches(2, 5);
    lab.settle();
    lab.patch(&image("web:no-image-2"));
    lab.until(20, |lab| lab.sizes() == (0, 7));
    lab.until(20, |lab| lab.sizes() == (2, 5));
    assert_eq!(lab.sizes(), (2, 5));
    let revision = |lab: &Lab, image: &str| {
        lab.set_of(image)["metadata"]["annotations"]["deployment.kubernetes.io/revision"].clone()
    };
    assert_eq!(revision(&lab, "web:no-image-2"), "3");
    lab.undo();
    lab.settle();
    assert_eq!(revision(&lab, "web:no-image-1"), "4");
    let annotations = lab.set_of("web:no-image-1")["metadata"]["annotations"].clone();
    assert_eq!(annotations["deployment.kubernetes.io/revision-history"], "2");
    assert_eq!(lab.sizes(), (2, 5));
    // Back to the good template: its set is taken up again.
    lab.patch(&image("web:v1"));
    lab.until(30, Lab::is_complete);
    assert_eq!(lab.sizes(), (6, 0));
    assert_eq!(revision(&lab, "web:v1"), "5");
    assert_eq!(lab.get()["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "5");
    assert_eq!(lab.sets().len(), 3);
    assert_eq!(lab.witness().least_ready(), 5);
}

#[test]
fn a_pause_is_not_counted_against_the_deadline() {
    let mut lab = Lab::new();
    let mut patch = roll("web:no-image", json!(0), json!(2));
    patch["spec"]["progressDeadlineSeconds"] = 8.into();
    lab.patch(&patch);
    lab.hold_at(2, 6);
    lab.cluster.advance(seconds(11));
    assert_eq!(lab.reason(), "DeploymentPaused");
    resume(&mut lab);
    let took = lab.until(20, |lab| lab.reason() == "ProgressDeadlineExceeded");
    assert!(took > seconds(8) && took < millis(9500), "{took:?}");
}

#[test]
fn all_at_once_and_recreate() {
    let mut lab = Lab::new();
    lab.patch(&roll("web:v2", json!(0), json!("100%")));
    lab.until(60, Lab::is_complete);
    assert_eq!(lab.witness().least_ready(), 0);
    assert_eq!(lab.witness().most_asked(), 6);

    let mut lab = Lab::new();
    let mut patch = image("web:v2");
    patch["spec"]["strategy"] = json!({"$retainKeys": ["type"], "type": "Recreate"});
    lab.patch(&patch);
    lab.until(60, Lab::is_complete);
    let both = |moment: &rolling_kubernetes_testing::TimelineEntry| {
        moment.sets.iter().filter(|set| set.live + set.terminating > 0).count()
    };
    let since = lab.cluster.timeline().of("shop", "web").filter(|moment| moment.at > lab.began);
    assert_eq!(since.map(both).max(), Some(1), "the old pods are gone before the new ones come");
}

#[test]
fn empty_sets_are_pruned_when_it_is_complete_and_while_it_is_paused() {
    let mut deployment = manifest(2, "web:v1");
    deployment["spec"]["revisionHistoryLimit"] = 1.into();
    let mut lab = Lab::of(deployment, 1);
    for image_of in ["web:v2", "web:v3", "web:v4"] {
        lab.patch(&image(image_of));
        lab.until(60, Lab::is_complete);
        lab.settle();
    }
    let images = |lab: &Lab| {
        let mut images: Vec<String> = lab
            .sets()
            .iter()
            .map(|set| {
                set["spec"]["template"]["spec"]["containers"][0]["image"]
                    .as_str()
                    .expect("text")
                    .to_owned()
            })
            .collect();
        images.sort();
        images
    };
    assert_eq!(images(&lab), ["web:v3", "web:v4"]);
    lab.patch(&json!({"spec": {"revisionHistoryLimit": 0, PAUSE: true}}));
    lab.settle();
    assert_eq!(images(&lab), ["web:v4"]);
    // A set with pods is not pruned.
    lab.patch(&json!({"spec": {PAUSE: false}}));
    lab.patch(&image("web:no-image"));
    lab.settle();
    assert_eq!(images(&lab), ["web:no-image", "web:v4"]);
    lab.patch(&json!({"spec": {PAUSE: true}}));
    lab.settle();
    assert_eq!(images(&lab), ["web:no-image", "web:v4"]);
}

#[test]
fn annotations_of_the_deployment_are_copied_and_never_taken_away() {
    let mut lab = Lab::new();
    lab.patch(&json!({"metadata": {"annotations": {"example.com/a": "1"}}}));
    lab.settle();
    lab.patch(&json!({"metadata": {"annotations": {"example.com/a": null}}}));
    lab.settle();
    assert!(lab.get()["metadata"]["annotations"].get("example.com/a").is_none());
    assert_eq!(lab.set_of("web:v1")["metadata"]["annotations"]["example.com/a"], "1");
}

#[test]
fn scaling_does_not_roll() {
    let mut lab = Lab::new();
    lab.patch(&json!({"spec": {"replicas": 10}}));
    lab.until(30, Lab::is_complete);
    assert_eq!(lab.sizes(), (10, 0));
    lab.patch(&json!({"spec": {"replicas": 0}}));
    lab.until(30, |lab| lab.pods().is_empty());
    assert_eq!(lab.get()["status"].get("replicas"), None);
    assert_eq!(lab.reason(), "NewReplicaSetAvailable");
}
