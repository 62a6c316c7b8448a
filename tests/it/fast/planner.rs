//! The planner alone, on fleets that are not as they should be.

use std::collections::{BTreeMap, BTreeSet};

use rolling::model::spec::{BatchSize, Policy, RollingDeployment};
use rolling::model::wait::WaitKind;
use rolling::record::{Borrowed, Phase, Record};
use rolling::rollout::planner::{self, Input, Plan, Verdict};
use rolling::rollout::state::RolloutState;
use rolling_provider::{
    Action, Capacity, Done, Instance, InstanceId, Lifecycle, Observation, Revision, Tags, Target,
    TargetGroup, TargetHealth, TargetState, Timestamp,
};

use crate::world::{seconds, spec};

pub const NOW: Timestamp = Timestamp(1_000_000_000);

pub fn target() -> Target {
    Target {
        target_groups: vec![TargetGroup {
            id: "web".into(),
            name: "web".into(),
            drain: seconds(20),
            register: seconds(10),
            slow_start: seconds(0),
            stops_routing: seconds(0),
            warnings: Vec::new(),
        }],
        ..Target::new("web", "web", "fleet", "v2".into())
    }
}

pub fn instance(revision: &str, zone: &str, state: TargetState, age: u64) -> Instance {
    let health = TargetHealth { state, reason: None, description: None };
    Instance {
        zone: zone.into(),
        launched_at: Some(Timestamp(NOW.0 - age * 1000)),
        targets: BTreeMap::from([("web".into(), health)]),
        ..Instance::serving(Some(revision.into()), [])
    }
}

/// Ten instances of v1 in zone a that serve, the one with the highest number the oldest.
fn ten() -> BTreeMap<InstanceId, Instance> {
    (0..10)
        .map(|n| {
            let id = InstanceId::new(format!("i-{n}"));
            (id, instance("v1", "a", TargetState::Healthy, 10_000 + n))
        })
        .collect()
}

fn idle(instances: &mut BTreeMap<InstanceId, Instance>, ids: &[&str]) {
    for id in ids {
        let instance = instances.get_mut(&InstanceId::new(*id)).expect("an instance");
        instance.targets.get_mut(&"web".into()).expect("a target").state = TargetState::Unhealthy;
    }
}

pub fn look(instances: BTreeMap<InstanceId, Instance>) -> Observation {
    Observation {
        controller: None,
        shifted: None,
        at: NOW,
        capacity: Some(Capacity { min: 0, max: 20, desired: 10, units: None }),
        instances,
        template: Some("v2".into()),
        reserve: BTreeMap::new(),
        suspended: BTreeSet::from(["AZRebalance".into()]),
        record: Tags::new(),
    }
}

pub fn record() -> Record {
    Record {
        id: "test".into(),
        generation: 1,
        to: "v2".into(),
        restart: None,
        zone: None,
        started: NOW,
        phase: Phase::Rolling,
        rolls_back: false,
        fault: false,
        size: 10,
        surge: 0,
        surge_before: 0,
        gives_back: false,
        promoted: false,
        released: None,
        failures: 0,
        last_failed: None,
        retained_failed: 0,
        last_retained: None,
        checkpoints_passed: 0,
        reached: None,
        victims: Default::default(),
        hooks: None,
        paused: seconds(0),
        pause_changed_at: None,
        acknowledged: Vec::new(),
        owned: false,
        borrowed: Borrowed {
            controller: None,
            shifts: None,
            template: Some("v1".into()),
            max: None,
            suspended: BTreeSet::from(["AZRebalance".into()]),
        },
        completed: Some(Revision::new("v1")),
        reason: None,
    }
}

fn by_three() -> RollingDeployment {
    spec(Policy::Rolling(BatchSize::Fixed(3)))
}

/// Plans one tick of a rollout that has just begun, and sees that the check agrees.
pub fn planned(look: &Observation, spec: &RollingDeployment) -> Plan {
    let target = target();
    let mut progress = RolloutState::new("test", NOW);
    progress.observe(&target, &spec.health, look);
    progress.record = Some(Record { size: progress.size(look), ..record() });
    let input = Input { spec, target: &target, look, state: &progress, now: NOW };
    let plan = planner::plan(&input);
    assert_eq!(planner::check::violations(&input, &plan), Vec::<String>::new());
    plan
}

