//! The fleet as the planner counts it: what lives, what must go, what serves.

use rolling_provider::{ControllerStatus, Instance, InstanceId, Lifecycle, TargetState};

use super::deadlines::UNLAUNCHED_AFTER;
use super::input::Input;
use super::spare::{Floor, Spare};
use super::termination;
use crate::model::spec::{SetAside, Window};
use crate::rollout::serving::{gets_requests, is_healthy_in_primary};
use crate::rollout::state::InstanceHistory;

/// The live instances of a fleet, and the bounds that hold now.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// Live instances in order of their ids.
    pub(crate) members: Vec<Member<'a>>,
    /// Instances in standby to replace, or to wait for.
    pub(crate) standby: Vec<&'a InstanceId>,
    /// The bounds for the size that the fleet has now.
    ///
    /// A fleet that is scaled meanwhile is thus rolled within its new bounds.
    pub(crate) window: Window,
    /// How many must serve.
    pub(crate) floor: Floor,
    /// How many instances the fleet still has to launch.
    pub(crate) missing: u32,
    /// Instances of other revisions, or that we terminated, that are terminating, where the
    /// rollout waits until they are gone.
    pub(crate) terminating: Vec<&'a InstanceId>,
}

/// One live instance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member<'a> {
    /// Its id.
    pub(crate) id: &'a InstanceId,
    /// What was observed.
    pub(crate) instance: &'a Instance,
    /// Whether it runs the wanted revision.
    pub(crate) is_new: bool,
    /// Whether it runs the wanted revision and has failed: it is replaced like an old one.
    pub(crate) failed: bool,
    /// Whether it runs the restored revision and does not serve, and the rollback did not cause
    /// that. Nothing waits for it to serve, and it stays unless the floor needs another in its place.
    pub(crate) not_blamed: bool,
    /// Whether it is a victim.
    pub(crate) is_victim: bool,
    /// Whether it is to be replaced but set aside, so that the rollout waits for it.
    pub(crate) set_aside: bool,
    /// Whether the rollout must not replace it, whatever it runs.
    pub(crate) left_alone: bool,
    /// Whether it is not to be removed as surplus, whatever it runs.
    pub(crate) not_surplus: bool,
    /// Whether it takes requests, as every target group reports, and is not on its way out.
    pub(crate) serves: bool,
    /// Whether it serves where requests go, or can return to at once: the floor counts it.
    pub(crate) gets_requests: bool,
    /// Whether it gets requests for sure.
    ///
    /// Not so if it was put back into rotation so recently that this look may be from before it was
    /// taken out.
    pub(crate) surely_serves: bool,
    /// Whether it is healthy where all requests go in the end. Always so where none are shifted.
    pub(crate) in_primary: bool,
    /// Whether it has served for the whole soak without a break, up to now.
    pub(crate) soaked: bool,
    /// What was seen of it so far.
    pub(crate) history: Option<&'a InstanceHistory>,
}

