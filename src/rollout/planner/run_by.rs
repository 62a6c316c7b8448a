//! Which revision the fleet runs, where there is no record.

use rolling_provider::{Lifecycle, Revision};

use super::input::Input;
use super::view::has_replaced_all;
use super::{Member, View};
use crate::record::Record;

/// Returns the revision that every instance runs, those in standby included. A mixed fleet has none.
pub(crate) fn run_by_all(input: &Input<'_>) -> Option<Revision> {
    let stays = |lifecycle: Lifecycle| lifecycle.is_live() || lifecycle == Lifecycle::Standby;
    let instances = input.look.instances.values().filter(|found| stays(found.lifecycle));
    let ignored = input.state.unmanaged.ignored.values().map(Option::as_ref);
    same(instances.map(|instance| instance.revision.as_ref()).chain(ignored))
}

/// Returns the revision to which a failure rolls back: the one that every serving instance runs, or
/// else every one that the rollout may replace. What is left alone stays in either direction.
pub(super) fn to_go_back_to(view: &View<'_>) -> Option<Revision> {
    let ours = || view.members.iter().filter(|member| !member.left_alone);
    only(view.members.iter()).or_else(|| only(ours()))
}

/// Returns the revision to which a failure would roll back.
pub(super) fn adopted(input: &Input<'_>, view: &View<'_>) -> Option<Revision> {
    match &input.state.record {
        Some(record) if record.leads_to(&input.target.goal()) => record.completed.clone(),
        previous => when_it_begins(input, view, previous.as_ref()),
    }
}

/// Returns the revision to which a failure of a rollout rolls back that begins after `previous`.
pub(super) fn when_it_begins(
    input: &Input<'_>,
    view: &View<'_>,
    previous: Option<&Record>,
) -> Option<Revision> {
    match previous {
        Some(record) => completed_since(input, record).or_else(|| record.completed.clone()),
        None => to_go_back_to(view).or_else(|| input.state.known_completed.clone()),
    }
}

/// Returns the revision that the platform's controller has brought to its end since `previous` ended
/// early, or that somebody else has set. What failed in that rollout is none, although it may serve.
fn completed_since(input: &Input<'_>, previous: &Record) -> Option<Revision> {
    let status = input.look.controller.as_ref();
    let status = status.filter(|status| has_replaced_all(input, status))?;
    let is_whole = !input.look.instances.is_empty() && !status.is_stopped();
    let template = input.look.template.as_ref().filter(|_| is_whole)?;
    let has_failed = previous.fault && *template == previous.to;
    (*template != input.target.revision && !has_failed).then(|| template.clone())
}

fn only<'a>(members: impl Iterator<Item = &'a Member<'a>>) -> Option<Revision> {
    same(members.filter(|member| member.serves).map(|member| member.instance.revision.as_ref()))
}

fn same<'a>(mut revisions: impl Iterator<Item = Option<&'a Revision>>) -> Option<Revision> {
    let first = revisions.next()??;
    revisions.all(|revision| revision == Some(first)).then(|| first.clone())
}
