//! Restarts: what was launched before a time is replaced although it runs the revision, once, and
//! whatever fails or dies meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use proptest::prelude::*;
use rolling::engine::{Rollout, Stop};
use rolling::model::event::{Event, Outcome};
use rolling::model::spec::{BatchSize, OnFailure, Policy, RollingDeployment};
use rolling::record::Record;
use rolling::report::text;
use rolling_provider::{Clock as _, Fleet, InstanceId, Observation, ProviderError, Timestamp};
use rolling_simulator::{Behaviour, EPOCH, FleetConfig, Intervention, Simulator, VirtualClock};
use rolling_testing::{Wrapper, impl_fleet};
use serde_json::{Value, json};

use super::plugin::{config, created, fast, with};
use super::properties::{an_hour_ago, block_on, good, look, settings};
use crate::process::{rolling, run};
use crate::test_fleets::{Dies, Mortal, Witness, now};
use crate::world::{
    Run, caller, fleet, roll, roll_until, seconds, simulate, simulate_and_stop, spec,
    thirty_percent,
};

/// Ten instances that run v2 and are a day old.
fn current() -> FleetConfig {
    FleetConfig { initial_revision: "v2".into(), ..fleet() }
}

fn restart(before: Timestamp) -> RollingDeployment {
    RollingDeployment { restart: Some(before), ..spec(thirty_percent()) }
}

fn rolled(fleet: &Arc<Simulator>, spec: RollingDeployment) -> Run {
    block_on(roll(Arc::clone(fleet) as _, spec))
}

fn ids(look: &Observation) -> BTreeSet<InstanceId> {
    let live = look.instances.iter().filter(|(_, instance)| instance.lifecycle.is_live());
    live.map(|(id, _)| id.clone()).collect()
}

#[test]
fn a_restart_replaces_all_and_applied_again_nothing() {
    let simulator = simulate(current());
    let rollout = block_on(Rollout::prepare(simulator.clone(), restart(an_hour_ago()), &caller()));
    let plan = text::plan("web", &rollout.expect("a rollout").preview());
    let what =
        "web: restart simulated fleet web on v2, what was launched before 2025-12-31T23:00:00Z";
    assert!(plan.starts_with(what), "{plan}");
    let before = ids(&look(&simulator));
    let first = rolled(&simulator, restart(an_hour_ago()));
    assert_eq!(first.report.outcome, Outcome::Succeeded, "{:?}", first.report.reason);
    assert_eq!(first.batches(), [(0, 3), (0, 3), (0, 3), (0, 1)]);
    let after = look(&simulator);
    assert!(ids(&after).is_disjoint(&before) && ids(&after).len() == 10, "{after:?}");
    assert!(after.record.is_empty() && simulator.launched() == 20, "{after:?}");
    assert_eq!(first.report.completed, Some("v2".into()));
    let again = rolled(&simulator, restart(an_hour_ago()));
    assert_eq!((again.report.outcome, again.actions().len()), (Outcome::Succeeded, 0));
    // Without the attribute, too.
    let without = rolled(&simulator, spec(thirty_percent()));
    assert_eq!((without.report.outcome, without.actions().len()), (Outcome::Succeeded, 0));
}

#[test]
fn a_time_that_lies_ahead_is_refused_with_its_place() {
    let ahead = EPOCH + Duration::from_millis(1);
    let refused = block_on(Rollout::prepare(simulate(current()), restart(ahead), &caller())).err();
    let error = refused.expect("a refusal");
    assert_eq!(error.attribute.as_deref(), Some("restart"));
    assert!(error.to_string().contains("lies ahead"), "{error}");
    let folder = tempfile::tempdir().expect("a folder");
    let document = |time: &str| {
        json!({ "resource": { "rolling_deployment": { "web": {
            "policy": "all_at_once", "restart": time,
            "simulated_fleet": { "name": "web", "revision": "v2" },
        } } } })
    };
    for (time, says) in [
        ("2999-01-01T00:00:00Z", "lies ahead"),
        ("yesterday", "not a moment from 1970 on, as RFC 3339 writes it"),
    ] {
        let written = document(time).to_string();
        std::fs::write(folder.path().join("web.tf.json"), written).expect("a document");
        for command in ["plan", "apply"] {
            let ran = run(rolling().current_dir(folder.path()).args([command, "web.tf.json"]));
            assert_eq!(ran.code, 2, "{ran:?}");
            assert!(ran.stderr.contains("/resource/rolling_deployment/web/restart"), "{ran:?}");
            assert!(ran.stderr.contains(says), "{ran:?}");
        }
    }
}

