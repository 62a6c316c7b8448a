//! How much is replaced at a time, and where a rollout waits.

use super::config::{
    BatchSizeType, BoundConfig, CheckpointConfig, CheckpointDefaultName, DurationText, PacingName,
    PolicyName, RollingDeploymentConfig, ZonesName,
};
use super::diagnostic::Diagnostic;
use super::schema_check::missing;
use crate::document::config::seconds_or;
use crate::model::spec::{BatchSize, Bound, Checkpoint, Expiry, Pacing, Policy, Zones};

pub(super) fn policy(
    config: &RollingDeploymentConfig,
    pointer: &str,
    found: &mut Vec<Diagnostic>,
) -> Option<Policy> {
    let is = |(name, given): (&'static str, bool)| given.then_some(name);
    let batch = [
        ("batch_size_type", config.batch_size_type.is_some()),
        ("batch_size", config.batch_size.is_some()),
    ];
    let bounds = [
        ("max_surge", config.max_surge.is_some()),
        ("max_unavailable", config.max_unavailable.is_some()),
    ];
    let batch: Vec<&str> = batch.into_iter().filter_map(is).collect();
    let bounds: Vec<&str> = bounds.into_iter().filter_map(is).collect();
    if config.policy == PolicyName::Rolling && !bounds.is_empty() && !batch.is_empty() {
        let message = "a batch size cannot be used together with max_surge or max_unavailable";
        for name in batch {
            let place = format!("{pointer}/{name}");
            found.push(Diagnostic::error(place, message).with_remedy("keep one of the two"));
        }
        return None;
    }
    match config.policy {
        PolicyName::AllAtOnce => Some(Policy::AllAtOnce),
        PolicyName::Immutable => Some(Policy::Immutable),
        PolicyName::TrafficSplitting => Some(Policy::TrafficSplitting),
        PolicyName::BlueGreen => {
            let after = config.traffic.as_ref().and_then(|traffic| traffic.terminate_after.clone());
            Some(Policy::BlueGreen { terminate_after: seconds_or(&after, 300) })
        }
        PolicyName::Rolling if !bounds.is_empty() => within(config, pointer, found),
        PolicyName::Rolling => batch_size(config, pointer, found).map(Policy::Rolling),
        PolicyName::RollingWithAdditionalBatch => {
            batch_size(config, pointer, found).map(Policy::RollingWithAdditionalBatch)
        }
    }
}

/// Rolling within `max_surge` and `max_unavailable`.
fn within(
    config: &RollingDeploymentConfig,
    pointer: &str,
    found: &mut Vec<Diagnostic>,
) -> Option<Policy> {
    let surge = bound(config.max_surge.as_ref(), "max_surge", pointer, found)?;
    let unavailable = bound(config.max_unavailable.as_ref(), "max_unavailable", pointer, found)?;
    // As Kubernetes does: a percentage that rounds down to 0 is 1, but 0 itself means that nothing
    // may ever move.
    if is_zero(surge) && is_zero(unavailable) {
        let name = if config.max_unavailable.is_some() { "max_unavailable" } else { "max_surge" };
        let message = "max_surge and max_unavailable are both 0: no instance could ever be \
                       replaced";
        let remedy = match config.replacement {
            // An update in place launches nothing.
            Some(_) => "set max_unavailable = 1",
            None => "set max_surge = 1 to launch one beside the fleet, or max_unavailable = 1",
        };
        found.push(Diagnostic::error(format!("{pointer}/{name}"), message).with_remedy(remedy));
        return None;
    }
    Some(Policy::RollingWithin { surge, unavailable })
}

fn is_zero(bound: Bound) -> bool {
    matches!(bound, Bound::Count(0) | Bound::Percent(0))
}

fn batch_size(
    config: &RollingDeploymentConfig,
    pointer: &str,
    found: &mut Vec<Diagnostic>,
) -> Option<BatchSize> {
    match (config.batch_size_type, config.batch_size) {
        (Some(BatchSizeType::Percentage), Some(percent)) if percent > 100 => {
            let place = format!("{pointer}/batch_size");
            let message = format!("a percentage is from 1 to 100, is {percent}");
            found.push(Diagnostic::error(place, message));
            None
        }
        (Some(BatchSizeType::Percentage), Some(size)) => Some(BatchSize::Percentage(size)),
        (Some(BatchSizeType::Fixed), Some(size)) => Some(BatchSize::Fixed(size)),
        (batch_type, size) => {
            for (name, given) in
                [("batch_size_type", batch_type.is_some()), ("batch_size", size.is_some())]
            {
                if !given {
                    let message = missing(name);
                    let remedy = "this policy needs a batch size, for instance \
                                  \"batch_size_type\": \"percentage\", \"batch_size\": 30";
                    found.push(Diagnostic::error(pointer, message).with_remedy(remedy));
                }
            }
            None
        }
    }
}

fn bound(
    config: Option<&BoundConfig>,
    name: &str,
    pointer: &str,
    found: &mut Vec<Diagnostic>,
) -> Option<Bound> {
    match config {
        None => Some(Bound::Count(0)),
        Some(BoundConfig::Count(count)) => Some(Bound::Count(*count)),
        Some(BoundConfig::Percentage(text)) => {
            let percent = text.strip_suffix('%').and_then(|number| number.parse().ok());
            let percent = percent.filter(|percent| *percent <= 100);
            if percent.is_none() {
                let message = format!("a percentage is from 0% to 100%, is {text}");
                found.push(Diagnostic::error(format!("{pointer}/{name}"), message));
            }
            percent.map(Bound::Percent)
        }
    }
}

pub(super) fn pacing(config: &RollingDeploymentConfig) -> Pacing {
    match config.pacing {
        // Its controller keeps the pace.
        _ if config.workload().is_some() => Pacing::Batch,
        Some(PacingName::Continuous) => Pacing::Continuous,
        Some(PacingName::Batch) | None => Pacing::Batch,
    }
}

pub(super) fn zones(config: &RollingDeploymentConfig) -> Zones {
    match config.zones {
        Some(ZonesName::OneByOne) => Zones::OneByOne,
        Some(ZonesName::Spread) | None => Zones::Spread,
    }
}

pub(super) fn checkpoints(
    config: &RollingDeploymentConfig,
    pointer: &str,
    found: &mut Vec<Diagnostic>,
) -> Vec<Checkpoint> {
    let mut checkpoints: Vec<Checkpoint> = Vec::new();
    for (index, given) in config.checkpoints.iter().flatten().enumerate() {
        if let Some(last) = checkpoints.last().filter(|last| last.percentage >= given.percentage) {
            let message =
                format!("must be greater than {}, the previous checkpoint", last.percentage);
            let place = format!("{pointer}/checkpoints/{index}/percentage");
            found.push(Diagnostic::error(place, message));
        }
        let pause = given.pause.as_ref().map(DurationText::get);
        let expires = expiry(given, &format!("{pointer}/checkpoints/{index}"), found);
        checkpoints.push(Checkpoint { percentage: given.percentage, pause, expires });
    }
    checkpoints
}

/// Returns what happens at the checkpoint at `place` where nobody decides in time.
fn expiry(given: &CheckpointConfig, place: &str, found: &mut Vec<Diagnostic>) -> Option<Expiry> {
    let mut refuse = |name: &str, message: &str, remedy: &str| {
        let place = format!("{place}/{name}");
        found.push(Diagnostic::error(place, message).with_remedy(remedy));
        None
    };
    match (&given.expires_after, given.default) {
        (Some(_), _) if given.pause.is_some() => {
            let message = "pause is set: the checkpoint ends after it, and waits for no decision";
            refuse("expires_after", message, "remove it, or pause")
        }
        (Some(after), Some(default)) => Some(Expiry {
            after: after.get(),
            rolls_back: default == CheckpointDefaultName::Rollback,
        }),
        (Some(_), None) => refuse(
            "expires_after",
            "default is missing: what happens then is not defined",
            "set default to resume or rollback",
        ),
        (None, Some(_)) => {
            refuse("default", "the checkpoint does not expire", "set expires_after, or remove it")
        }
        (None, None) => None,
    }
}
