//! What the events before an update tell of the updates before it.

use std::collections::BTreeSet;

use aws_sdk_elasticbeanstalk::types::EventDescription;
use rolling_provider::{Revision, TakenBack};

use super::verdict::{BEGINS, OF_OPTIONS, is_completion, says, told_reason};

/// What Elastic Beanstalk says of a deployment that failed.
const FAILED: &str = "Failed to deploy application";

/// Returns the events before the update of `id`, and which of them change options. `events` are the
/// environment's, the newest first.
fn before<'a>(
    events: &'a [EventDescription],
    id: &str,
) -> (Vec<&'a EventDescription>, BTreeSet<Option<&'a str>>) {
    let before = events.iter().skip_while(|event| event.request_id() != Some(id));
    let before: Vec<_> = before.filter(|event| event.request_id() != Some(id)).collect();
    let of_options = before.iter().filter(|event| says(event, OF_OPTIONS));
    let of_options = of_options.map(|event| event.request_id()).collect();
    (before, of_options)
}

/// Returns the version that the newest completed update before the one of `id` deployed, or the one that
/// the environment was launched with. `events` are the environment's, the newest first.
pub(super) fn completed_before(events: &[EventDescription], id: &str) -> Option<Revision> {
    // A change of options is completed with the label of the moment, whatever became of that version.
    let (before, of_options) = before(events, id);
    let mut failed = BTreeSet::new();
    for event in before {
        if says(event, FAILED) {
            failed.insert(event.version_label());
        }
        let is_of_options = of_options.contains(&event.request_id());
        if is_completion(event) && !is_of_options && !failed.contains(&event.version_label()) {
            return event.version_label().map(Revision::new);
        }
    }
    None
}

/// Returns the deployment right before the update of `id` to `to`, where that takes it back: it was not
/// completed, and `to` is what was completed before it. `events` are as above.
pub(super) fn taken_back(
    events: &[EventDescription],
    id: &str,
    to: &Revision,
) -> Option<TakenBack> {
    if completed_before(events, id).as_ref() != Some(to) {
        return None;
    }
    let (before, of_options) = before(events, id);
    let is_update = |event: &&&EventDescription| {
        event.request_id().is_some() && !of_options.contains(&event.request_id())
    };
    // An abort may have an id of its own, under which nothing begins.
    let begins = |event: &&&EventDescription| says(event, BEGINS);
    let newest = before.iter().filter(is_update).find(begins)?.request_id();
    let own: Vec<_> = before.into_iter().filter(|it| it.request_id() == newest).collect();
    let mut labels = own.iter().filter_map(|event| event.version_label());
    let label = labels.find(|label| *label != to.as_str())?;
    let is_completed = own.iter().any(|event| is_completion(event));
    (!is_completed).then(|| TakenBack { to: Revision::new(label), reason: told_reason(&own) })
}

/// Whether `label`, the environment's, is neither of the update of `id` nor was there before it: another one
/// has begun, whose events do not show yet. `own` are its events, `events` as above.
pub(super) fn is_of_another(
    label: Option<&str>,
    own: &[EventDescription],
    events: &[EventDescription],
    id: &str,
) -> bool {
    let (before, _) = before(events, id);
    let last = before.iter().find_map(|event| event.version_label());
    let completed = completed_before(events, id);
    let own_labels = own.iter().filter_map(|event| event.version_label());
    let mut labels = own_labels.chain(last).chain(completed.as_ref().map(Revision::as_str));
    let is_told = label.is_none_or(|now| labels.any(|it| it == now));
    !own.is_empty() && !is_told
}

#[cfg(test)]
mod tests {
    use aws_sdk_elasticbeanstalk::types::EventSeverity;

    use super::*;

    const DONE: &str = "Environment update completed successfully.";
    const STARTS: &str = "Environment update is starting.";
    const FAILS: &str = "Failed to deploy application.";
    const OPTIONS: &str = "Updating environment web-prod's configuration settings.";

    fn of(id: &str, label: &str, message: &str) -> EventDescription {
        let event = EventDescription::builder().message(message).request_id(id);
        let severity = if message == FAILS { EventSeverity::Error } else { EventSeverity::Info };
        event.version_label(label).severity(severity).build()
    }

    #[test]
    fn what_was_completed_before_an_update_is_in_the_events_before_it() {
        let events = [
            of("r-4", "v4", DONE),
            of("r-3", "v3", FAILS),
            of("r-2", "v2", FAILS),
            // Options, set while the label was that of a failed version.
            of("r-1b", "v2", DONE),
            of("r-1b", "v2", OPTIONS),
            of("r-1", "v1", DONE),
            of("r-0", "v0", "Successfully launched environment: web-prod"),
        ];
        let before = |id: &str| completed_before(&events, id).map(|it| it.to_string());
        assert_eq!(before("r-4").as_deref(), Some("v1"));
        assert_eq!(before("r-3").as_deref(), Some("v1"));
        assert_eq!(before("r-1").as_deref(), Some("v0"));
        assert_eq!(before("r-0"), None);
    }

    #[test]
    fn an_update_takes_back_only_what_was_not_completed_right_before_it() {
        let launched = of("r-0", "v1", "Successfully launched environment: web-prod");
        let with = |more: &[EventDescription]| -> Vec<EventDescription> {
            more.iter().chain([&launched]).cloned().collect()
        };
        let again = of("r-3", "v1", STARTS);
        // It may begin with the label of before.
        let failed = [of("r-2", "v2", FAILS), of("r-2", "v1", STARTS)];
        let back = |events: &[EventDescription], to: &str| taken_back(events, "r-3", &to.into());
        let wanted = TakenBack { to: "v2".into(), reason: Some(FAILS.to_owned()) };

        let [last, first] = failed.clone();
        let direct = with(&[again.clone(), last.clone(), first.clone()]);
        assert_eq!(back(&direct, "v1"), Some(wanted.clone()));
        assert_eq!(back(&direct, "v3"), None, "another version goes forward");
        let options = [of("r-2b", "v2", DONE), of("r-2b", "v2", OPTIONS)];
        let [done, options] = options;
        let between = with(&[again.clone(), done, options, last, first]);
        assert_eq!(back(&between, "v1"), Some(wanted));
        let aborted = [of("r-9", "v2", "aborting"), of("r-2", "v2", STARTS)];
        let [abort, first] = aborted;
        let aborted = with(&[again.clone(), abort, first]);
        assert_eq!(back(&aborted, "v1"), Some(TakenBack { to: "v2".into(), reason: None }));
        let completed = with(&[again, of("r-2", "v2", DONE), of("r-2", "v2", STARTS)]);
        assert_eq!(back(&completed, "v1"), None);
    }
}
