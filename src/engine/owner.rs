//! Names this process to others that read its lease, and tells whether another one still lives.

use rustix::process::{Pid, getpid, test_kill_process};
use rustix::system::uname;

/// Returns the name of this process: who runs it, where that is known, host, process id, start
/// time, and the boot and namespace of its id.
///
/// A process id is used again after a while, and means nothing in another container or after a
/// restart of the host. Hence the last two parts.
pub fn this_process(user: Option<&str>) -> String {
    let user = user.filter(|user| !user.is_empty());
    let user = user.map_or(String::new(), |user| format!("{}/", tag_safe(user)));
    let pid = getpid();
    let began = process(pid).map_or_else(|| "0".into(), |(_, began)| began);
    format!("{user}{}/{}.{began}.{}", host(), pid.as_raw_nonzero(), namespaces())
}

/// Whether `owner`, as [`this_process`] gave it, was a process of this very host and is gone.
/// `false` where that cannot be known.
pub fn is_gone(owner: &str) -> bool {
    let Some((host_then, process_then)) = owner.rsplit_once('/') else { return false };
    let host_then = host_then.rsplit_once('/').map_or(host_then, |(_, host)| host);
    let mut parts = process_then.split('.');
    let (Some(pid), Some(began), Some(namespaces_then)) =
        (parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    if host_then != host() || namespaces_then != namespaces() {
        return false;
    }
    let Some(pid) = pid.parse().ok().and_then(Pid::from_raw) else { return false };
    let is_there = || test_kill_process(pid) != Err(rustix::io::Errno::SRCH);
    has_ended(began, process(pid), is_there)
}

/// Whether the process that began at `began` has ended. `shown` is what `/proc` shows of its id.
/// `is_there` returns whether any process has that id: `kill(2)` reports also processes that may
/// not be signalled.
fn has_ended(began: &str, shown: Option<(char, String)>, is_there: impl Fn() -> bool) -> bool {
    match shown {
        Some((state, began_now)) if began != "0" => {
            matches!(state, 'Z' | 'X') || began_now != began
        }
        // /proc may hide the processes of others; the system still reports whether there is one.
        _ => !is_there(),
    }
}

fn host() -> String {
    tag_safe(&uname().nodename().to_string_lossy())
}

/// Returns `name` in the characters that every record may hold.
fn tag_safe(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-._".contains(c) { c } else { '-' })
        .collect()
}

/// Returns state and start time of a process, where the system provides them (Linux).
fn process(pid: Pid) -> Option<(char, String)> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The name in parentheses may hold spaces and parentheses; what follows the last one does not.
    let (_, remaining) = stat.rsplit_once(')')?;
    let mut fields = remaining.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    // Field 22 of proc(5); the state is field 3.
    Some((state, fields.nth(18)?.to_owned()))
}

/// Returns an id of this boot and process-id namespace; `-` where the system provides none.
fn namespaces() -> String {
    use sha2::{Digest as _, Sha256};
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    if boot.is_empty() {
        return "-".into();
    }
    let digest = Sha256::digest(format!("{boot}{}", namespace.display()).as_bytes());
    digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_proc_hides_lives_unless_there_is_none_of_its_id() {
        assert!(!has_ended("7", None, || true));
        assert!(has_ended("7", None, || false));
        assert!(!has_ended("7", Some(('S', "7".into())), || true));
        assert!(has_ended("7", Some(('Z', "7".into())), || true));
        assert!(has_ended("7", Some(('S', "8".into())), || true));
        assert!(!has_ended("0", Some(('S', "8".into())), || true));
    }

    #[test]
    fn this_process_lives_and_others_of_this_host_are_known_to_be_gone() {
        for user in [None, Some("a.user"), Some("a/user @home")] {
            named(&this_process(user));
        }
        assert!(this_process(Some("a.user")).starts_with("a.user/"));
        assert!(!is_gone("another-host/1.1.00000000"));
        assert!(!is_gone("nonsense"));
    }

    fn named(me: &str) {
        assert!(!is_gone(me), "{me}");
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_.:/=+-@".contains(c);
        assert!(me.chars().all(allowed), "{me}");
        if cfg!(target_os = "linux") {
            let (host, process) = me.rsplit_once('/').unwrap_or_default();
            let parts: Vec<&str> = process.split('.').collect();
            let earlier = format!("{host}/{}.1.{}", parts[0], parts[2]);
            assert!(is_gone(&earlier), "the id was used by a process that began at another time");
            let elsewhere = format!("{host}/{}.1.00000000", parts[0]);
            assert!(!is_gone(&elsewhere), "another boot or container: nobody knows");
        }
    }
}
