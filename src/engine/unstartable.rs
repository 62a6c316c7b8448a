//! Programs of the document that cannot be started here: a hook or a gate that needs one fails.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::caller::Caller;
use crate::model::spec::{HookCall, Probe, RollingDeployment};
use crate::rollout::planner::Preflight;

/// Returns what is known beforehand of programs that do not exist. Where another process makes the
/// tries of hooks, only of the gates'.
pub(super) fn unstartable(spec: &RollingDeployment, caller: &Caller) -> Vec<Preflight> {
    let hooks = spec.hooks.0.iter().filter(|_| caller.hook_driver.is_none());
    let hooks = hooks.filter_map(|(point, hook)| match &hook.call {
        HookCall::Command { run, .. } => Some((format!("hook {}", point.name()), "hooks", run)),
        HookCall::Http { .. } => None,
    });
    let gates = spec.gates.probes.iter().filter_map(|probe| match probe {
        Probe::Command { run, .. } => Some(("the command of the gates".into(), "gates", run)),
        Probe::Http { .. } => None,
    });
    let missing = hooks.chain(gates).filter_map(|(what, attribute, run)| {
        let program = run.first()?;
        is_missing(program, caller.search_path.as_ref()).then(|| Preflight {
            is_error: false,
            attribute,
            message: format!(
                "{what} runs {program:?}, and there is no such program on this host: it would fail"
            ),
            remedy: "install it here, or correct its path".into(),
        })
    });
    missing.collect()
}

/// Whether there is no file for `program`: at its path, or in the folders of `search_path`.
fn is_missing(program: &str, search_path: Option<&OsString>) -> bool {
    if program.contains('/') {
        return !Path::new(program).exists();
    }
    let Some(folders) = search_path else { return false };
    !std::env::split_paths(folders).any(|folder: PathBuf| folder.join(program).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_looked_for_at_its_path_or_in_the_search_path() {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("drain");
        std::fs::write(&program, "").expect("a file");
        let path = Some(OsString::from(folder.path()));
        assert!(!is_missing(&program.to_string_lossy(), None));
        assert!(is_missing("/no/such/program", path.as_ref()));
        assert!(!is_missing("drain", path.as_ref()));
        assert!(is_missing("restore", path.as_ref()));
        assert!(!is_missing("drain", None), "nothing is known");
    }
}
