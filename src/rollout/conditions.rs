//! What keeps a rollout from beginning or going on, by the document and a look.

use rolling_provider::{Goal, ProviderError};

use super::planner::{Input, impossible, is_converged};
use crate::model::moment::moment;
use crate::model::spec::{OnFailure, Window};
use crate::record::command::Command;
use crate::record::{Ending, Phase, Record, routing_fingerprint};

/// Refuses what stands in the way of the rollout before the cloud is asked; `command` is this
/// process's own for the rollout that is found.
///
/// # Errors
/// Names the attribute that asks for what cannot be, and what to do about it.
pub(crate) fn refuse(input: &Input<'_>, command: Option<Command>) -> Result<(), ProviderError> {
    // A rollback does not need what is gone.
    let goes_back = command == Some(Command::Rollback);
    if let Some(blocker) = input.target.blockers.first().filter(|_| !goes_back) {
        return Err(blocker.clone());
    }
    refuse_changed_routing(input)?;
    refuse_template_of_another(input)?;
    refuse_surge(input)?;
    refuse_without_history(input)?;
    if command.is_none() {
        refuse_restart(input)?;
    }
    if command.is_none() { refuse_impossible(input) } else { Ok(()) }
}

/// Returns whether to ask the cloud if a rollout may begin (`true`) or may go on; none where nothing
/// will be done.
pub(crate) fn asks_whether_it_may(
    input: &Input<'_>,
    wanted: &Goal,
    command: Option<Command>,
) -> Option<bool> {
    let record = input.state.record.as_ref();
    if is_converged(input) || waits_for_operator(record, wanted, command) {
        return None;
    }
    let is_under_way = record.is_some_and(|record| !record.is_over());
    // A command, such as a rollback after a failure, starts from what the failure has left.
    Some(!is_under_way && command.is_none())
}

/// Whether the rollout of `record` is paused, so that another run without a command changes nothing.
pub(crate) fn waits_for_operator(
    record: Option<&Record>,
    wanted: &Goal,
    command: Option<Command>,
) -> bool {
    let is_paused =
        |record: &Record| record.phase == Phase::Halted(Ending::Paused) && record.leads_to(wanted);
    command.is_none() && record.is_some_and(is_paused)
}

/// Refuses surge for a fleet beside which nothing can be launched.
fn refuse_surge(input: &Input<'_>) -> Result<(), ProviderError> {
    let Input { spec, target, look, .. } = *input;
    let Some(why) = &target.no_surge else { return Ok(()) };
    if Window::resolve(spec.policy, look.desired()).surge == 0 {
        return Ok(());
    }
    let policy = spec.policy.name();
    let message = format!("the policy {policy} launches instances beside the fleet, and {why}");
    let error = ProviderError::invalid("check the policy", "policy", message);
    Err(error.with_remedy("use rolling with a batch size, or all_at_once"))
}

/// Refuses a rollback on failure where the platform's controller forgets what to go back to.
fn refuse_without_history(input: &Input<'_>) -> Result<(), ProviderError> {
    let asks = input.spec.on_failure == OnFailure::Rollback && input.look.controller.is_some();
    let Some(why) = input.target.no_auto_rollback.as_ref().filter(|_| asks) else { return Ok(()) };
    let error = ProviderError::invalid("check the document", "on_failure", why.clone());
    Err(error.with_remedy("set revisionHistoryLimit above 0, or choose on_failure stop or pause"))
}

/// Refuses a restart of instances that are yet to be launched, which would never end, and one where
/// launch times do not say when an instance was made.
fn refuse_restart(input: &Input<'_>) -> Result<(), ProviderError> {
    let Input { spec, look, .. } = *input;
    let Some(before) = spec.restart else { return Ok(()) };
    let refused = |message: String| ProviderError::invalid("check the restart", "restart", message);
    if before > look.at {
        let (time, now) = (moment(before), moment(look.at));
        let message = format!(
            "{time} lies ahead, the fleet's clock shows {now}: what the rollout launches would be replaced again"
        );
        return Err(refused(message).with_remedy("give a time that has passed"));
    }
    if look.reserve.is_empty() {
        return Ok(());
    }
    let message = "the group has a warm pool: an instance of it that was made before counts as \
                   launched when it leaves the pool";
    let remedy = "delete the warm pool first, or roll to a new version of the template";
    Err(refused(message.into()).with_remedy(remedy))
}

