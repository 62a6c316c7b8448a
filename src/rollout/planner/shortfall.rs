//! What a fleet lacks before anything is changed: instances that are missing, or that do not serve.

use super::View;
use super::input::Input;

/// Says how many instances are missing already, with the cloud's own reason.
pub(super) fn missing_now(input: &Input<'_>, view: &View<'_>) -> Option<String> {
    let missing = view.missing as usize;
    if missing == 0 || input.look.is_unmanaged() {
        return None;
    }
    let failed = input.state.launches.activities.iter().find(|activity| activity.failed);
    let why = failed.map_or(String::new(), |activity| format!(" ({})", activity.cause));
    let are = if missing == 1 { "is" } else { "are" };
    Some(format!("{missing} of {} instances {are} missing already{why}", view.window.size))
}

/// Says how many instances do not serve.
pub(super) fn idle_now(view: &View<'_>) -> Option<String> {
    let idle = view.members.iter().filter(|member| !member.serves).count();
    let verb = if idle == 1 { "does" } else { "do" };
    (idle > 0).then(|| format!("{idle} of {} instances {verb} not serve now", view.members.len()))
}
