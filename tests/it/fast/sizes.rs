//! Sizes that others set while a rollout is under way, at any time, live or after a restart: the
//! fleet ends with the size they set last, and nothing of ours takes more out of service than the
//! policy allows.
//!
//! `PROPTEST_CASES=20000 PROPTEST_RNG_SEED=1 cargo test --test it -- fast::sizes` runs many more.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use proptest::prelude::*;
use rolling::model::event::Outcome;
use rolling::model::spec::{BatchSize, Bound, OnFailure, Pacing, Policy, RollingDeployment};
use rolling::record::{Phase, ROLLOUT, Record};
use rolling_provider::{Action, Done, Fleet, Instance, Observation, ProviderError, Timestamp};
use rolling_simulator::{EPOCH, FleetConfig, Intervention, Simulator, VirtualClock};
use rolling_testing::{Wrapper, impl_fleet};

use super::properties::{Case, behaviours, block_on, good, look, settings};
use crate::test_fleets::{Dies, Mortal, Stale, Witness, count_serving};
use crate::world::{Told, fleet, roll, seconds, simulate, spec};

/// What somebody else sets.
#[derive(Clone, Copy, Debug)]
enum Write {
    /// The size the fleet is meant to have.
    Meant,
    /// What it is with surge.
    WithSurge,
    Size(u32),
    Min(u32),
    Max(u32),
}

/// Writes by others: in which second, and what, one after the other.
type Writes = Vec<(u64, Vec<Write>)>;

/// Sees what others have set, by looking whenever the engine does, and tells the witness.
struct Scribe {
    inner: Arc<Witness>,
    history: Mutex<SizeHistory>,
    /// What is set right before the look of this number.
    at_look: Mutex<Option<(u32, Arc<Simulator>, Write)>>,
    looks: AtomicU32,
}

#[derive(Default)]
struct SizeHistory {
    /// The desired size after the last look or call.
    last: u32,
    /// What the fleet is meant to have.
    meant: u32,
    /// The maximum after the last look or call, and the one that others want.
    last_max: u32,
    max: u32,
    /// What else it may be meant to have, as nobody can know: a size that was set to just what a
    /// rollout had it at or was about to, or that was overwritten before anybody saw it.
    or: Option<u32>,
    /// The desired size that a rollout set last, when, and what it was meant to be then.
    ours: Option<(u32, Timestamp, u32)>,
    /// Within which time the engine looks.
    looks: Duration,
    /// Whether an engine takes over and has done nothing yet.
    takes_over: bool,
    /// Sizes that held before, and until when. For half a minute they may be late looks to the
    /// engine.
    believed_until: BTreeMap<u32, Timestamp>,
    /// What it was meant to have before one of those was set, and until when that may be believed.
    before: Option<(u32, Timestamp)>,
}

/// How long a look may be late.
const LATE: Duration = Duration::from_secs(30);

impl SizeHistory {
    /// The size becomes another, which the engine knows of from `known` on.
    fn change(&mut self, desired: u32, known: Timestamp) {
        if desired != self.last {
            self.believed_until.insert(self.last, known);
            self.last = desired;
        }
    }

    /// The same where others set it. One that held a moment ago may be a late look to the engine, which
    /// takes the one before for held until it knows better.
    fn change_by_others(&mut self, desired: u32, at: Timestamp) {
        let believed = self.believed_until.get(&desired).map(|until| *until + LATE + self.looks);
        self.change(desired, believed.map_or(at, |believed| believed.max(at)));
    }
}

impl Scribe {
    fn new(inner: Arc<Witness>, looks: Duration) -> Arc<Self> {
        let meant = inner.size();
        let history = SizeHistory {
            last: meant,
            meant,
            last_max: meant,
            max: meant,
            ..SizeHistory::default()
        };
        let history = SizeHistory { looks, ..history };
        let history = Mutex::new(history);
        Arc::new(Self { inner, history, at_look: Mutex::default(), looks: AtomicU32::new(0) })
    }

