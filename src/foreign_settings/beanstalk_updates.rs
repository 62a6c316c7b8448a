//! Elastic Beanstalk's options of updates of the configuration, which replace instances in batches.

use super::draft::Draft;
use super::iso_duration::{seconds, span};
use super::option_list::{OptionSettings, UPDATES};
use super::setting::Setting;

const NAMES: [&str; 5] =
    ["RollingUpdateEnabled", "RollingUpdateType", "MaxBatchSize", "PauseTime", "Timeout"];

/// What tells when the next batch begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum UpdateType {
    Time,
    Health,
    Immutable,
}

const TYPES: [(&str, UpdateType); 3] = [
    ("Time", UpdateType::Time),
    ("Health", UpdateType::Health),
    ("Immutable", UpdateType::Immutable),
];

/// Whether one of these options is given.
pub(super) fn are_given(options: &OptionSettings<'_>) -> bool {
    options.has_any(UPDATES, &NAMES)
}

/// Converts them to a policy.
pub(super) fn convert(options: &OptionSettings<'_>, draft: &mut Draft) {
    let [enabled, kind, size, pause, timeout] = NAMES.map(|name| options.get(UPDATES, name, draft));
    let is_enabled = enabled.as_ref().and_then(|it| it.boolean(draft));
    let update_type = kind.as_ref().and_then(|it| it.choice(&TYPES, draft));
    let batch = size.as_ref().and_then(|it| it.integer(1..=10_000, draft));
    let pause = pause.and_then(|it| Some((time(&it, draft)?, it)));
    let timeout = timeout.and_then(|it| Some((time(&it, draft)?, it)));
    if let Some(enabled) = enabled.as_ref().filter(|_| is_enabled == Some(false)) {
        let summary = "RollingUpdateEnabled is false: all instances are updated at once";
        draft.warn(&enabled.place, summary, "choose another policy to keep instances serving");
        return draft.set("/policy", "all_at_once", &enabled.place);
    }
    if let Some(kind) = kind.as_ref().filter(|_| update_type == Some(UpdateType::Immutable)) {
        return draft.set("/policy", "immutable", &kind.place);
    }
    let given = [&size, &kind, &enabled].into_iter().flatten();
    let times = [&pause, &timeout].into_iter().flatten().map(|(_, it)| it);
    let place = given.chain(times).next().map(|it| it.place.clone()).unwrap_or_default();
    draft.set("/policy", "rolling", &place);
    batch_size(size.as_ref().zip(batch), &place, draft);
    if let Some((seconds, pause)) = &pause {
        if update_type == Some(UpdateType::Health) {
            let summary = "PauseTime is left out: it is for updates by time, and \
                           RollingUpdateType is Health";
            draft.warn(&pause.place, summary, "set pause_between_batches to have a pause");
        } else {
            draft.set("/pause_between_batches", span(*seconds), &pause.place);
        }
    }
    if let Some((seconds, timeout)) = timeout.filter(|(seconds, _)| *seconds > 0) {
        draft.set("/health/healthy_timeout", span(seconds), &timeout.place);
    }
}

fn batch_size(given: Option<(&Setting<'_>, u64)>, place: &str, draft: &mut Draft) {
    let (batch_type, size, place) = match given {
        Some((setting, size)) => ("fixed", size, setting.place.as_str()),
        None => {
            let summary = "MaxBatchSize is not given: its default, a third of the least size of the \
                           group, becomes 33 percent of the fleet";
            draft.warn(place, summary, "set batch_size to what a batch is to have");
            ("percentage", 33, place)
        }
    };
    draft.set("/batch_size_type", batch_type, place);
    draft.set("/batch_size", size, place);
}

/// Returns a time span in seconds; none where Elastic Beanstalk chooses it.
fn time(given: &Setting<'_>, draft: &mut Draft) -> Option<u64> {
    if given.value == "Automatic" {
        return None;
    }
    let found = given.text().and_then(|text| seconds(&text)).filter(|time| *time <= 3600);
    if found.is_none() {
        let wanted = "a time span in ISO 8601, from PT0S to PT1H";
        given.refuse(wanted, "write for instance PT5M", draft);
    }
    found
}
