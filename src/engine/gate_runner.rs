//! Asks the gates in the background.

use std::sync::{Arc, Mutex};

use rolling_provider::{Alarm, Clock, Fleet, ProviderError};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::engine::probe::{self, Context};
use crate::engine::schedule::Schedule;
use crate::model::spec::Gates;
use crate::rollout::planner::Ask;

/// The answer of one gate.
pub(super) struct GateResult {
    pub(super) gate: String,
    pub(super) message: Result<String, String>,
}

/// The question that is being asked.
#[derive(Default)]
pub(super) struct GateRunner {
    pub(super) running: Option<(Ask, JoinHandle<()>, Answer)>,
    /// Notified when an answer is there.
    pub(super) answered: Arc<Notify>,
}

pub(super) type Answer = Arc<Mutex<Option<Vec<GateResult>>>>;

impl Drop for GateRunner {
    fn drop(&mut self) {
        self.stop();
    }
}

impl GateRunner {
    pub(super) fn stop(&mut self) {
        if let Some((_, task, _)) = self.running.take() {
            task.abort();
        }
    }
}

/// Asks one gate after the other, up to the first that does not pass.
pub(super) async fn ask_all(
    fleet: &dyn Fleet,
    clock: &Arc<dyn Clock>,
    gates: &Gates,
    probes: bool,
    context: &Context,
) -> Vec<GateResult> {
    let mut all = Vec::new();
    if !gates.alarms.is_empty() {
        let message = read_alarms(fleet, clock, gates).await;
        all.push(GateResult { gate: gates.alarm_names(), message });
    }
    for probe in gates.probes.iter().filter(|_| probes) {
        if all.last().is_some_and(|last| last.message.is_err()) {
            break;
        }
        let message = probe::attempt(probe, context, clock).await;
        all.push(GateResult { gate: probe.to_string(), message });
    }
    all
}

async fn read_alarms(
    fleet: &dyn Fleet,
    clock: &Arc<dyn Clock>,
    gates: &Gates,
) -> Result<String, String> {
    let mut schedule = Schedule::retrying(0.0);
    let limit = clock.now() + Gates::ALARMS_WITHIN;
    loop {
        let error: ProviderError = match fleet.alarms(&gates.alarms).await {
            Ok(alarms) => return judge(&alarms),
            Err(error) => error,
        };
        if !error.is_retryable() || clock.now() >= limit {
            return Err(format!("they cannot be read: {error}"));
        }
        clock.sleep(schedule.pause()).await;
    }
}

fn judge(alarms: &[Alarm]) -> Result<String, String> {
    let raised: Vec<String> = alarms.iter().filter(|alarm| alarm.raised).map(message).collect();
    if raised.is_empty() { Ok("none is raised".into()) } else { Err(raised.join("; ")) }
}

/// Says that an alarm is raised.
pub(super) fn message(alarm: &Alarm) -> String {
    let reason = alarm.reason.trim();
    if reason.is_empty() {
        format!("{} is raised", alarm.name)
    } else {
        format!("{} is raised: {reason}", alarm.name)
    }
}
