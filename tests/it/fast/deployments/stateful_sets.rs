//! Rollouts of StatefulSets, by their partition.

use std::sync::Arc;
use std::time::Duration;

use rolling::model::event::Outcome;
use rolling::model::spec::{BatchSize, Bound, Checkpoint, Policy, Window};
use rolling_kubernetes_testing::{ApiFault, Matching, Rule, Settings, ThirdPartyWrite};
use serde_json::json;

use super::cluster::{FakeWorkload, stateful_set};
use super::{Numbers, deployment, dies_at, in_virtual_time, roll};
use crate::test_fleets::Dies;
use crate::world::{SharedClock, seconds};

fn policy(numbers: &mut Numbers) -> Policy {
    let count = 1 + u32::try_from(numbers.below(3)).expect("a count");
    let percent = numbers.one_of(&[10, 30, 50, 100]);
    match numbers.below(4) {
        0 => Policy::AllAtOnce,
        1 => Policy::Rolling(BatchSize::Fixed(count)),
        2 => Policy::Rolling(BatchSize::Percentage(percent)),
        _ => Policy::RollingWithin { surge: Bound::Count(0), unavailable: Bound::Percent(percent) },
    }
}

/// One pod is missing at most, whatever is rolled and how late an answer comes; a good revision
/// arrives, a bad one goes back with no help by hand, and nothing is left.
async fn keeps_its_promises(clock: &Arc<SharedClock>, seed: u64) {
    let mut numbers = Numbers(seed.wrapping_mul(104_729) + 7);
    let size = 1 + u32::try_from(numbers.below(8)).expect("a size");
    let policy = policy(&mut numbers);
    let mut spec = deployment(policy, numbers.below(2) == 0);
    spec.health.min_healthy_time = seconds(numbers.below(4));
    if policy != Policy::AllAtOnce && numbers.below(3) == 0 {
        let pause = Some(seconds(numbers.below(20)));
        spec.checkpoints = vec![Checkpoint { percentage: 40, pause, expires: None }];
    }
    let tag = numbers.one_of(&["v2", "v2", "slow-2", "no-image-2", "crash-2", "unhealthy-2"]);
    let late = numbers.one_of(&[0, 0, 300, 2000, 5000]);
    let pods = numbers.one_of(&["OrderedReady", "Parallel"]);
    let settings = Settings { seed: seed + 1, ..Settings::default() };
    let fake = FakeWorkload::of(clock, stateful_set(size, pods), settings);
    if late > 0 {
        let slow = ApiFault::Slow(Duration::from_millis(late));
        let rule = Rule::always(Matching::of("get", "statefulsets"), slow);
        fake.service.with(|cluster| cluster.door().rules.push(rule));
    }
    let case = format!("seed {seed}: {policy:?} of {size} {pods} to {tag}, {late} ms late");
    let (report, warnings) = roll(&fake, tag, spec).await;

    let is_good = tag == "v2" || tag == "slow-2";
    let outcome = if is_good { Outcome::Succeeded } else { Outcome::RolledBack };
    assert_eq!(report.outcome, outcome, "{case}: {report:?}");
    let wanted = if is_good { format!("app:{tag}") } else { "app:v1".to_owned() };
    assert_eq!(fake.image(), wanted, "{case}");
    assert_eq!(fake.left(), Vec::<String>::new(), "{case}");
    let (least, most) = fake.extremes();
    assert!(least + 1 >= size && most <= size, "{case}: {least} to {most}");
    assert!(least >= Window::resolve(policy, size).floor(), "{case}: {least}");
    assert!(!warnings.iter().any(|it| it.contains("has gone on to")), "{case}: {warnings:?}");
}

#[test]
fn at_most_one_pod_is_missing_and_nothing_is_left_whatever_is_rolled() {
    for seed in 0..150 {
        in_virtual_time(|clock| async move { keeps_its_promises(&clock, seed).await });
    }
}

/// With ordered pods the controller waits for a pod that never becomes ready, and would never replace
/// it: neither on the way back, nor by a revision that mends it.
#[test]
fn a_pod_that_the_controller_waits_for_in_vain_is_removed() {
    in_virtual_time(|clock| async move {
        let mut broken = stateful_set(3, "OrderedReady");
        broken["spec"]["template"]["spec"]["containers"][0]["image"] = json!("app:no-image-1");
        let fake = FakeWorkload::of(&clock, broken, Settings::default());
        let in_batches = deployment(Policy::Rolling(BatchSize::Fixed(1)), true);
        let (report, _) = roll(&fake, "v2", in_batches).await;
        assert_eq!(report.outcome, Outcome::Succeeded, "{report:?}");
        assert_eq!(report.instances.len(), 3);
        assert_eq!(fake.left(), Vec::<String>::new());
        // It has its time to become ready before that.
        assert!(report.elapsed_ms >= 60_000, "{report:?}");
    });
}

