//! A controller with a partition: it replaces the instances of the highest places, and goes no further
//! by itself.

use rolling_provider::{ControllerStatus, Extent};

use super::super::input::Input;
use super::super::{Member, View};
use super::step::{self, ControllerPhase, RolloutStep};
use crate::record::{Record, ReleasedStep};

/// Returns how far the controller is, with the revision set and seen by it.
pub(super) fn phase(
    input: &Input<'_>,
    view: &View<'_>,
    status: &ControllerStatus,
    record: &Record,
    partition: u32,
) -> ControllerPhase {
    let told = input.state.extent;
    if told.is_some_and(|(_, at)| input.look.at <= at) {
        return ControllerPhase::Unseen;
    }
    let size = view.window.size;
    let left = unreplaced(input, view, status);
    let wanted = match step::is_stepped(input) {
        true => by_record(record, size).unwrap_or(partition.max(left)),
        false => 0,
    };
    if partition > wanted {
        let is_told = told.is_some_and(|(extent, _)| extent == all_but(wanted));
        return match is_told && !input.state.direction.resume {
            true => ControllerPhase::StoppedByOthers,
            false => ControllerPhase::GoOn,
        };
    }
    if partition < wanted.min(left) {
        return ControllerPhase::ToStop;
    }
    let is_of_step = |member: &&Member<'_>| {
        let place = status.places.get(member.id);
        member.is_new && place.is_some_and(|place| (wanted..size).contains(place))
    };
    let there = view.members.iter().filter(is_of_step).count();
    let are_there = there >= size.saturating_sub(wanted) as usize;
    match wanted > 0 && are_there && view.unsoaked().next().is_none() {
        true => ControllerPhase::StepDone,
        false => ControllerPhase::Waiting,
    }
}

/// Returns the partition of the step that `record` has released; `None` where the fleet was scaled
/// since, so that the step ends where it is.
fn by_record(record: &Record, size: u32) -> Option<u32> {
    match record.released {
        Some(step) if step.goal < step.size => {
            (step.size == size).then(|| size.saturating_sub(step.goal))
        }
        _ => Some(0),
    }
}

/// Returns how far the controller may go with what `record` has released.
pub(super) fn released(view: &View<'_>, status: &ControllerStatus, record: &Record) -> Extent {
    let by_record = by_record(record, view.window.size);
    match status.partition {
        None => Extent::All,
        Some(now) => all_but(by_record.unwrap_or(now)),
    }
}

/// Returns the next step as the record has it, and how far the controller may go in it.
pub(super) fn release(
    view: &View<'_>,
    status: &ControllerStatus,
    next: RolloutStep,
) -> (ReleasedStep, Extent) {
    let size = view.window.size;
    let Some(width) = next.size.filter(|_| status.partition.is_some() && next.goal < size) else {
        return (ReleasedStep { goal: next.goal, size }, Extent::All);
    };
    let mut old: Vec<u32> = places(view, status, |member| !member.is_new).collect();
    old.sort_unstable_by(|one, other| other.cmp(one));
    let last = (width as usize).checked_sub(1).and_then(|last| old.get(last));
    let partition = last.copied().unwrap_or_else(|| old.first().map_or(0, |first| first + 1));
    (ReleasedStep { goal: size.saturating_sub(partition), size }, all_but(partition))
}

/// How many instances, those of the lowest places, a partition has to leave as they are, so that
/// nothing more is replaced.
pub(super) fn unreplaced(input: &Input<'_>, view: &View<'_>, status: &ControllerStatus) -> u32 {
    let template = input.look.template.as_ref();
    let others = places(view, status, |member| member.instance.revision.as_ref() != template);
    others.max().map_or(0, |highest| highest + 1)
}

/// The places of some instances, without those that go since the fleet was scaled.
fn places(
    view: &View<'_>,
    status: &ControllerStatus,
    are: impl Fn(&Member<'_>) -> bool,
) -> impl Iterator<Item = u32> {
    let all = view.members.iter().filter(move |member| are(member));
    let placed = all.filter_map(|member| status.places.get(member.id).copied());
    placed.filter(|place| *place < view.window.size)
}

/// How far a controller goes with this partition.
pub(super) fn all_but(partition: u32) -> Extent {
    if partition == 0 { Extent::All } else { Extent::AllBut(partition) }
}
