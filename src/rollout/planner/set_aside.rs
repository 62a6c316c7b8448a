//! Instances that are set aside, as sentences.

use rolling_provider::Lifecycle;

use super::View;
use super::input::Input;
use crate::model::spec::SetAside;

/// Returns how many instances are set aside, and what becomes of them.
pub fn set_aside(input: &Input<'_>, view: &View<'_>) -> Vec<String> {
    let spec = input.spec;
    let protected = view.members.iter().filter(|m| m.instance.protected && !m.is_new).count();
    let standby = input.look.instances.values().filter(|instance| {
        instance.lifecycle == Lifecycle::Standby
            && instance.revision.as_ref() != Some(&input.target.revision)
    });
    let rule = |rule| match rule {
        SetAside::Refresh => "replaced all the same",
        SetAside::Ignore => "left as they are",
        SetAside::Wait => "waited for, an hour at most",
    };
    let kinds = [
        (protected, "protected from scale-in", spec.protected, "scale_in_protected_instances"),
        (standby.count(), "in standby", spec.standby, "standby_instances"),
    ];
    let found = kinds.into_iter().filter(|(count, ..)| *count > 0);
    found
        .map(|(count, what, set, attribute)| {
            format!("to replace and {what}: {count}; {} ({attribute})", rule(set))
        })
        .collect()
}