impl<'a> View<'a> {
    /// Counts the fleet of `input`.
    ///
    /// Takes time linear in its size: walks through the histories and the instances side by side.
    pub fn new(input: &Input<'a>) -> Self {
        let Input { spec, target, look, state, now } = *input;
        let soak = spec.health.min_healthy_time;
        let mut known = state.history.iter().peekable();
        let mut members = Vec::with_capacity(look.instances.len());
        let mut standby = Vec::new();
        for (id, instance) in &look.instances {
            while known.next_if(|(history, _)| *history < id).is_some() {}
            let history = known.next_if(|(history, _)| *history == id).map(|(_, history)| history);
            let is_new = target.wants(instance);
            if state.removed.terminated.contains(id) {
                continue;
            }
            if instance.lifecycle == Lifecycle::Standby
                && !is_new
                && !instance.ignored
                && spec.standby != SetAside::Ignore
            {
                standby.push(id);
            }
            if !instance.lifecycle.is_live() {
                continue;
            }
            let failed = is_new && state.failures.failed.contains_key(id);
            // Updating an instance in place does not scale it in.
            let is_protected = state.is_protected(target, id, instance);
            let protected = is_protected && (!is_new || failed) && !input.is_in_place();
            let in_primary = target.second.is_none() || is_healthy_in_primary(target, instance);
            let serves = state.serves(target, id, instance);
            let gets_requests = serves && gets_requests(target, look, instance);
            let since = history.and_then(|history| history.serving_since);
            members.push(Member {
                id,
                instance,
                is_new,
                failed,
                not_blamed: is_new && !failed && !serves && is_not_blamed(input, history),
                is_victim: state.rotation.victims.contains(id),
                set_aside: protected && spec.protected == SetAside::Wait,
                left_alone: instance.ignored || (protected && spec.protected == SetAside::Ignore),
                not_surplus: instance.ignored
                    || (is_protected && spec.protected != SetAside::Refresh),
                serves,
                gets_requests,
                surely_serves: gets_requests && !state.may_be_out(id, now),
                in_primary,
                soaked: serves && since.is_some_and(|since| now.since(since) >= soak),
                history,
            });
        }
        let window = Window::resolve(spec.policy, state.size(look));
        let missing = (state.desired(look) as usize).saturating_sub(members.len());
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        let terminating = termination::terminating(input);
        let floor = Floor::of(spec.policy, window, look.units().map(|units| units.desired));
        let mut view = View { members, standby, window, floor, missing, terminating };
        view.replace_not_blamed(input);
        view
    }

    /// Has instances replaced that did not serve before the rollback either.
    ///
    /// Only once those of the failed revision that do not serve are gone, and the floor lets none
    /// of the others go.
    fn replace_not_blamed(&mut self, input: &Input<'_>) {
        if input.state.direction.rolls_back.is_none() {
            return;
        }
        let is_last = |m: &&Member<'_>| m.is_old() && !m.is_victim && !m.set_aside;
        let mut last = self.members.iter().filter(is_last);
        let is_stuck = self.spare().is_none()
            && last.clone().next().is_some()
            && last.all(|member| member.serves);
        let health = &input.spec.health;
        for member in self.members.iter_mut().filter(|member| member.not_blamed) {
            let overdue = member.history.is_some_and(|h| input.now >= h.deadline(health));
            let may_go = overdue && !member.is_taken_out() && !member.not_surplus;
            if member.is_victim || (is_stuck && may_go) {
                (member.is_new, member.not_blamed) = (false, false);
            }
        }
    }

