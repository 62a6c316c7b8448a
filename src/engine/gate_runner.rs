//! Checks the gates in the background, so that the engine renews the lease and obeys commands
//! meanwhile.

use std::sync::Arc;

use rolling_provider::{Alarm, Clock, Fleet};
use tokio::sync::Notify;

use super::background::{Background, LastTry};
use super::probe::{self, Context};
use super::retry::Retry;
use crate::model::spec::Gates;
use crate::rollout::gate_failure::GateFailure;
use crate::rollout::gates::GateResult;
use crate::rollout::planner::Ask;

/// Asks one question at a time.
pub(super) struct GateRunner {
    fleet: Arc<dyn Fleet>,
    clock: Arc<dyn Clock>,
    questions: Background<Ask, Vec<GateResult>>,
}

impl GateRunner {
    /// Returns a runner that asks nothing yet, and notifies `answered` when an answer is there.
    pub(super) fn new(fleet: Arc<dyn Fleet>, clock: Arc<dyn Clock>, answered: Arc<Notify>) -> Self {
        Self { fleet, clock, questions: Background::new(answered) }
    }

    /// The question that is being asked.
    pub(super) fn asks(&self) -> Option<Ask> {
        self.questions.running().copied()
    }

    /// Begins to ask `gates`.
    pub(super) fn ask(&mut self, ask: Ask, gates: Gates, context: Context) {
        let (fleet, clock) = (Arc::clone(&self.fleet), Arc::clone(&self.clock));
        let probes = ask.question.probes;
        self.questions.begin(ask, |last_try| async move {
            ask_all(&*fleet, &clock, &gates, probes, &context, &last_try).await
        });
    }

    /// Returns what the last try of a gate came to that is being asked, if it failed.
    pub(super) fn last_try(&self) -> Option<String> {
        self.questions.last_try()
    }

    /// Returns the answers, if they are there. The question is over then.
    pub(super) fn answers(&mut self) -> Option<Vec<GateResult>> {
        let nothing =
            || vec![GateResult { gate: "gates".into(), message: Err(GateFailure::NoAnswer) }];
        self.questions.answer().map(|answers| answers.unwrap_or_else(nothing))
    }

    /// Stops asking.
    pub(super) fn stop(&mut self) {
        self.questions.stop();
    }
}

/// Checks one gate after the other, up to the first that does not pass.
async fn ask_all(
    fleet: &dyn Fleet,
    clock: &Arc<dyn Clock>,
    gates: &Gates,
    probes: bool,
    context: &Context,
    last_try: &LastTry,
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
        let message = probe::attempt(probe, context, clock, last_try).await;
        all.push(GateResult { gate: probe.to_string(), message });
    }
    all
}

async fn read_alarms(
    fleet: &dyn Fleet,
    clock: &Arc<dyn Clock>,
    gates: &Gates,
) -> Result<String, GateFailure> {
    let mut retry = Retry::new(0.0).since(clock.now());
    loop {
        let error = match fleet.alarms(&gates.alarms).await {
            Ok(alarms) => return judge(alarms),
            Err(error) => error,
        };
        let pause = retry.failed(clock.now(), Gates::ALARMS_WITHIN);
        let Some(pause) = pause.filter(|_| error.is_retryable()) else {
            return Err(GateFailure::AlarmsUnreadable(error));
        };
        clock.sleep(pause).await;
    }
}

fn judge(alarms: Vec<Alarm>) -> Result<String, GateFailure> {
    let raised: Vec<Alarm> = alarms.into_iter().filter(|alarm| alarm.raised).collect();
    if raised.is_empty() {
        Ok("none is in ALARM".into())
    } else {
        Err(GateFailure::AlarmsRaised(raised))
    }
}
