//! What others set, and which size the fleet is meant to have because of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rolling::record::{Phase, ROLLOUT, Record};
use rolling_provider::{Action, Done, Fleet, Observation, ProviderError, Timestamp};
use rolling_simulator::{Intervention, Simulator};
use rolling_testing::{Wrapper, impl_fleet};

use crate::fast::properties::look;
use crate::test_fleets::Witness;

/// What others set.
#[derive(Clone, Copy, Debug)]
pub enum Write {
    /// The size the fleet is meant to have.
    Meant,
    /// The current size, surge included.
    WithSurge,
    Size(u32),
    Min(u32),
    Max(u32),
}

/// Finds out what others have set, by looking whenever the engine does, and tells the witness.
pub struct Scribe {
    inner: Arc<Witness>,
    history: Mutex<SizeHistory>,
    /// What is set right before the look of this number.
    pub at_look: Mutex<Option<(u32, Arc<Simulator>, Write)>>,
    pub looks: AtomicU32,
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
    /// Another size that it may be meant to have, as nobody can know: one that is just what a
    /// rollout had set or was about to set, or one that was overwritten before anybody saw it.
    or: Option<u32>,
    /// The desired size that a rollout set last, when, and the size that was meant then.
    ours: Option<(u32, Timestamp, u32)>,
    /// The longest time between two looks of the engine.
    looks: Duration,
    /// Whether an engine takes over and has done nothing yet.
    takes_over: bool,
    /// Sizes that held before, and until when. For half a minute the engine may take them for late
    /// looks.
    believed_until: BTreeMap<u32, Timestamp>,
    /// The size that was meant before one of those was set, and until when the engine may believe
    /// it.
    before: Option<(u32, Timestamp)>,
}

/// How long a look may be late.
const LATE: Duration = Duration::from_secs(30);

impl SizeHistory {
    /// The size changes, which the engine knows from `known` on.
    fn change(&mut self, desired: u32, known: Timestamp) {
        if desired != self.last {
            self.believed_until.insert(self.last, known);
            self.last = desired;
        }
    }

    /// The same where others set it. The engine may take a size that held a moment ago for a late
    /// look, and then believes the one before until it knows better.
    fn change_by_others(&mut self, desired: u32, at: Timestamp) {
        let believed = self.believed_until.get(&desired).map(|until| *until + LATE + self.looks);
        self.change(desired, believed.map_or(at, |believed| believed.max(at)));
    }
}

impl Scribe {
    pub fn new(inner: Arc<Witness>, looks: Duration) -> Arc<Self> {
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
            // An older belief goes on, where several such sizes were set.
            let still = history.before.filter(|(_, until)| look.at <= *until);
            let before = still.map_or(history.meant, |(size, _)| size.min(history.meant));
            history.before = until.map(|until| (before, until)).or(still);
            history.change_by_others(capacity.desired, look.at);
            // Back at what the rollout had set, before the look in between was known not to be
            // late.
            let ours = history
                .ours
                .filter(|(set, ..)| *set == capacity.desired)
                .filter(|(_, at, _)| look.at.since(*at) <= LATE + history.looks);
            (history.meant, history.or) = (capacity.desired, ours.map(|(.., meant)| meant));
        }
        history.before = history.before.filter(|(_, until)| look.at <= *until);
        if capacity.max != history.last_max {
            history.last_max = capacity.max;
            // A maximum that is just what a rollout has set is no change.
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

    /// A new engine takes over, and takes what looks like the work of the one before for that.
    pub fn hand_over(&self, look: &Observation) {
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

    pub fn meant(&self) -> u32 {
        self.history.lock().expect("it").meant
    }

    /// The maximum that others want.
    pub fn max(&self) -> u32 {
        self.history.lock().expect("it").max
    }

    pub fn is_meant(&self, size: u32) -> bool {
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
                // The cloud's answer has the size before.
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

pub fn carry_out(simulator: &Simulator, meant: u32, write: Write) {
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