/// Refuses to begin what can never begin or end. A rollout that has begun goes on as far as it can:
/// what is in its way may change.
fn refuse_impossible(input: &Input<'_>) -> Result<(), ProviderError> {
    let is_under_way = input.state.record.as_ref().is_some_and(|record| !record.is_over());
    if is_under_way || is_converged(input) {
        return Ok(());
    }
    let Some(found) = impossible(input) else { return Ok(()) };
    let error = ProviderError::invalid("check the fleet", found.attribute, found.message);
    Err(error.with_remedy(&found.remedy))
}

/// Refuses to begin while requests are shifted: before a rollout none are.
///
/// # Errors
/// Tells how many requests are.
pub(crate) fn refuse_shifted_requests(input: &Input<'_>) -> Result<(), ProviderError> {
    let percent = input.look.shifted.iter().flatten().max().copied().unwrap_or_default();
    let record = input.state.record.as_ref();
    if record.is_some_and(|record| !record.is_over()) || percent == 0 {
        return Ok(());
    }
    let message = format!(
        "{percent} % of the requests already go to the second target group, although no rollout is \
         in progress"
    );
    let place = "traffic/listener_rule_arns";
    let error = ProviderError::invalid("check the listener rules", place, message).as_conflict();
    Err(error.with_remedy("give it the weight 0 in every rule"))
}

/// Refuses a document that changes how the rollout under way shifts requests. Shifted requests
/// come back the way they went, so a rollout continues and ends with the routing that it began
/// with.
///
/// # Errors
/// Names the rollout.
pub(crate) fn refuse_changed_routing(input: &Input<'_>) -> Result<(), ProviderError> {
    let Input { spec, target, state, .. } = *input;
    let routing_fingerprint = spec.policy.shifts().then(|| routing_fingerprint(target));
    let record = state.record.as_ref().filter(|record| !record.is_over());
    let Some(record) = record.filter(|record| record.borrowed.shifts != routing_fingerprint) else {
        return Ok(());
    };
    let (place, which) = match (&record.borrowed.shifts, routing_fingerprint) {
        (Some(_), Some(_)) => ("traffic", "shifts requests with other rules or target groups"),
        (Some(_), None) => ("policy", "shifts requests"),
        (None, _) => ("policy", "does not shift requests"),
    };
    let message = format!("rollout {} is {}, and {which}", record.id, record.status_shown());
    let error = ProviderError::invalid("check the document", place, message).as_conflict();
    Err(error.with_remedy(format!(
        "finish or abort it with the document that it began with, then change {place}; an abort \
         works even if listener rules were deleted",
    )))
}

