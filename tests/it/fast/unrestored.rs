//! A rollout of which only what is borrowed is left, where the cloud does not take the calls that put
//! it back: no instance is replaced once more, and the next rollout makes those calls.

use rolling::model::event::{Cause, Event, Outcome, Report};
use rolling::model::spec::{OnFailure, RollingDeployment};
use rolling::report::text;
use rolling_provider::{Action, ErrorKind};
use rolling_simulator::{FleetConfig, Simulator};

use super::blame::{EVER, refuse};
use super::left_alone::policies;
use super::properties::{look, suspended};
use crate::world::{fleet, group, roll, seconds, simulate, spec, traffic_steps};

type Closing = (&'static str, fn(&Action) -> bool);

const CLOSING: [Closing; 5] = [
    ("resume", |action| matches!(action, Action::ResumeProcesses { .. })),
    ("erase", |action| matches!(action, Action::EraseRecord { .. })),
    ("untag", |action| matches!(action, Action::UntagMember { .. })),
    ("maximum", |action| matches!(action, Action::SetCapacity { desired: None, .. })),
    ("shift", |action| matches!(action, Action::Shift { percent: 0 })),
];

fn assert_all_serve(simulator: &Simulator, revision: &str, what: &str) {
    let look = look(simulator);
    let live: Vec<_> = look.instances.values().filter(|it| it.lifecycle.is_live()).collect();
    assert_eq!(live.len(), 4, "{what}");
    assert!(live.iter().all(|it| it.revision == Some(revision.into())), "{what}: {live:?}");
    assert_eq!(look.template, Some(revision.into()), "{what}");
}

fn assert_told(report: &Report, what: &str) {
    assert_eq!(report.outcome, Outcome::Failed, "{what}: {report:?}");
    assert_eq!(report.cause, Some(Cause::Call), "{what}: {report:?}");
    let message = text::report("web", report);
    assert!(
        message.contains("run v2 and serve, but not everything could be restored"),
        "{message}"
    );
    let left = ["borrowed   still: ", "borrowed   nothing, but the record"];
    assert!(left.iter().any(|left| message.contains(left)), "{what}: {message}");
    assert!(message.contains("then run apply again, which only restores"), "{message}");
    assert!(!message.contains("is the last revision"), "{message}");
}

#[tokio::test]
async fn a_fleet_that_is_done_is_not_rolled_back_because_a_call_fails() {
    let mut tried = Vec::new();
    for (policy, pacing) in policies() {
        for unmanaged in [false, true] {
            for (name, what) in CLOSING {
                for kind in [ErrorKind::Denied, ErrorKind::Throttled] {
                    let mut config = FleetConfig { instances: 4, unmanaged, ..fleet() };
                    if policy.shifts() {
                        config.second = Some(group("second", 5));
                    }
                    let suspend_processes = match unmanaged {
                        true => Default::default(),
                        false => suspended(&mut config, policy),
                    };
                    let spec = spec(policy);
                    let mut spec = RollingDeployment { pacing, suspend_processes, ..spec };
                    spec.on_failure = OnFailure::Rollback;
                    spec.progress_deadline = Some(seconds(400));
                    if policy == rolling::model::spec::Policy::TrafficSplitting {
                        spec.traffic_steps = traffic_steps(&[(50, 20)]);
                    }
                    let case =
                        format!("{policy:?} {pacing:?} {name} {kind:?} unmanaged {unmanaged}");
                    let simulator = simulate(config);
                    let run = refuse(&simulator, spec.clone(), what, kind, [0, EVER]).await;
                    if run.report.outcome == Outcome::Succeeded {
                        // This rollout makes no such call.
                        continue;
                    }
                    tried.push(name);
                    assert_told(&run.report, &case);
                    let back = |it: &rolling::model::event::Envelope| {
                        matches!(it.event, Event::RollingBack { .. })
                    };
                    assert!(!run.events.iter().any(back), "{case}");
                    let launched = simulator.launched();
                    assert_eq!(launched, 8, "{case}");
                    if !unmanaged {
                        assert_all_serve(&simulator, "v2", &case);
                    }
                    let again = roll(simulator.clone(), spec).await;
                    assert_eq!(
                        again.report.outcome,
                        Outcome::Succeeded,
                        "{case}: {:?}",
                        again.report
                    );
                    assert_eq!(simulator.launched(), launched, "{case}");
                    let look = look(&simulator);
                    assert!(look.record.is_empty(), "{case}: {:?}", look.record);
                    assert!(look.suspended.is_empty(), "{case}");
                    assert!(look.shifted.iter().flatten().all(|percent| *percent == 0), "{case}");
                }
            }
        }
    }
    for (name, _) in CLOSING {
        assert!(tried.contains(&name), "{name}");
    }
}