    fn see(&self, look: &Observation) {
        let mut history = self.history.lock().expect("it");
        let Some(capacity) = look.capacity else { return };
        if capacity.desired != history.last {
            let until = history.believed_until.get(&capacity.desired).map(|until| *until + LATE);
            // What may be believed still goes on, where several such sizes were set.
            let still = history.before.filter(|(_, until)| look.at <= *until);
            let before = still.map_or(history.meant, |(size, _)| size.min(history.meant));
            history.before = until.map(|until| (before, until)).or(still);
            history.change_by_others(capacity.desired, look.at);
            // Back at what we had set, before the look between could be known for no late one.
            let ours = history
                .ours
                .filter(|(set, ..)| *set == capacity.desired)
                .filter(|(_, at, _)| look.at.since(*at) <= LATE + history.looks);
            (history.meant, history.or) = (capacity.desired, ours.map(|(.., meant)| meant));
        }
        history.before = history.before.filter(|(_, until)| look.at <= *until);
        if capacity.max != history.last_max {
            history.last_max = capacity.max;
            // Set to just what a rollout has it at, it is no change.
            let record = Record::from_tags(&look.record).ok().flatten();
            let ours = record.and_then(|record| record.max_before(capacity.max));
            history.max = ours.unwrap_or(capacity.max);
        }
        let least = capacity.min.min(capacity.desired);
        history.meant = history.meant.max(least);
        history.or = history.or.map(|or| or.max(least));
        let others = [history.or, history.before.map(|(size, _)| size)];
        let takes_over = history.takes_over;
        self.inner.resized(others.into_iter().flatten().fold(history.meant, u32::min));
        drop(history);
        if takes_over {
            self.take_for_ours(look);
        }
    }

    /// A new engine finds what is there: what looks like the work of the one before it is taken
    /// for that.
    fn hand_over(&self, look: &Observation) {
        self.history.lock().expect("it").takes_over = true;
        self.see(look);
    }

    fn take_for_ours(&self, look: &Observation) {
        let Ok(Some(record)) = Record::from_tags(&look.record) else { return };
        let more = look.desired().checked_sub(record.size);
        let gives_back = record.gives_back || record.phase != Phase::Rolling;
        let known = [Some(record.surge), Some(record.surge_before)].contains(&more);
        if known || (gives_back && more.is_some_and(|more| more <= record.surge)) {
            let mut history = self.history.lock().expect("it");
            history.or = Some(record.size.max(look.capacity.map_or(0, |capacity| capacity.min)));
        }
    }

    fn meant(&self) -> u32 {
        self.history.lock().expect("it").meant
    }

    fn is_meant(&self, size: u32) -> bool {
        let history = self.history.lock().expect("it");
        size == history.meant || Some(size) == history.or
    }
}

#[async_trait]
impl Wrapper for Scribe {
    fn inner(&self) -> &dyn Fleet {
        &*self.inner
    }

    async fn observe(&self) -> Result<Observation, ProviderError> {
        let number = self.looks.fetch_add(1, Ordering::Relaxed);
        let due = self.at_look.lock().expect("it").take_if(|(at, ..)| *at == number);
        if let Some((_, simulator, write)) = due {
            carry_out(&simulator, self.meant(), write);
        }
        let look = self.inner().observe().await?;
        self.see(&look);
        Ok(look)
    }

    async fn act(&self, action: &Action) -> Result<Done, ProviderError> {
        let before = self.inner().observe().await?.desired();
        let done = self.inner().act(action).await;
        let look = self.inner().observe().await?;
        let after = look.desired();
        let mut history = self.history.lock().expect("it");
        let is_lease =
            matches!(action, Action::WriteRecord { tags } if !tags.contains_key(ROLLOUT));
        history.takes_over &= is_lease;
        history.last_max = look.max();
        if before != history.last && after != before {
            match action {
                // The cloud's answer says what it was.
                Action::Terminate { .. } | Action::Detach { .. } => history.meant = before,
                // Overwritten between a look and a call: the cloud has no conditional write.
                _ => history.or = Some(before),
            }
        }
        if after != before {
            history.ours = Some((after, self.inner().clock().now(), history.meant));
            history.change(before, self.inner().clock().now());
            history.change(after, self.inner().clock().now());
        }
        done
    }
}

impl_fleet!(Scribe);

/// How it went.
struct RunEnd {
    told: Option<Told>,
    simulator: Arc<Simulator>,
    witness: Arc<Witness>,
    scribe: Arc<Scribe>,
    was_killed: bool,
}

