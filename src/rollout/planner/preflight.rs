//! Refusals and warnings before anything changes: what prevents a rollout from succeeding for certain
//! is refused, and what may prevent it is warned of.

use std::time::Duration;

use rolling_provider::TargetGroup;

use super::View;
use super::deadlines::SET_ASIDE_FOR;
use super::failure::some_of;
use super::input::Input;
use crate::model::spec::{BatchSize, Bound, Policy, RollingDeployment, SetAside};
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

/// Returns everything that prevents a rollout of `input` from succeeding, or may.
pub(crate) fn preflight(input: &Input<'_>) -> Vec<Preflight> {
    if View::new(input).window.size == 0 {
        return Vec::new();
    }
    no_place(input)
        .into_iter()
        .chain(waits_for_protected(input))
        .chain(all_protected(input))
        .chain(protects_new(input))
        .chain(slow_launch(input))
        .chain(long_hook(input))
        .chain(short_drain(input))
        .chain(short_deadline(input))
        .chain(threshold_out_of_reach(input))
        .collect()
}

/// Returns what makes it impossible for a rollout to begin, or to end, whatever happens in it.
pub(crate) fn impossible(input: &Input<'_>) -> Option<Preflight> {
    preflight(input).into_iter().find(|found| found.is_error)
}

/// Finds that launches may take longer than they may. Past launches show only what they took with
/// another revision, so this is certain only where they alone take longer: a rollback, too, launches
/// that other revision.
fn slow_launch(input: &Input<'_>) -> Option<Preflight> {
    let Input { spec, target, .. } = *input;
    let registers = target.register();
    let launch = target.boot.unwrap_or_default() + registers;
    let limit = spec.health.healthy_timeout;
    if let Some(boot) = target.boot.filter(|boot| *boot > limit) {
        return Some(Preflight {
            is_error: true,
            attribute: "health/healthy_timeout",
            message: format!(
                "launches of this fleet take {}, and an instance counts as failed {} after its \
                 launch: every new instance would, and so would those of a rollback",
                span(boot),
                span(limit),
            ),
            remedy: format!("set it above {}, or leave it out", span(launch)),
        });
    }
    (launch > limit).then(|| {
        let boot = target.boot.map_or(String::new(), |boot| {
            format!("launches of this fleet take {}, and ", span(boot))
        });
        Preflight {
            is_error: false,
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
        }
    })
}

/// Finds that a rollout may be given up while it does what it is to do. That is certain where
/// instances drain for longer than the whole time without progress.
fn short_deadline(input: &Input<'_>) -> Option<Preflight> {
    let Input { spec, target, .. } = *input;
    let launch = target.boot.unwrap_or_default() + target.register();
    let drain = RollingDeployment::drain_deadline(input.drain());
    let deadline = spec.progress_deadline(input.drain());
    let step = drain.max(input.drain() + launch + spec.health.min_healthy_time);
    let drains_by = match spec.health.min_drain_time > target.drain() {
        true => "health.min_drain_time",
        false => "the deregistration delay",
    };
    (deadline < step).then(|| Preflight {
        is_error: deadline < input.drain(),
        attribute: "progress_deadline",
        message: format!(
            "one batch takes up to {}, including {} of draining, but the rollout ends after {} \
             without progress",
            span(step),
            span(input.drain()),
            span(deadline),
        ),
        remedy: format!("set it above {}, leave it out, or shorten {drains_by}", span(step)),
    })
}