    /// Returns the live instances that the rollout may replace: of another revision, or failed.
    pub(crate) fn old(&self) -> impl Iterator<Item = &Member<'a>> + Clone {
        self.members.iter().filter(|member| member.is_old())
    }

    /// Returns the old instances that may be chosen now.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = &Member<'a>> + Clone {
        self.old().filter(|member| !member.is_victim && !member.set_aside)
    }

    /// Counts the instances that stay whatever they run, and do not serve.
    ///
    /// Each takes a place of the new set without filling it. Those of the wanted revision that
    /// still boot may come to serve.
    pub(crate) fn stay_idle(&self) -> usize {
        self.idle_left_alone().len()
    }

    /// Returns the instances that [`Self::stay_idle`] counts.
    pub(crate) fn idle_left_alone(&self) -> Vec<String> {
        let runs = |m: &Member<'_>| m.instance.lifecycle == Lifecycle::InService;
        let stays = |m: &Member<'_>| m.left_alone && (!m.is_new || (m.instance.ignored && runs(m)));
        let idle = self.members.iter().filter(|m| stays(m) && !m.is_victim && !m.serves);
        idle.map(|member| member.id.to_string()).collect()
    }

    /// Returns the old instances that the rollout may not replace for now, and that do not serve.
    pub(crate) fn idle_set_aside(&self) -> Vec<&'a InstanceId> {
        let idle = self.old().filter(|m| m.set_aside && !m.is_victim && !m.serves);
        idle.map(|member| member.id).collect()
    }

    /// Returns the live instances on their way out.
    pub(crate) fn victims(&self) -> impl Iterator<Item = &Member<'a>> + Clone {
        self.members.iter().filter(|member| member.is_victim)
    }

    /// Returns the new instances that do not count yet: they boot, do not serve, or soak.
    pub(crate) fn unsoaked(&self) -> impl Iterator<Item = &Member<'a>> + Clone {
        let new = self.members.iter().filter(|m| m.is_new && !m.is_victim && !m.failed);
        new.filter(|member| !member.soaked && !member.not_blamed)
    }

    /// Returns how many instances take requests now.
    pub(crate) fn serving(&self) -> usize {
        self.members.iter().filter(|member| member.serves).count()
    }

    /// Returns what may go out of rotation of the instances that take requests.
    pub(crate) fn spare(&self) -> Spare {
        self.spare_with(std::iter::empty())
    }

    /// Returns the same if `others` took requests, too.
    pub(crate) fn spare_with<'m>(&self, others: impl Iterator<Item = &'m Member<'m>>) -> Spare {
        let surely_serves = self.members.iter().filter(|member| member.surely_serves);
        let serving = units(surely_serves) + units(others);
        Spare::of(serving, self.floor)
    }

    /// Says why none of those that serve may go.
    pub(crate) fn at_floor(&self) -> String {
        let serving = units(self.members.iter().filter(|member| member.gets_requests));
        let Floor { least: floor, desired } = self.floor;
        let doubtful = units(self.members.iter().filter(|m| m.gets_requests && !m.surely_serves));
        let of = desired.map_or(String::new(), |all| format!(" of {all} units"));
        match serving > floor && doubtful > 0 {
            true => format!(
                "{serving}{of} serve, {doubtful} of them registered again so lately that looks may be \
                 from before: at least {floor} must serve for sure"
            ),
            false => format!(
                "{serving}{of} serve, and at least {floor} must: none may go until another one serves"
            ),
        }
    }

    /// Returns how many instances run the wanted revision and have soaked.
    pub fn updated(&self) -> usize {
        self.members.iter().filter(|m| m.is_new && !m.failed && m.soaked).count()
    }

    /// Whether the new set is complete.
    ///
    /// An instance that is set aside, left alone or not blamed stays, and takes its place of the new
    /// set.
    pub(crate) fn is_complete(&self) -> bool {
        let aside = |m: &Member<'_>| !m.is_new && (m.set_aside || m.left_alone);
        let stays = |m: &&Member<'_>| (aside(m) || m.not_blamed) && !m.is_victim;
        let stay = self.members.iter().filter(stays).count();
        self.updated() + stay >= self.window.size as usize
    }

    /// Returns how much of the surge is so late to launch that it may come off the size again.
    pub(crate) fn unlaunched(&self, input: &Input<'_>) -> u32 {
        // Unmanaged instances have no size to lower: what is no longer needed is not launched.
        if input.look.is_unmanaged() {
            return 0;
        }
        // Measured at the time of the look, since the engine asks with it for launches under way.
        let late = input.state.launches.missing.late(UNLAUNCHED_AFTER, input.look.at);
        let late =
            u32::try_from(late.saturating_sub(input.state.launches.coming)).unwrap_or(u32::MAX);
        late.min(self.missing).min(input.state.surge())
    }

    /// Whether some instances are updated, none is to come or to go, and `is_done` holds for each.
    pub(super) fn is_all(&self, is_done: impl Fn(&Member<'_>) -> bool) -> bool {
        self.missing == 0
            && self.standby.is_empty()
            && self.updated() > 0
            && self.members.iter().all(|member| !member.is_victim && is_done(member))
    }

    /// Returns how many instances drain, boot or soak.
    ///
    /// In batches, none may when the next one begins.
    pub(crate) fn busy(&self) -> usize {
        let coming = self.unsoaked().count() + self.missing as usize;
        // What leaves is replaced already, and takes one place with its replacement.
        self.victims().count() + coming.max(self.terminating.len())
    }

    /// Returns how many places of the window are free.
    ///
    /// A failed instance holds its place until it is gone.
    pub(crate) fn free(&self) -> usize {
        let failed = self.members.iter().filter(|member| member.holds_place()).count();
        (self.window.slots() as usize).saturating_sub(self.busy() + failed)
    }
}

