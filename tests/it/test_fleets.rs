//! The fleets that tests put around a simulator: those of `rolling-testing`, and its witness
//! together with the judge of the engine's promises.

use std::sync::{Arc, Mutex};

use rolling::model::spec::RollingDeployment;
use rolling_provider::{Fleet, InstanceId, Timestamp};
use rolling_simulator::Simulator;
use rolling_testing::{Wrapper, impl_fleet};

use crate::judge::Judge;
pub use crate::judge::{SECOND, count_serving, serves};
pub use rolling_testing::{Dies, Flaky, GuardedFleet, Mortal, Stale, VersionedRecord};

/// Is between an engine and a simulator, and judges every action by what is true, not by what the
/// engine was shown.
pub struct Witness {
    witness: Arc<rolling_testing::Witness>,
    /// The judge, as it is before the first call.
    judge: Judge,
    /// Sizes that others gave the fleet, each with the number of calls before it.
    sizes: Mutex<Vec<(usize, u32)>>,
    /// Instances whose hook is over, each with the number of calls before that.
    prepared: Mutex<Vec<(usize, InstanceId)>>,
}

impl Witness {
    pub async fn new(inner: Arc<Simulator>, spec: RollingDeployment) -> Arc<Self> {
        let look = inner.observe().await.expect("observe");
        let target = inner.resolve().await.expect("resolve");
        let judge = Judge::new(spec, &target, &look);
        let simulator = inner.clone();
        let witness = rolling_testing::Witness::with_truth(inner, move || simulator.truth());
        Arc::new(Self { witness, judge, sizes: Mutex::default(), prepared: Mutex::default() })
    }

    /// Notes that somebody gives the fleet another size.
    pub fn resized(&self, size: u32) {
        if size != self.size() {
            self.sizes.lock().expect("sizes").push((self.witness.calls().len(), size));
        }
    }

    /// Notes that the hook before these instances are deregistered is over.
    pub fn prepared(&self, instances: impl IntoIterator<Item = InstanceId>) {
        let calls = self.witness.calls().len();
        let noted = instances.into_iter().map(|id| (calls, id));
        self.prepared.lock().expect("hooks").extend(noted);
    }

    /// The size the fleet is meant to have.
    pub fn size(&self) -> u32 {
        self.sizes.lock().expect("sizes").last().map_or(self.judge.size, |(_, size)| *size)
    }

    /// Returns how the promise with this number was broken; 0 for all.
    pub fn broken(&self, number: u8) -> Vec<String> {
        let sizes = self.sizes.lock().expect("sizes");
        let mut sizes = sizes.iter().peekable();
        let prepared = self.prepared.lock().expect("hooks");
        let mut prepared = prepared.iter().peekable();
        let mut judge = self.judge.clone();
        for (index, call) in self.witness.calls().iter().enumerate() {
            while let Some((_, size)) = sizes.next_if(|(calls, _)| *calls <= index) {
                judge.size = *size;
            }
            while let Some((_, id)) = prepared.next_if(|(calls, _)| *calls <= index) {
                judge.prepared.insert(id.clone());
            }
            judge.judge(call);
        }
        let broken = judge.broken.iter().filter(|(n, _)| number == 0 || *n == number);
        broken.map(|(n, message)| format!("{n}: {message}")).collect()
    }

    /// Returns the times of the looks.
    pub fn looks(&self) -> Vec<Timestamp> {
        self.witness.looks()
    }
}

impl Wrapper for Witness {
    fn inner(&self) -> &dyn Fleet {
        &*self.witness
    }
}

impl_fleet!(Witness);

/// Returns the value of a future that never waits, as the simulator's.
pub fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let waker = std::task::Waker::noop();
    match future.as_mut().poll(&mut std::task::Context::from_waker(waker)) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("the simulator waits"),
    }
}