/// Finds that a rollout is given up for lack of progress before as many instances can have failed
/// as the document allows.
fn threshold_out_of_reach(input: &Input<'_>) -> Option<Preflight> {
    let spec = input.spec;
    let default = RollingDeployment { progress_deadline: None, ..spec.clone() };
    let needed = default.progress_deadline(input.drain());
    let deadline = spec.progress_deadline(input.drain());
    (spec.failure_threshold > 1 && deadline < needed).then(|| Preflight {
        is_error: false,
        attribute: "progress_deadline",
        message: format!(
            "failure_threshold is {}, and that many failures one after another can take {}, but \
             the rollout ends after {} without progress",
            spec.failure_threshold,
            span(needed),
            span(deadline),
        ),
        remedy: format!("set it to at least {}, or leave it out", span(needed)),
    })
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

/// Finds a target group whose load balancer may send requests to an instance for longer than it
/// drains, after which it is terminated.
fn short_drain(input: &Input<'_>) -> Option<Preflight> {
    let least = input.spec.health.min_drain_time;
    let message = drains_short(input, least)?;
    Some(Preflight {
        is_error: false,
        attribute: "health/min_drain_time",
        message: format!("{message}, or health.min_drain_time"),
        remedy: "set it to at least that time, or lengthen the target group's deregistration delay"
            .into(),
    })
}

/// Tells of a target group that drains for less than its load balancer may send to a deregistered
/// target, where nothing drains for less than `least`.
pub(super) fn drains_short(input: &Input<'_>, least: Duration) -> Option<String> {
    let drains = |group: &TargetGroup| group.drain.max(least);
    let group = input.target.rotation().find(|group| drains(group) < group.stops_routing)?;
    Some(format!(
        "target group {} drains for {}, and its load balancer may send requests to a deregistered \
         instance for up to {}: those that come after its termination are lost; lengthen its \
         deregistration delay",
        group.name,
        span(drains(group)),
        span(group.stops_routing),
    ))
}

/// Finds that the rollout can never begin or never end: so many instances stay as they are without
/// serving that no serving one may ever be taken out, or that the surge can never be given back.
pub(super) fn no_place(input: &Input<'_>) -> Option<Preflight> {
    let view = View::new(input);
    let (window, idle) = (view.window, view.stay_idle());
    let serve_at_most = (window.ceiling() as usize).saturating_sub(idle);
    let begins = serve_at_most > window.floor() as usize;
    // At the end the fleet has its size, and those that do not serve are still among it.
    let ends = idle <= window.unavailable as usize;
    let must_go = view.old().any(|member| member.serves);
    if idle == 0 || !must_go || (begins && ends) {
        return None;
    }
    let what = match begins {
        true => "the additional instances can never be removed again",
        false => "nothing can ever be replaced",
    };
    let serve = if begins { (window.size as usize).saturating_sub(idle) } else { serve_at_most };
    let least = if begins { idle } else { idle + 1 };
    let attribute = out_attribute(input);
    let (do_not, are, them) = match idle {
        1 => ("does not", "is", "the one that does not serve healthy, or no longer leave it alone"),
        _ => ("do not", "are", "those that do not serve healthy, or no longer leave them alone"),
    };
    Some(Preflight {
        is_error: true,
        attribute,
        message: format!(
            "{what}: {idle} of {} instances {do_not} serve and {are} left alone ({}), so that at \
             most {serve} serve, and at least {} must",
            window.size,
            some_of(&view.idle_left_alone()),
            window.floor(),
        ),
        remedy: match attribute {
            "policy" => format!(
                "choose a policy that lets at least {least} be unavailable at once, make {them}"
            ),
            _ => format!("set {attribute} = {} or more, make {them}", as_given(input, least)),
        },
    })
}

/// Returns `instances` as the document gives them: a number, or a percentage of the fleet.
fn as_given(input: &Input<'_>, instances: usize) -> String {
    let size = (View::new(input).window.size as usize).max(1);
    let percent = (instances * 100).div_ceil(size);
    match input.spec.policy {
        Policy::Rolling(BatchSize::Percentage(_)) => percent.to_string(),
        Policy::RollingWithin { unavailable: Bound::Percent(_), .. } => format!("\"{percent}%\""),
        _ => instances.to_string(),
    }
}

/// Finds that nothing can be replaced until protected instances that do not serve are no longer
/// protected, or serve.
fn waits_for_protected(input: &Input<'_>) -> Option<Preflight> {
    let view = View::new(input);
    let blocking = view.idle_set_aside();
    let idle = view.stay_idle() + blocking.len();
    let serve_at_most = (view.window.ceiling() as usize).saturating_sub(idle);
    if blocking.is_empty() || serve_at_most > view.window.floor() as usize {
        return None;
    }
    let ids: Vec<&str> = blocking.iter().map(|id| id.as_str()).collect();
    Some(Preflight {
        is_error: false,
        attribute: "scale_in_protected_instances",
        message: format!(
            "{} {} not serve and may not be scaled in: until that changes nothing else can be \
             replaced, and the rollout waits for it, up to {}",
            ids.join(", "),
            if ids.len() == 1 { "does" } else { "do" },
            span(SET_ASIDE_FOR),
        ),
        remedy: "remove the protection, have them serve, or set refresh".into(),
    })
}

/// Finds that every instance to replace is protected by something that ends that only for what
/// nothing runs on.
fn all_protected(input: &Input<'_>) -> Option<Preflight> {
    let by = input.target.protected_by?;
    let view = View::new(input);
    let (old, waited_for) = (view.old().count(), view.old().filter(|it| it.set_aside).count());
    if old == 0 || waited_for < old {
        return None;
    }
    let all = match old {
        1 => "the one instance to replace is".to_owned(),
        _ => format!("all {old} instances to replace are"),
    };
    Some(Preflight {
        is_error: false,
        attribute: "scale_in_protected_instances",
        message: format!(
            "{all} protected from scale-in by {by}, which ends that \
             only for an instance without tasks: the rollout waits up to {} for that, and then \
             fails, unless something drains them or scale_in_protected_instances is refresh",
            span(SET_ASIDE_FOR),
        ),
        remedy:
            "set refresh, and managed draining on the capacity provider, which moves the tasks \
                 before an instance goes; or drain the container instances (aws ecs \
                 update-container-instances-state --status DRAINING) while the rollout waits"
                .into(),
    })
}

/// Finds that what the fleet launches is protected from scale-in, which the next rollout comes upon.
fn protects_new(input: &Input<'_>) -> Option<Preflight> {
    let next = match input.spec.protected {
        SetAside::Refresh => return None,
        SetAside::Wait => format!("the next one waits for it, up to {}", span(SET_ASIDE_FOR)),
        SetAside::Ignore => "the next one leaves it as it is".to_owned(),
    };
    (input.target.protects_new && input.launches()).then(|| Preflight {
        is_error: false,
        attribute: "scale_in_protected_instances",
        message: format!(
            "the fleet protects from scale-in whatever it launches: this rollout removes what it \
             launched itself all the same, but {next}, unless scale_in_protected_instances is \
             refresh then, or the protection is removed"
        ),
        remedy: "set refresh, or have the fleet no longer protect new instances (on AWS \
                 NewInstancesProtectedFromScaleIn)"
            .into(),
    })
}

/// Returns the attribute that says how many instances may be out of service at once.
fn out_attribute(input: &Input<'_>) -> &'static str {
    match input.spec.policy {
        Policy::RollingWithin { .. } => "max_unavailable",
        Policy::Rolling(_) => "batch_size",
        _ => "policy",
    }
}

/// Returns a duration for people, in whole seconds.
pub(super) fn span(duration: Duration) -> String {
    humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
}
