//! One tick of a rollout.

use super::input::Input;
use super::{Plan, Step, View, controller, gate, halt, hook, launch, roll, stop_conditions};

/// Plans one tick.
pub fn plan(input: &Input<'_>) -> Plan {
    let view = View::new(input);
    let halt = input.state.direction.halt.as_ref();
    let mut plan = match (&input.look.controller, halt) {
        (Some(status), _) => controller::plan(input, &view, status),
        (None, Some(halt)) => match stop_conditions::apply_command(input) {
            Some(verdict) => Plan { verdict, ..Plan::waiting() },
            None => halt::plan(input, &view, halt),
        },
        (None, None) => roll::plan(input, &view),
    };
    hook::keep_running(input, &mut plan);
    gate::watch_beside_hook(input, &mut plan);
    plan
}

/// Removes everything that an ended rollout left on the target.
pub(crate) fn erase(input: &Input<'_>) -> Vec<Step> {
    match &input.state.record {
        Some(record) => launch::erase(input, record),
        None => Vec::new(),
    }
}