fn victims(instances: BTreeMap<InstanceId, Instance>) -> Vec<String> {
    let plan = planned(&look(instances), &by_three());
    let begins = plan.begins.expect("a batch");
    begins.victims.iter().map(ToString::to_string).collect()
}

#[test]
fn a_size_that_we_wrote_counts_while_looks_do_not_show_it_yet() {
    let (target, health) = (target(), by_three().health);
    let before = look(ten());
    let mut progress = RolloutState::new("test", NOW);
    progress.observe(&target, &health, &before);
    let three_more = Action::SetCapacity { desired: Some(13), max: None };
    progress.accepted(&three_more, Done::default(), NOW);
    let late = Observation { at: NOW + seconds(5), ..before };
    progress.observe(&target, &health, &late);
    assert_eq!((progress.desired(&late), progress.size(&late)), (13, 10));
}

#[test]
fn the_oldest_go_first() {
    assert_eq!(victims(ten()), ["i-7", "i-8", "i-9"]);
}

#[test]
fn a_batch_is_spread_over_zones() {
    let mut instances = ten();
    for (id, zone) in [("i-0", "b"), ("i-1", "b"), ("i-2", "c")] {
        instances.get_mut(&InstanceId::new(id)).expect("an instance").zone = zone.into();
    }
    // The oldest of each zone.
    assert_eq!(victims(instances), ["i-1", "i-2", "i-9"]);
}

#[test]
fn instances_that_do_not_serve_go_before_those_that_do() {
    let mut instances = ten();
    idle(&mut instances, &["i-0", "i-1"]);
    assert_eq!(victims(instances), ["i-0", "i-1", "i-9"]);
}

#[test]
fn where_fewer_serve_than_the_floor_only_idle_ones_go() {
    let mut instances = ten();
    idle(&mut instances, &["i-0", "i-1", "i-2", "i-3"]);
    assert_eq!(victims(instances), ["i-1", "i-2", "i-3"]);
}

#[test]
fn the_floor_leaves_one_to_take_where_eight_of_ten_serve() {
    let mut instances = ten();
    idle(&mut instances, &["i-0", "i-1"]);
    for id in ["i-0", "i-1"] {
        // Idle, but to be ignored.
        instances.get_mut(&InstanceId::new(id)).expect("an instance").ignored = true;
    }
    assert_eq!(victims(instances), ["i-9"]);
}

#[test]
fn at_the_floor_nobody_goes_and_the_plan_says_why() {
    let mut instances = ten();
    idle(&mut instances, &["i-0", "i-1", "i-2"]);
    for id in ["i-0", "i-1", "i-2"] {
        instances.get_mut(&InstanceId::new(id)).expect("an instance").ignored = true;
    }
    let plan = planned(&look(instances), &by_three());
    assert_eq!(plan.begins, None);
    assert_eq!(plan.actions, []);
    let message: Vec<String> = plan.waiting_on.iter().map(ToString::to_string).collect();
    assert_eq!(
        message,
        [
            "enough instances to serve (7 serve, and at least 7 must: none may go until another one serves)"
        ]
    );
}

#[test]
fn the_same_input_gives_the_same_plan() {
    let look = look(ten());
    assert_eq!(planned(&look, &by_three()), planned(&look, &by_three()));
}

#[test]
fn a_fleet_that_runs_the_revision_and_borrows_nothing_is_converged() {
    let target = target();
    let spec = by_three();
    let fleet: BTreeMap<InstanceId, Instance> = (0..3)
        .map(|n| {
            (InstanceId::new(format!("i-{n}")), instance("v2", "a", TargetState::Healthy, 100))
        })
        .collect();
    let look = look(fleet);
    let mut progress = RolloutState::new("test", NOW);
    progress.observe(&target, &spec.health, &look);
    let input = Input { spec: &spec, target: &target, look: &look, state: &progress, now: NOW };
    assert_eq!(planner::plan(&input).verdict, Verdict::Converged);
}

