//! Instances that are set aside: which stay as they are, and what is said of them.

use rolling_provider::{InstanceId, Lifecycle};

use super::input::Input;
use super::{Member, View};
use crate::model::spec::SetAside;

/// Returns the instances that stay as they are although they do not run the revision.
pub(crate) fn left_alone(input: &Input<'_>) -> Vec<InstanceId> {
    let view = View::new(input);
    let members = view.members.iter().filter(|member| member.left_alone && !member.is_new);
    let standby = input.look.instances.iter().filter(|(_, instance)| {
        instance.lifecycle == Lifecycle::Standby
            && !input.target.wants(instance)
            && (instance.ignored || input.spec.standby == SetAside::Ignore)
    });
    let standby = standby.map(|(id, _)| id);
    members.map(|member| member.id).chain(standby).chain(ignored(input)).cloned().collect()
}

/// Returns unmanaged instances that are tagged `rolling:ignore` and do not run the revision: they are
/// not counted as the fleet's.
fn ignored<'a>(input: &Input<'a>) -> impl Iterator<Item = &'a InstanceId> {
    let wanted = &input.target.revision;
    let all = input.state.unmanaged.ignored.iter();
    all.filter(move |(_, runs)| runs.as_ref() != Some(wanted)).map(|(id, _)| id)
}

/// What sets instances aside that the rollout waits for, how that ends, and the attribute that says
/// what becomes of them.
pub(super) struct Aside {
    pub(super) what: &'static str,
    pub(super) remedy: &'static str,
    pub(super) attribute: &'static str,
}

/// Returns what sets those aside that the rollout waits for; both where both do.
pub(super) fn reasons(view: &View<'_>) -> Vec<Aside> {
    let protected = Aside {
        what: "protected from scale-in",
        remedy: "remove the protection",
        attribute: "scale_in_protected_instances",
    };
    let standby =
        Aside { what: "in standby", remedy: "end standby", attribute: "standby_instances" };
    let is_protected = view.old().any(|member| member.set_aside);
    let protected = Some(protected).filter(|_| is_protected);
    let standby = Some(standby).filter(|_| !view.standby.is_empty());
    protected.into_iter().chain(standby).collect()
}

/// Returns how many instances are set aside, and what happens to them.
pub(crate) fn set_aside(input: &Input<'_>, view: &View<'_>) -> Vec<String> {
    let spec = input.spec;
    let is_protected =
        |m: &&Member<'_>| !m.is_new && input.state.is_protected(input.target, m.id, m.instance);
    let protected = view.members.iter().filter(is_protected).count();
    let standby = input.look.instances.values().filter(|instance| {
        instance.lifecycle == Lifecycle::Standby && !input.target.wants(instance)
    });
    let rule = |rule, refreshed| match rule {
        SetAside::Refresh => refreshed,
        SetAside::Ignore => "left as they are",
        SetAside::Wait => "waited for, an hour at most",
    };
    let ignored = view.members.iter().filter(|m| m.instance.ignored && !m.is_new).count()
        + ignored(input).count();
    let ignored = (ignored > 0).then(|| {
        let are = if ignored == 1 { "instance is" } else { "instances are" };
        format!("{ignored} {are} tagged rolling:ignore and left alone")
    });
    let kinds = [
        (
            protected,
            "protected from scale-in",
            rule(spec.protected, "replaced anyway"),
            "scale_in_protected_instances",
        ),
        (
            standby.count(),
            "in standby",
            rule(spec.standby, "terminated, and not replaced: they count for no size"),
            "standby_instances",
        ),
    ];
    let found = kinds.into_iter().filter(|(count, ..)| *count > 0);
    let set_aside = found.map(|(count, what, set, attribute)| {
        format!("to be replaced and {what}: {count}; {set} ({attribute})")
    });
    ignored.into_iter().chain(set_aside).collect()
}