fn carry_out(simulator: &Simulator, meant: u32, write: Write) {
    let now = look(simulator);
    let intervention = match write {
        Write::Meant => Intervention::Resize(meant),
        Write::WithSurge => Intervention::Resize(now.desired().max(meant)),
        Write::Size(size) => Intervention::Resize(size),
        Write::Min(min) => Intervention::Limit(Some(min), None),
        Write::Max(max) => Intervention::Limit(None, Some(max)),
    };
    simulator.intervene(intervention).expect("a size");
}

/// Runs `case` while others write; with `kill` the engine dies at that mutation, `meanwhile` is
/// written, and another engine goes on.
fn run(case: &Case, writes: &Writes, kill: Option<(u32, Dies)>, meanwhile: &[Write]) -> RunEnd {
    block_on(async {
        let clock = Arc::new(VirtualClock::new(EPOCH));
        let simulator = Arc::new(Simulator::in_memory(case.config.clone(), clock.clone()));
        let witness = Witness::new(simulator.clone(), case.spec.clone()).await;
        let scribe = Scribe::new(witness.clone(), case.spec.poll_interval);
        for (at, writes) in writes.clone() {
            let (simulator, scribe) = (simulator.clone(), scribe.clone());
            clock.at(EPOCH + seconds(at), move || {
                for write in writes {
                    carry_out(&simulator, scribe.meant(), write);
                }
            });
        }
        let stale = Stale::new(scribe.clone(), case.lag);
        let (at, dies) = kill.unwrap_or((0, Dies::Before));
        let mortal = Mortal::new(stale.clone(), at, dies);
        let first = mortal.survive(roll(mortal.clone(), case.spec.clone())).await;
        let was_killed = first.is_none();
        let told = match first {
            Some(told) => Some(told),
            None => {
                for write in meanwhile {
                    carry_out(&simulator, scribe.meant(), *write);
                }
                scribe.hand_over(&look(&simulator));
                Some(roll(stale, case.spec.clone()).await)
            }
        };
        RunEnd { told, simulator, witness, scribe, was_killed }
    })
}

/// The fleet is as others want it, and was never below what the policy allows by our doing.
fn holds(case: &Case, ended: &RunEnd) -> Result<(), TestCaseError> {
    let told = ended.told.as_ref().expect("an end");
    told.assert_looks_seldom(case.spec.poll_interval);
    let report = &told.report;
    let after = look(&ended.simulator);
    let what = || format!("{:?} of {:?}\n{:#?}", report.reason, report.outcome, after.capacity);
    prop_assert_eq!(ended.witness.broken(1), Vec::<String>::new());
    prop_assert_eq!(ended.witness.broken(5), Vec::<String>::new());
    let reason = report.reason.as_deref().unwrap_or_default();
    prop_assert!(!reason.contains("own check"), "{}", what());
    if case.config.bad_revisions.is_empty() {
        prop_assert_eq!(report.outcome, Outcome::Succeeded, "{}", what());
    }
    if report.outcome == Outcome::Paused {
        return Ok(());
    }
    let (size, meant) = (after.desired(), ended.scribe.meant());
    prop_assert!(ended.scribe.is_meant(size), "{} of {} in {}", size, meant, what());
    let max = ended.scribe.history.lock().expect("it").max.max(size);
    // One that was given back above a size that is lowered then, by an engine that dies, stays.
    let is_back = after.max() == max || (ended.was_killed && after.max() > max);
    prop_assert!(is_back, "{} in {}", max, what());
    if report.elapsed_ms == 0 {
        // The engine before had done all there was to do.
        return Ok(());
    }
    let live = after.instances.values().filter(|i| i.lifecycle.is_live()).count();
    prop_assert_eq!(live, size as usize, "{}", what());
    if report.outcome == Outcome::Succeeded {
        prop_assert_eq!(count_serving(&after), size as usize, "{}", what());
        let is_new = |i: &Instance| !i.lifecycle.is_live() || i.revision == Some("v2".into());
        prop_assert!(after.instances.values().all(is_new), "{}", what());
    }
    Ok(())
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        3 => Just(Write::Meant),
        1 => Just(Write::WithSurge),
        1 => Just(Write::Size(0)),
        3 => (0..=14u32).prop_map(Write::Size),
        1 => (0..=14u32).prop_map(Write::Min),
        1 => (0..=14u32).prop_map(Write::Max),
    ]
}