#[test]
fn a_restart_of_just_now_begins_once_its_time_has_passed_by_any_clock() {
    let simulator = simulate(current());
    let ran = rolled(&simulator, restart(EPOCH));
    assert_eq!(ran.report.outcome, Outcome::Succeeded);
    let changes = ran.events.iter().find(|e| matches!(e.event, Event::Acted { .. }));
    assert!(changes.expect("a change").at >= EPOCH + seconds(10), "{changes:?}");
}

/// A fleet whose clock is an hour behind: so its launches are dated.
struct Behind(Arc<Simulator>);

#[async_trait]
impl Wrapper for Behind {
    fn inner(&self) -> &dyn Fleet {
        &*self.0
    }

    async fn observe(&self) -> Result<Observation, ProviderError> {
        let mut look = self.inner().observe().await?;
        for instance in look.instances.values_mut() {
            let at = &mut instance.launched_at;
            *at = at.map(|at| Timestamp(at.0 - 3_600_000));
        }
        Ok(look)
    }
}

impl_fleet!(Behind);

#[test]
fn what_a_rollout_has_launched_is_not_old_even_by_a_clock_that_is_behind() {
    for dies in [None, Some(5), Some(20)] {
        let simulator = simulate(current());
        let behind = Arc::new(Behind(simulator.clone()));
        let restart = restart(Timestamp(EPOCH.0 - 60_000));
        if let Some(at) = dies {
            let mortal = Mortal::new(behind.clone(), at, Dies::After);
            let first = block_on(mortal.survive(roll(mortal.clone(), restart.clone())));
            assert!(first.is_none(), "it dies");
        }
        let ran = block_on(roll(behind, restart));
        assert_eq!(ran.report.outcome, Outcome::Succeeded, "{:?}", ran.report.reason);
        assert_eq!(simulator.launched(), 20, "{dies:?}");
    }
}

#[test]
fn an_interrupted_restart_goes_on_and_one_of_another_time_is_another_rollout() {
    let started = |simulator: &Simulator| {
        let record = Record::from_tags(&look(simulator).record).expect("tags").expect("a record");
        (record.generation, record.restart.map(|restart| restart.before))
    };
    for (later, launched) in [(an_hour_ago(), 20), (EPOCH + seconds(200), 26)] {
        let (simulator, stop) = simulate_and_stop(current(), Stop::Now, seconds(150));
        let first = block_on(roll_until(simulator.clone(), restart(an_hour_ago()), stop));
        assert_eq!(first.report.outcome, Outcome::Aborted);
        assert_eq!(started(&simulator), (1, Some(an_hour_ago())));
        now(simulator.clock().sleep(seconds(60)));
        let ran = rolled(&simulator, restart(later));
        assert_eq!(ran.report.outcome, Outcome::Succeeded, "{:?}", ran.report.reason);
        let all_since = |look: &Observation| {
            look.instances.values().all(|it| it.launched_at.is_some_and(|at| at >= later))
        };
        assert!(all_since(&look(&simulator)), "{later:?}");
        assert!((20..=launched).contains(&simulator.launched()), "{}", simulator.launched());
    }
}