/// Refuses to update in place what another rollout has begun to replace: it would forget the template
/// that it has set, and which of the instances it has launched.
fn refuse_template_of_another(input: &Input<'_>) -> Result<(), ProviderError> {
    let record = input.state.record.as_ref().filter(|record| !record.is_over());
    let has_set = |record: &&Record| {
        record.borrowed.template.is_some() && input.look.template.as_ref() == Some(&record.to)
    };
    let other = record.filter(has_set).filter(|record| !record.leads_to(&input.target.goal()));
    let Some(record) = other.filter(|_| input.spec.replacement.within().is_some()) else {
        return Ok(());
    };
    let message = format!(
        "rollout {} to {} is {}, and replaces instances: the group's template is {} because of it",
        record.id,
        record.to,
        record.status_shown(),
        record.to
    );
    let error = ProviderError::invalid("check the document", "replacement", message).as_conflict();
    Err(error.with_remedy(
        "finish or abort that rollout with the document that it began with, then update in place",
    ))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rolling_provider::{Observation, Target, Timestamp};

    use super::*;
    use crate::model::spec::{Replacement, RollingDeployment};
    use crate::rollout::example::{look, spec, target, with_instance};
    use crate::rollout::state::RolloutState;

    fn spec_of(policy: &str) -> RollingDeployment {
        spec(&serde_json::json!({ "policy": policy }))
    }

    /// Has `check` decide for this target, look and record.
    fn decide<T>(
        spec: &RollingDeployment,
        target: &Target,
        look: &Observation,
        record: Option<Record>,
        check: impl Fn(&Input<'_>) -> T,
    ) -> T {
        let mut state = RolloutState::new("r", Timestamp(0));
        state.record = record;
        check(&Input { spec, target, look, state: &state, now: Timestamp(0) })
    }

    fn attribute(refused: Result<(), ProviderError>) -> Option<String> {
        refused.err().map(|error| error.attribute.unwrap_or_default())
    }

    #[test]
    fn what_is_gone_and_surge_that_cannot_be_are_refused_before_the_cloud_is_asked() {
        let look = with_instance(look("lt-1:1"), "i-1", "lt-1:1");
        let gone = ProviderError::invalid("resolve", "load_balancer", "it is gone");
        let hindered = Target { blockers: vec![gone], ..target() };
        let refused = |spec: &RollingDeployment, target: &Target, command| {
            attribute(decide(spec, target, &look, None, |input| refuse(input, command)))
        };
        let all = spec_of("all_at_once");
        assert_eq!(refused(&all, &target(), None), None);
        assert_eq!(refused(&all, &hindered, None).as_deref(), Some("load_balancer"));
        assert_eq!(refused(&all, &hindered, Some(Command::Rollback)), None);

        let mut look_with_size = look.clone();
        look_with_size.capacity.iter_mut().for_each(|capacity| capacity.desired = 1);
        let alone = Target { no_surge: Some("it counts in units".into()), ..target() };
        let refused = |policy| {
            let spec = spec_of(policy);
            attribute(decide(&spec, &alone, &look_with_size, None, |input| refuse(input, None)))
        };
        assert_eq!(refused("all_at_once"), None);
        assert_eq!(refused("immutable").as_deref(), Some("policy"));
    }

    #[test]
    fn requests_that_are_shifted_are_only_those_of_a_rollout_under_way() {
        let shifted = Observation { shifted: Some([10].into()), ..look("lt-1:1") };
        let refused = |look: &Observation, record| {
            attribute(decide(&spec_of("all_at_once"), &target(), look, record, |input| {
                refuse_shifted_requests(input)
            }))
        };
        let place = Some("traffic/listener_rule_arns".to_owned());
        assert_eq!(refused(&shifted, None), place);
        assert_eq!(refused(&look("lt-1:1"), None), None);
        assert_eq!(refused(&shifted, Some(Record::example())), None);
    }

    #[test]
    fn a_rollout_under_way_goes_on_with_the_routing_that_it_began_with() {
        let mut record = Record::example();
        let refused = |record: &Record| {
            let record = Some(record.clone());
            attribute(decide(
                &spec_of("all_at_once"),
                &target(),
                &look("lt-1:1"),
                record,
                refuse_changed_routing,
            ))
        };
        record.borrowed.shifts = None;
        assert_eq!(refused(&record), None);
        record.borrowed.shifts = Some(routing_fingerprint(&target()));
        assert_eq!(refused(&record).as_deref(), Some("policy"));
    }

    #[test]
    fn an_update_in_place_does_not_take_over_a_template_that_another_rollout_has_set() {
        let within = Duration::from_secs(300);
        let replacement = Replacement::InPlace { within };
        let in_place = RollingDeployment { replacement, ..spec_of("all_at_once") };
        let refused = |record: &Record, template: &str, spec: &RollingDeployment| {
            let (record, target) = (Some(record.clone()), target());
            attribute(decide(spec, &target, &look(template), record, refuse_template_of_another))
        };
        let mut record = Record { to: "lt-1:9".into(), restart: None, ..Record::example() };
        record.borrowed.template = Some("lt-1:1".into());
        let place = Some("replacement".to_owned());
        assert_eq!(refused(&record, "lt-1:9", &in_place), place);
        assert_eq!(refused(&record, "lt-1:1", &in_place), None);
        assert_eq!(refused(&record, "lt-1:9", &spec_of("all_at_once")), None);
        record.borrowed.template = None;
        assert_eq!(refused(&record, "lt-1:9", &in_place), None);
    }

    #[test]
    fn the_cloud_is_asked_unless_nothing_will_be_done() {
        let wanted = Goal::of("lt-1:2".into());
        let paused = Record {
            phase: Phase::Halted(Ending::Paused),
            to: wanted.revision.clone(),
            restart: None,
            ..Record::example()
        };
        let under_way = Record { phase: Phase::Rolling, ..paused.clone() };
        let old = with_instance(look("lt-1:1"), "i-1", "lt-1:1");
        for (record, command, asks) in [
            (None, None, Some(true)),
            (Some(under_way), None, Some(false)),
            (Some(paused.clone()), None, None),
            (Some(paused), Some(Command::Resume), Some(false)),
            (None, Some(Command::Rollback), Some(false)),
        ] {
            let case = format!("{record:?} {command:?}");
            let found = decide(&spec_of("all_at_once"), &target(), &old, record, |input| {
                asks_whether_it_may(input, &wanted, command)
            });
            assert_eq!(found, asks, "{case}");
        }
    }
}