fn writes() -> impl Strategy<Value = Writes> {
    let some = proptest::collection::vec(write(), 1..=2);
    proptest::collection::vec((2..260u64, some), 1..=3)
}

/// Any fleet with a size, on which somebody else may put the oldest or the youngest at risk.
fn cases() -> impl Strategy<Value = Case> {
    (good(), any::<bool>(), proptest::option::weighted(0.25, behaviours())).prop_map(
        |(mut case, scales_in_newest, bad)| {
            case.config.unmanaged = false;
            case.config.scales_in_newest = scales_in_newest;
            case.spec.suspend_processes =
                super::properties::suspended(&mut case.config, case.spec.policy);
            if let Some(bad) = bad {
                case.config.bad_revisions.insert("v2".into(), bad);
                case.spec.on_failure = OnFailure::Rollback;
                case.spec.health.healthy_timeout = seconds(300);
            }
            case
        },
    )
}

proptest! {
    #![proptest_config(many())]

    #[test]
    fn p21_a_fleet_ends_with_the_size_that_others_set_last(case in cases(), writes in writes()) {
        holds(&case, &run(&case, &writes, None, &[]))?;
    }

    #[test]
    fn the_same_when_another_engine_goes_on(
        case in cases(), writes in writes(), at in 1..60u32, after in any::<bool>(),
        meanwhile in proptest::option::of(write()),
    ) {
        let dies = if after { Dies::After } else { Dies::Before };
        let meanwhile: Vec<Write> = meanwhile.into_iter().collect();
        holds(&case, &run(&case, &writes, Some((at, dies)), &meanwhile))?;
    }
}

/// Four instances whose surge and batches take a few ticks each.
fn four(policy: Policy, pacing: Pacing) -> Case {
    let config = FleetConfig { instances: 4, ..fleet() };
    let mut spec = RollingDeployment { pacing, ..spec(policy) };
    spec.poll_interval = seconds(5);
    Case { config, spec, lag: Duration::ZERO }
}

#[test]
fn whatever_is_set_right_before_any_look_is_what_the_fleet_ends_with() {
    let surge = Policy::RollingWithin { surge: Bound::Count(2), unavailable: Bound::Count(0) };
    let stories = [
        four(Policy::RollingWithAdditionalBatch(BatchSize::Fixed(3)), Pacing::Batch),
        four(Policy::Immutable, Pacing::Batch),
        four(surge, Pacing::Continuous),
    ];
    let writes = [
        Write::Meant,
        Write::Size(0),
        Write::Size(3),
        Write::Size(5),
        Write::Size(9),
        Write::Min(5),
        Write::Max(3),
    ];
    let mut runs = 0;
    for case in &stories {
        for write in writes {
            for number in 1.. {
                let ended = run_at_look(case, number, write);
                // What is set when the record is erased is of nobody's concern here.
                if ended.scribe.looks.load(Ordering::Relaxed) < number + 2 {
                    break;
                }
                if let Err(error) = holds(case, &ended) {
                    panic!("{:?}: {write:?} before look {number}: {error}", case.spec.policy);
                }
                runs += 1;
            }
        }
    }
    assert!(runs > 200, "{runs} runs");
}

fn run_at_look(case: &Case, number: u32, write: Write) -> RunEnd {
    block_on(async {
        let simulator = simulate(case.config.clone());
        let witness = Witness::new(simulator.clone(), case.spec.clone()).await;
        let scribe = Scribe::new(witness.clone(), case.spec.poll_interval);
        *scribe.at_look.lock().expect("it") = Some((number, simulator.clone(), write));
        let told = Some(roll(scribe.clone(), case.spec.clone()).await);
        RunEnd { told, simulator, witness, scribe, was_killed: false }
    })
}

/// A thousand of each in the gate.
fn many() -> ProptestConfig {
    let settings = settings();
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    ProptestConfig { cases: if asked { settings.cases } else { 1000 }, ..settings }
}