#[test]
fn a_restart_that_fails_keeps_the_rest_and_never_says_that_it_went_back() {
    for behaviour in [Behaviour::FailLaunch, Behaviour::Slow] {
        for policy in [thirty_percent(), Policy::RollingWithAdditionalBatch(BatchSize::Fixed(2))] {
            let mut config = current();
            config.bad_revisions.insert("v2".into(), behaviour);
            let simulator = simulate(config);
            let before = ids(&look(&simulator));
            let mut failing = RollingDeployment { policy, ..restart(an_hour_ago()) };
            failing.on_failure = OnFailure::Rollback;
            failing.health.healthy_timeout = seconds(100);
            let ran = rolled(&simulator, failing);
            let report = &ran.report;
            assert_eq!(report.outcome, Outcome::Failed, "{behaviour:?} {report:?}");
            let reason = report.reason.as_deref().unwrap_or_default();
            assert!(reason.contains("there is no earlier revision"), "{reason}");
            let goes_back = |event: &Event| matches!(event, Event::RollingBack { .. });
            assert!(!ran.events.iter().any(|envelope| goes_back(&envelope.event)));
            assert!(report.borrowed.is_empty() && report.restored.is_none(), "{report:?}");
            let after = look(&simulator);
            let left_over = ids(&after).intersection(&before).count();
            assert!(left_over >= 7, "{behaviour:?} {policy:?}: {left_over} left_over");
            assert_eq!(after.desired(), 10, "surge goes");
            assert_eq!(report.to_restart as usize, left_over);
            let message = text::report("web", report);
            assert!(!message.contains("rolled back from"), "{message}");
            assert!(
                message.contains(&format!("{left_over} launched before the restart")),
                "{message}"
            );
        }
    }
}

#[test]
fn where_the_revision_changes_too_a_failure_goes_back_to_what_was_there() {
    let mut config = fleet();
    config.bad_revisions.insert("v2".into(), Behaviour::Unhealthy);
    let simulator = simulate(config);
    let before = ids(&look(&simulator));
    let mut failing = restart(an_hour_ago());
    (failing.on_failure, failing.health.healthy_timeout) = (OnFailure::Rollback, seconds(120));
    let ran = rolled(&simulator, failing);
    assert_eq!(ran.report.outcome, Outcome::RolledBack, "{:?}", ran.report);
    // Whoever was there is good as it is.
    assert_eq!(ids(&look(&simulator)).intersection(&before).count(), 7);
}

#[test]
fn a_rollback_to_a_given_revision_restarts_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |revision: &str, restart: Option<&str>| {
        let document = json!({
            "provider": { "rolling": { "simulator": { "speed": 1000 } } },
            "resource": { "rolling_deployment": { "web": {
                "policy": "all_at_once", "restart": restart,
                "simulated_fleet": { "name": "web", "revision": revision, "instances": 2 },
            } } },
        });
        std::fs::write(folder.path().join("web.tf.json"), document.to_string())
            .expect("a document");
    };
    let run = |arguments: &[&str]| {
        run(rolling().current_dir(folder.path()).args(arguments).arg("web.tf.json"))
    };
    write("v2", Some("2026-01-01T00:00:00Z"));
    assert_eq!(run(&["apply"]).code, 0);
    assert!(run(&["apply"]).stdout.contains("nothing to do"));
    let back = run(&["rollback", "--to", "v2"]);
    assert!(back.code == 0 && back.stdout.contains("nothing to do"), "{back:?}");
}

#[test]
fn terraform_plans_a_restart_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = fast(folder.path(), 500);
    let state = created(&plugin, &config("v2"));
    let text = std::fs::read_to_string(folder.path().join(".rolling/web.json")).expect("a fleet");
    let fleet: Value = serde_json::from_str(&text).expect("JSON");
    let now = Duration::from_millis(fleet["now"].as_u64().expect("a time"));
    let now = humantime::format_rfc3339_millis(UNIX_EPOCH + now).to_string();
    let wanted = with(&config("v2"), &json!({ "restart": now }));
    let plan = plugin.plan(Some(&state), &wanted);
    let summary = &plan.found.first().expect("a finding").summary;
    assert!(summary.contains("10 of 10 instances of web again on v2"), "{summary}");
    let applied = plugin.apply(Some(&state), &plan, &wanted);
    assert!(applied.found.is_empty() && applied.value["status"] == "succeeded", "{applied:?}");
    let state = applied.state.expect("a state");
    let again = plugin.plan(Some(&state), &wanted);
    assert_eq!((again.state.as_ref(), again.found), (Some(&state), Vec::new()), "nothing is left");
    // To drop the attribute rolls nothing.
    let plan = plugin.plan(Some(&state), &config("v2"));
    let summary = &plan.found.first().expect("a finding").summary;
    assert!(summary.contains("plan rolls nothing"), "{summary}");
}