#[cfg(test)]
impl<'a> Member<'a> {
    /// Returns an old instance that serves.
    pub(crate) fn example(id: &'a InstanceId, instance: &'a Instance) -> Self {
        Member {
            id,
            instance,
            is_new: false,
            failed: false,
            not_blamed: false,
            is_victim: false,
            set_aside: false,
            left_alone: false,
            not_surplus: false,
            serves: true,
            gets_requests: true,
            surely_serves: true,
            in_primary: true,
            soaked: true,
            history: None,
        }
    }
}

impl Member<'_> {
    /// Whether the rollout may register it: it is not to be left alone, and nobody took it out.
    pub(crate) fn may_be_registered(&self) -> bool {
        !self.left_alone && !self.is_taken_out()
    }

    /// Whether somebody else took it out of rotation.
    pub(crate) fn is_taken_out(&self) -> bool {
        self.history.is_some_and(|history| history.taken_out)
    }

    /// Whether the rollout may replace it: of another revision, or failed.
    pub(crate) fn is_old(&self) -> bool {
        (!self.is_new || self.failed) && !self.left_alone
    }

    /// Whether it has failed and not soaked since: taking it out takes no further place.
    pub(crate) fn holds_place(&self) -> bool {
        self.failed && !self.is_victim && !self.soaked
    }

    /// Whether it gets no more requests from any target group.
    ///
    /// No target group lists it as taking them or draining. Where we deregistered it, that counts
    /// once it was seen draining there, or its drain time is over.
    pub(crate) fn is_out_of_rotation(&self, input: &Input<'_>) -> bool {
        let Input { target, state, now, .. } = *input;
        let idle = self.instance.targets.values().all(|h| h.state == TargetState::Unused);
        let asked = state.rotation.deregistered.get(self.id).into_iter().flatten();
        let mut drained = asked.map(|(group, at)| {
            let known = target.rotation().find(|known| known.id == *group);
            state.rotation.drains.contains(&(self.id.clone(), group.clone()))
                || known.is_none_or(|known| now >= *at + known.drain)
        });
        idle && drained.all(|drained| drained)
    }
}

/// Whether a rollback does not answer for an instance that does not serve.
fn is_not_blamed(input: &Input<'_>, history: Option<&InstanceHistory>) -> bool {
    let rolls_back = input.state.direction.rolls_back.is_some();
    rolls_back && history.is_some_and(|history| history.predates)
}

/// Whether there is nothing to do for this deployment.
///
/// Every instance that the rollout may change runs the revision, the fleet launches it, and nothing
/// of a rollout is left on the target.
pub(crate) fn is_converged(input: &Input<'_>) -> bool {
    let view = View::new(input);
    let template = input.look.template.as_ref().map(|found| input.target.resolve(found));
    if let Some(status) = &input.look.controller {
        let is_done = has_replaced_all(input, status) && !status.paused;
        return is_done && template == Some(&input.target.revision) && input.state.record.is_none();
    }
    view.old().next().is_none()
        && view.standby.is_empty()
        && (!input.launches() || template == Some(&input.target.revision))
        && input.state.record.is_none()
}

/// Whether the platform's controller has replaced all by the template: its status says so, and so do
/// the instances. A status may be out of date.
pub(super) fn has_replaced_all(input: &Input<'_>, status: &ControllerStatus) -> bool {
    let are_there = || {
        let all = input.look.instances.values();
        let mut live = all.filter(|instance| instance.lifecycle != Lifecycle::Terminating);
        let desired = input.state.desired(input.look) as usize;
        live.clone().count() >= desired
            && live.all(|instance| instance.revision == input.look.template)
    };
    status.observed && status.complete && are_there()
}

/// Counts instances by their weights.
pub(super) fn units<'m>(members: impl Iterator<Item = &'m Member<'m>>) -> u64 {
    members.map(|member| u64::from(member.instance.units)).sum()
}