#[test]
fn killed_at_every_call_the_next_engine_ends_it() {
    let batches = || deployment(Policy::Rolling(BatchSize::Fixed(2)), true);
    let own_pace = || deployment(Policy::AllAtOnce, false);
    let mut killed = 0;
    for (spec, tag) in
        [(batches(), "v2"), (own_pace(), "v2"), (batches(), "no-image-2"), (own_pace(), "crash-2")]
    {
        for dies in [Dies::Before, Dies::After] {
            let mut at = 1;
            while dies_at(at, dies, &stateful_set(5, "OrderedReady"), &spec, tag) {
                (at, killed) = (at + 1, killed + 1);
            }
        }
    }
    assert!(killed > 50, "{killed} calls");
}

/// Somebody lowers the partition in the middle of a pause: it is raised again over the pods that are
/// left, and told.
#[test]
fn a_partition_that_somebody_lowers_is_raised_again_and_told() {
    in_virtual_time(|clock| async move {
        let fake = FakeWorkload::of(&clock, stateful_set(6, "OrderedReady"), Settings::default());
        let patch =
            json!({ "spec": { "updateStrategy": { "rollingUpdate": { "partition": 0 } } } });
        fake.plan_write(seconds(30), "kubectl-patch", patch);
        let mut spec = deployment(Policy::Rolling(BatchSize::Fixed(2)), true);
        let pause = Some(seconds(60));
        spec.checkpoints = vec![Checkpoint { percentage: 30, pause, expires: None }];
        let (report, warnings) = roll(&fake, "v2", spec).await;
        assert_eq!(report.outcome, Outcome::Succeeded, "{report:?}");
        let told = "somebody has lowered the partition";
        assert!(warnings.iter().any(|it| it.contains(told)), "{warnings:?}");
        assert_eq!(fake.left(), Vec::<String>::new());
        let (least, _) = fake.extremes();
        assert!(least >= 5, "{least}");
    });
}

/// Somebody who holds pods back before a rollout is not overridden.
#[test]
fn a_partition_of_others_is_refused() {
    in_virtual_time(|clock| async move {
        let mut retained = stateful_set(3, "OrderedReady");
        retained["spec"]["updateStrategy"] =
            json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 2 } });
        let fake = FakeWorkload::of(&clock, retained, Settings::default());
        let spec = deployment(Policy::Rolling(BatchSize::Fixed(1)), true);
        let refused = super::refused(&fake, "v2", spec).await;
        assert!(
            refused.contains("somebody has set the partition of the StatefulSet to 2"),
            "{refused}"
        );
        assert_eq!(fake.image(), "app:v1");
    });
}

/// Calls whose answer is lost are looked for, removals of pods, too.
#[test]
fn calls_whose_answer_is_lost_are_found() {
    in_virtual_time(|clock| async move {
        for (verb, resource) in [("patch", "statefulsets"), ("delete", "pods"), ("get", "leases")] {
            for fault in [ApiFault::DroppedAfter, ApiFault::DroppedBefore, ApiFault::Unavailable] {
                let set = stateful_set(4, "OrderedReady");
                let fake = FakeWorkload::of(&clock, set, Settings::default());
                let case = format!("{verb} {resource}: {fault:?}");
                let rule = Rule::once(Matching::of(verb, resource), fault);
                fake.service.with(|cluster| cluster.door().rules.push(rule));
                let spec = deployment(Policy::Rolling(BatchSize::Fixed(2)), true);
                let (report, _) = roll(&fake, "unhealthy-2", spec).await;
                assert_eq!(report.outcome, Outcome::RolledBack, "{case}: {report:?}");
                assert_eq!(fake.left(), Vec::<String>::new(), "{case}");
                let (least, _) = fake.extremes();
                assert!(least >= 3, "{case}: {least}");
            }
        }
    });
}

/// The plan of another kind of workload of the same name is another one: so are their records.
#[test]
fn a_deployment_of_the_same_name_has_a_record_of_its_own() {
    in_virtual_time(|clock| async move {
        let fake = FakeWorkload::of(&clock, stateful_set(2, "OrderedReady"), Settings::default());
        fake.service.with(|cluster| cluster.seed(super::cluster::deployment(2)));
        let begun = ThirdPartyWrite::image(
            fake.at(seconds(1)),
            "kubectl-set",
            "shop",
            "web",
            "app",
            "app:v9",
        );
        fake.service.with(|cluster| cluster.plan(begun));
        let (report, _) = roll(&fake, "v2", deployment(Policy::AllAtOnce, false)).await;
        assert_eq!(report.outcome, Outcome::Succeeded, "{report:?}");
        assert_eq!(report.instances.len(), 2);
    });
}