/// Rolls a fleet of which `young` instances were launched after the restart. Returns the instances
/// that were there before, those of them launched before the restart, and how it went.
fn mixed(
    config: &FleetConfig,
    spec: &RollingDeployment,
    young: usize,
    at: Option<(u32, Dies)>,
) -> (Arc<Simulator>, Observation, Timestamp, Outcome, Vec<String>) {
    block_on(async {
        let clock = Arc::new(VirtualClock::new(EPOCH));
        let simulator = Arc::new(Simulator::in_memory(config.clone(), clock.clone()));
        let before = EPOCH + seconds(1000);
        clock.sleep(seconds(2000)).await;
        for id in ids(&look(&simulator)).into_iter().take(young) {
            match config.unmanaged {
                // Nothing launches another one by itself.
                true => simulator.intervene(Intervention::Join(config.initial_revision.clone())),
                false => simulator.intervene(Intervention::Terminate(id)),
            }
            .expect("an intervention");
        }
        clock.sleep(seconds(2000)).await;
        let there = look(&simulator);
        let spec = RollingDeployment { restart: Some(before), ..spec.clone() };
        let witness = Witness::new(simulator.clone(), spec.clone()).await;
        let first = match at {
            None => None,
            Some((at, dies)) => {
                let mortal = Mortal::new(witness.clone(), at, dies);
                mortal.survive(roll(mortal.clone(), spec.clone())).await
            }
        };
        let outcome = match first {
            Some(run) => run.report.outcome,
            None => roll(witness.clone(), spec).await.report.outcome,
        };
        (simulator, there, before, outcome, witness.broken(0))
    })
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn exactly_those_launched_before_are_replaced_and_every_promise_holds(
        case in good(), young in 0..12usize, is_same in any::<bool>(),
        dies in proptest::option::of((1..60u32, any::<bool>())),
    ) {
        let mut config = case.config;
        config.boot_sigma = 0.0;
        if is_same {
            config.initial_revision = config.revision.clone();
        }
        let dies = dies.map(|(at, after)| (at, if after { Dies::After } else { Dies::Before }));
        let (simulator, there, before, outcome, broken) = mixed(&config, &case.spec, young, dies);
        prop_assert_eq!(outcome, Outcome::Succeeded);
        prop_assert_eq!(broken, Vec::<String>::new());
        let after = look(&simulator);
        let stays = |id: &&InstanceId| {
            let launched_at = there.instances[*id].launched_at;
            is_same && launched_at.is_some_and(|at| at >= before)
        };
        let (good, old): (BTreeSet<_>, BTreeSet<_>) = ids(&there).iter().cloned().partition(|id| stays(&id));
        let left: BTreeSet<_> = ids(&after);
        prop_assert!(left.is_disjoint(&old), "{:?} of {:?}", left, old);
        // Whoever was launched since stays, where a policy does not bring a whole new set.
        let whole_set = case.spec.policy.shifts() || case.spec.policy == Policy::Immutable;
        let left_over = left.intersection(&good).count();
        prop_assert_eq!(left.len(), ids(&there).len());
        prop_assert!(left_over == good.len() || whole_set, "{:?} of {:?}", left, good);
        let again = block_on(roll(
            simulator.clone(), RollingDeployment { restart: Some(before), ..case.spec.clone() },
        ));
        prop_assert!(again.actions().is_empty());
    }
}
