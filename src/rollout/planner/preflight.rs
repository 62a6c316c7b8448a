//! What can be known beforehand that prevents a rollout from succeeding, or may.

use std::time::Duration;

use super::View;
use super::input::Input;
use crate::model::spec::{Policy, RollingDeployment};
use crate::rollout::serving::hook_told;

/// Something that prevents a rollout from succeeding, or may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preflight {
    /// Whether it certainly does.
    pub is_error: bool,
    /// The attribute at fault.
    pub attribute: &'static str,
    /// What is wrong, as a sentence.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

/// Returns everything that prevents a rollout of `input` from succeeding, whatever happens in it.
pub(crate) fn preflight(input: &Input<'_>) -> Vec<Preflight> {
    let Input { spec, target, .. } = *input;
    if View::new(input).window.size == 0 {
        return Vec::new();
    }
    let mut found: Vec<Preflight> = no_place(input).into_iter().collect();
    let registers = target.register();
    let launch = target.boot.unwrap_or_default() + registers;
    let limit = spec.health.healthy_timeout;
    if launch > limit {
        let boot = target.boot.map_or(String::new(), |boot| {
            format!("launches of this fleet take {}, and ", span(boot))
        });
        found.push(Preflight {
            // A load balancer may report a target as healthy for the first time sooner than that.
            is_error: target.boot.is_some_and(|boot| boot > limit),
            attribute: "health/healthy_timeout",
            message: format!(
                "instances may not become healthy within {}: {boot}the health check of the \
                 target groups can take {} to pass",
                span(limit),
                span(registers),
            ),
            remedy: format!(
                "set it above {}, or shorten the target group's health check interval or \
                 threshold",
                span(launch)
            ),
        });
    }
    found.extend(long_hook(input));
    let soak = spec.health.min_healthy_time;
    let drain = RollingDeployment::drain_deadline(input.drain());
    let deadline = spec.progress_deadline(input.drain());
    let step = drain.max(input.drain() + launch + soak);
    if deadline < step {
        found.push(Preflight {
            is_error: true,
            attribute: "progress_deadline",
            message: format!(
                "one batch takes up to {}, including {} of draining, but the rollout ends after {} \
                 without progress",
                span(step),
                span(input.drain()),
                span(deadline),
            ),
            remedy: format!(
                "set it above {}, leave it out, or shorten the deregistration delay",
                span(step)
            ),
        });
    }
    found
}

/// Finds a hook that may hold a launch for longer than it may take.
fn long_hook(input: &Input<'_>) -> Option<Preflight> {
    let Input { spec, target, .. } = *input;
    let limit = spec.health.healthy_timeout;
    let hook = target.hooks_of(true).max_by_key(|hook| hook.heartbeat)?;
    let is_ours = spec.completes_hooks || input.is_in_place();
    (!is_ours && hook.heartbeat > limit).then(|| Preflight {
        is_error: false,
        attribute: "health/healthy_timeout",
        message: format!(
            "{} may hold a launch for longer than the {} after which it counts as failed",
            hook_told(hook),
            span(limit)
        ),
        remedy: format!(
            "set it above {}, or make sure that the hook is completed within {}",
            span(hook.heartbeat),
            span(limit)
        ),
    })
}

/// Finds that no serving instance may ever be taken out: so many stay as they are without serving
/// that the floor is never exceeded.
pub(super) fn no_place(input: &Input<'_>) -> Option<Preflight> {
    let view = View::new(input);
    let (window, idle) = (view.window, view.stay_idle());
    let serve_at_most = (window.ceiling() as usize).saturating_sub(idle);
    let must_go = view.old().any(|member| member.serves);
    if idle == 0 || !must_go || serve_at_most > window.floor() as usize {
        return None;
    }
    let least = idle + 1;
    Some(Preflight {
        is_error: true,
        attribute: match input.spec.policy {
            Policy::RollingWithin { .. } => "max_unavailable",
            _ => "batch_size",
        },
        message: format!(
            "nothing can ever be replaced: {idle} of {} instances do not serve and are left \
             alone, so that at most {serve_at_most} serve, and at least {} must",
            window.size,
            window.floor(),
        ),
        remedy: format!(
            "let at least {least} be unavailable at once, make the {idle} that do not serve \
             healthy, or no longer leave them alone"
        ),
    })
}

fn span(duration: Duration) -> String {
    humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
}