#[test]
fn the_check_refuses_what_breaks_a_promise() {
    use rolling_provider::Action;
    let target = target();
    let spec = by_three();
    let look = look(ten());
    let mut progress = RolloutState::new("test", NOW);
    progress.observe(&target, &spec.health, &look);
    let input = Input { spec: &spec, target: &target, look: &look, state: &progress, now: NOW };
    let good = planner::plan(&input);
    let refused_by_check = |action: Action| {
        let mut plan = good.clone();
        plan.actions.iter_mut().for_each(|step| step.action = action.clone());
        planner::check::violations(&input, &plan).join("; ")
    };
    let deregister = |ids: &[&str]| Action::Deregister {
        target_group: "web".into(),
        instances: ids.iter().map(|id| InstanceId::new(*id)).collect(),
    };
    let terminate = Action::Terminate { instance: "i-0".into(), decrement: false };
    assert!(refused_by_check(terminate).contains("before it has drained"));
    assert!(refused_by_check(deregister(&["i-0"])).contains("before the record"));
    assert!(
        refused_by_check(deregister(&["i-0", "i-1", "i-2", "i-3"]))
            .contains("below the floor of 7")
    );
    assert!(refused_by_check(deregister(&["i-x"])).contains("not an instance of this fleet"));
    let shrink = Action::SetCapacity { desired: Some(9), max: None };
    assert!(refused_by_check(shrink).contains("set the size to 9 and cost some of 10 instances"));
    let grow = Action::SetCapacity { desired: Some(11), max: None };
    assert!(refused_by_check(grow).contains("above the ceiling of 10"));
}

#[test]
fn surplus_that_somebody_protects_is_not_given_back() {
    let mut spec = spec(Policy::RollingWithAdditionalBatch(BatchSize::Fixed(1)));
    spec.health.min_healthy_time = seconds(0);
    // All are new, and one more than the fleet had; the youngest would go.
    let mut instances: BTreeMap<InstanceId, Instance> = (0..11u64)
        .map(|n| {
            let id = InstanceId::new(format!("i-{n:02}"));
            (id, instance("v2", "a", TargetState::Healthy, 100 + n))
        })
        .collect();
    let goes = |instances: &BTreeMap<InstanceId, Instance>| {
        let mut look = look(instances.clone());
        look.capacity = Some(Capacity { min: 0, max: 20, desired: 11, units: None });
        let target = target();
        let mut progress = RolloutState::new("test", NOW);
        progress.record = Some(Record { size: 10, surge: 1, ..record() });
        progress.observe(&target, &spec.health, &look);
        let input = Input { spec: &spec, target: &target, look: &look, state: &progress, now: NOW };
        let plan = planner::plan(&input);
        assert_eq!(planner::check::violations(&input, &plan), Vec::<String>::new());
        plan.begins.expect("surplus").victims.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(goes(&instances), ["i-00"]);
    instances.get_mut(&InstanceId::new("i-00")).expect("the youngest").protected = true;
    assert_eq!(goes(&instances), ["i-01"]);
}

#[test]
fn warnings_about_long_rollouts_are_given_for_no_shorter_ones() {
    let reply = [(seconds(20), "ends soon"), (seconds(36_000), "costs")];
    let reply = reply.map(|(limit, message)| (limit, message.to_owned())).to_vec();
    let (spec, target) = (by_three(), Target { warnings_of_long: reply, ..target() });
    let preview = |look: &Observation| {
        let mut progress = RolloutState::new("test", NOW);
        progress.observe(&target, &spec.health, look);
        let input = Input { spec: &spec, target: &target, look, state: &progress, now: NOW };
        planner::preview(&input).warnings
    };
    let warnings = preview(&look(ten()));
    assert!(warnings.contains(&"ends soon".to_owned()), "{warnings:?}");
    assert!(!warnings.contains(&"costs".to_owned()), "{warnings:?}");
    let mut done = look(ten());
    done.instances.values_mut().for_each(|instance| instance.revision = Some("v2".into()));
    assert_eq!(preview(&done), Vec::<String>::new(), "nothing is rolled");
}

#[test]
fn a_hook_that_somebody_adds_meanwhile_is_waited_for() {
    for (in_hook, begins) in [(false, true), (true, false)] {
        let mut instances = ten();
        let gone = instance("v1", "a", TargetState::Unused, 10_100);
        let gone =
            Instance { lifecycle: Lifecycle::Terminating, in_lifecycle_hook: in_hook, ..gone };
        instances.insert("i-gone".into(), gone);
        let plan = planned(&look(instances), &by_three());
        assert_eq!(plan.begins.is_some(), begins, "{plan:?}");
        let waits = plan.waiting_on.iter().any(|wait| wait.kind == WaitKind::Termination);
        assert_eq!(waits, !begins, "{plan:?}");
    }
}
