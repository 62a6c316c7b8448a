//! What each action does to a simulated fleet.

use std::collections::BTreeSet;

use rolling_provider::{Action, ErrorKind, InstanceId, ProviderError, Revision, TargetGroupId};

use super::{OWNED, Simulator, refused};
use crate::config::Behaviour;
use crate::fleet_state::{FleetState, Registration};

impl Simulator {
    pub(super) fn perform(
        &self,
        state: &mut FleetState,
        action: &Action,
    ) -> Result<(), ProviderError> {
        let now = state.now;
        match action {
            Action::WriteRecord { tags } => state.tags.extend(tags.clone()),
            Action::EraseRecord { keys } => state.tags.retain(|key, _| !keys.contains(key)),
            Action::SuspendProcesses { processes } => {
                state.suspended.extend(processes.iter().cloned());
            }
            Action::ResumeProcesses { processes } => {
                state.suspended.retain(|process| !processes.contains(process));
            }
            Action::MoveTemplate { to } => {
                (state.template, state.template_at) = (to.clone(), now);
            }
            Action::SetCapacity { desired, max } => {
                self.set_sizes(state, None, *max, *desired)?;
            }
            Action::ApplyScheduledAction { min, max, desired, .. } => {
                self.set_sizes(state, *min, *max, *desired)?;
            }
            Action::TagMember { instances } => mark(state, instances, true),
            Action::UntagMember { instances } => mark(state, instances, false),
            Action::Launch { revision, source_instance, token } => {
                self.launch_unmanaged(state, revision, source_instance, token)?;
            }
            Action::Release { instance } => state.release(instance),
            // Nothing is kept in reserve here, and there is no controller.
            Action::Discard { .. } | Action::SetRollout { .. } => {}
            Action::Tag { instance, key, value } => tag(state, instance, key, value)?,
            Action::Detach { instance, decrement } => {
                let lives = state.instances.get(instance).is_some_and(|i| i.gone_at.is_none());
                self.lower(state, *decrement && lives)?;
                state.instances.remove(instance);
            }
            Action::Deregister { target_group, instances } => {
                deregister(state, target_group, instances);
            }
            Action::Register { target_group, instances } => {
                register(state, target_group, instances)?;
            }
            Action::Update { instances, to, token } => {
                instances.iter().for_each(|id| state.update(&self.config, id, to, token));
            }
            Action::Confirm { instances, to } => {
                instances.iter().for_each(|id| state.confirm(&self.config, id, to.as_ref()));
            }
            Action::Shift { percent } => state.shifted = *percent,
            Action::Terminate { instance, decrement } => {
                let live = state.instances.get(instance).is_some_and(|i| i.gone_at.is_none());
                self.lower(state, *decrement && live)?;
                state.terminate(&self.config, instance);
            }
        }
        Ok(())
    }
}

impl Simulator {
    /// Sets sizes as `UpdateAutoScalingGroup` does: a size that is left out stays, and a desired
    /// size that is left out moves within the given limits.
    fn set_sizes(
        &self,
        state: &mut FleetState,
        min: Option<u32>,
        max: Option<u32>,
        desired: Option<u32>,
    ) -> Result<(), ProviderError> {
        let min = min.unwrap_or(state.capacity.min);
        let max = max.unwrap_or(state.capacity.max);
        let wanted = desired.unwrap_or(state.capacity.desired.min(max).max(min));
        if min > max || wanted > max || wanted < min {
            let message = format!("desired size {wanted} is outside {min} to {max}");
            return Err(refused("set the sizes", message));
        }
        (state.capacity.min, state.capacity.max) = (min, max);
        state.resize(&self.config, wanted);
        Ok(())
    }

    /// Lowers the size for a removal, never below the minimum. Unmanaged instances have no size.
    fn lower(&self, state: &mut FleetState, lowers: bool) -> Result<(), ProviderError> {
        if !lowers || self.config.unmanaged {
            return Ok(());
        }
        if state.capacity.desired <= state.capacity.min {
            let message = "without a replacement it would go below the minimum size".to_owned();
            return Err(refused("remove", message));
        }
        state.capacity.desired -= 1;
        Ok(())
    }

    fn launch_unmanaged(
        &self,
        state: &mut FleetState,
        revision: &Revision,
        source_instance: &InstanceId,
        token: &str,
    ) -> Result<(), ProviderError> {
        if let Some(id) = state.tokens.get(token) {
            let lives = state.instances.get(id).is_some_and(|found| found.gone_at.is_none());
            let message = format!("token {token} launched {id}, which is gone");
            let spent =
                ProviderError { kind: ErrorKind::TokenAlreadyUsed, ..refused("launch", message) };
            return if lives { Ok(()) } else { Err(spent) };
        }
        let Some(zone) = state
            .instances
            .get(source_instance)
            .map(|source_instance| source_instance.zone.clone())
        else {
            return Err(refused("launch", format!("{source_instance} does not exist")));
        };
        if self.config.bad_revisions.get(revision) == Some(&Behaviour::FailLaunch) {
            let message = "there is no capacity for the instance type in the requested zone";
            let error = refused("launch", message.into());
            return Err(ProviderError { kind: ErrorKind::NoCapacity, ..error });
        }
        state.template = revision.clone();
        let now = state.now;
        let id = state.launch(&self.config, now, zone, Some(source_instance));
        if let Some(instance) = state.instances.get_mut(&id) {
            instance.tags.insert(OWNED.into(), String::new());
        }
        state.tokens.insert(token.to_owned(), id);
        Ok(())
    }
}

/// Marks instances as the fleet's, or takes the mark off.
fn mark(state: &mut FleetState, instances: &BTreeSet<InstanceId>, owned: bool) {
    for id in instances {
        let Some(instance) = state.instances.get_mut(id) else { continue };
        match owned {
            true => drop(instance.tags.insert(OWNED.into(), String::new())),
            false => drop(instance.tags.remove(OWNED)),
        }
    }
}

fn tag(
    state: &mut FleetState,
    id: &InstanceId,
    key: &str,
    value: &str,
) -> Result<(), ProviderError> {
    let Some(instance) = state.instances.get_mut(id) else {
        return Err(refused("tag", format!("{id} does not exist")));
    };
    instance.tags.insert(key.to_owned(), value.to_owned());
    Ok(())
}

fn deregister(
    state: &mut FleetState,
    target_group: &TargetGroupId,
    instances: &BTreeSet<InstanceId>,
) {
    let now = state.now;
    for id in instances {
        let targets = state.instances.get_mut(id).map(|instance| &mut instance.targets);
        if let Some(target) = targets.and_then(|targets| targets.get_mut(target_group)) {
            target.deregistered_at.get_or_insert(now);
        }
    }
}

fn register(
    state: &mut FleetState,
    target_group: &TargetGroupId,
    instances: &BTreeSet<InstanceId>,
) -> Result<(), ProviderError> {
    let now = state.now;
    for id in instances {
        let Some(instance) = state.instances.get_mut(id) else {
            return Err(refused("register", format!("{id} is not running")));
        };
        let fresh = Registration { since: now, deregistered_at: None };
        instance.targets.insert(target_group.clone(), fresh);
    }
    Ok(())
}
