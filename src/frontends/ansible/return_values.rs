//! Turns the result of a task into the one answer to Ansible.

use std::collections::BTreeSet;

use rolling_provider::InstanceId;
use serde_json::{Map, Value, json};

use super::arguments::{self, Mode, Task};
use crate::document::Diagnostic;
use crate::model::event::{InstanceReport, Outcome, Report};
use crate::model::preview::Preview;
use crate::model::printable;
use crate::report::text::{self, counted};

/// The answer to Ansible.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ModuleResult {
    /// Whether the task changed (in check mode: would change) anything.
    pub(crate) changed: bool,
    /// Whether the task failed to achieve what it asks for.
    pub(crate) failed: bool,
    /// What happened, for people.
    pub(crate) msg: String,
    /// Further warnings.
    pub(crate) warnings: Vec<String>,
    /// The computed attributes of the deployment's state.
    pub(crate) facts: Value,
    /// What the instances run, before and after.
    pub(crate) diff: Option<(String, String)>,
}

impl ModuleResult {
    /// Returns the answer to a task that cannot be carried out and has touched nothing.
    pub(crate) fn invalid(found: &[Diagnostic]) -> Self {
        let lines: Vec<String> = found.iter().map(arguments::message).collect();
        Self { failed: true, msg: lines.join("\n"), ..Self::default() }
    }

    /// Returns the answer as it goes over the wire.
    pub(crate) fn into_json(self, task: Option<&Task>) -> Value {
        let Mode { diff, tell, .. } = task.map(|task| task.mode).unwrap_or_default();
        let mut answer = match self.facts {
            Value::Object(facts) => facts,
            _ => Map::new(),
        };
        let mut set = |name: &str, value: Value| answer.insert(name.to_owned(), value);
        set("changed", json!(self.changed));
        set("failed", json!(self.failed));
        set("msg", json!(printable::lines(&self.msg)));
        if !self.warnings.is_empty() {
            let warnings: Vec<_> = self.warnings.iter().map(|it| printable::line(it)).collect();
            set("warnings", json!(warnings));
        }
        if let Some((before, after)) = self.diff.filter(|_| diff) {
            set("diff", json!({ "before": before, "after": after }));
        }
        if let Some(task) = task.filter(|_| tell) {
            set("invocation", json!({ "module_args": task.arguments }));
        }
        Value::Object(answer)
    }
}

/// Says what a rollout would do, in one sentence.
pub(crate) fn would_roll(preview: &Preview) -> String {
    if !preview.changes {
        return nothing_to_do(preview);
    }
    format!("would roll {}", text::intent(preview))
}

/// Says that the fleet needs no change.
pub(crate) fn nothing_to_do(preview: &Preview) -> String {
    if let Some(untouched) = text::untouched(preview) {
        return format!("nothing to do, {}: {untouched}", preview.target);
    }
    let instances = counted(preview.size as usize, "instance");
    format!("nothing to do, {} of {instances} runs {}", preview.target, preview.to)
}

/// Says how a rollout ended, what it left, and what to do next.
pub(crate) fn ended(report: &Report) -> String {
    let (what, mut sentences) = text::ended(report);
    if report.outcome == Outcome::Succeeded {
        let besides = text::besides(report);
        let sentences: Vec<String> = [what].into_iter().chain(besides).collect();
        return printable::line(&sentences.join(". ")).into_owned();
    }
    sentences.insert(0, what);
    sentences.extend(text::besides(report).iter().map(|besides| text::capital(besides)));
    sentences.push(text::capital(&text::NextStep::after(report).sentence(&WORDING)));
    printable::line(&sentences.join(". ")).into_owned()
}

/// Says that a rollout is paused, and that running the task again does not resume it.
pub(crate) fn still_paused(preview: &Preview, reason: Option<&str>) -> String {
    let Preview { target, to, .. } = preview;
    let reason = reason.map_or(String::new(), |reason| format!(": {reason}"));
    format!("the rollout of {target} to {to} is paused{reason}. {}", WORDING.decide)
}

/// How somebody acts who runs a playbook.
const WORDING: text::Wording<'static> = text::Wording {
    again: "run the task again",
    decide: "state: resumed continues it, state: rolled_back rolls it back, state: aborted ends it",
    roll_back: "state: rolled_back goes back",
    follow: "run the task again to follow it; state: aborted ends it, state: rolled_back rolls \
             it back",
    wait: "wait for it to end, or stop it with state: paused or state: aborted",
    look: "run the task again; it continues from the current state",
};

/// Lists what every instance runs, one per line.
pub(crate) fn shown(instances: &[InstanceReport]) -> String {
    instances.iter().map(line).collect()
}

/// Lists what every instance runs after the rollout of `preview`.
///
/// With continuous pacing there are no batches that list `old`, whatever is to be replaced.
pub(crate) fn shown_after(
    preview: &Preview,
    instances: &[InstanceReport],
    old: &BTreeSet<InstanceId>,
) -> String {
    let goes = |instance: &&InstanceReport| {
        let mut batches = preview.batches.iter();
        match preview.continuous {
            true => preview.changes && old.contains(&instance.id),
            false => batches.any(|batch| batch.replaces.contains(&instance.id)),
        }
    };
    let (gone, stay): (Vec<_>, Vec<_>) = instances.iter().partition(goes);
    let new = format!("a new instance on {}\n", preview.to);
    stay.into_iter().map(line).chain(gone.iter().map(|_| new.clone())).collect()
}

fn line(instance: &InstanceReport) -> String {
    let revision = instance.revision.as_ref().map_or("an unknown revision", |r| r.as_str());
    let trouble = match (&instance.trouble, instance.serves) {
        (_, true) => "serves",
        (Some(trouble), false) => trouble,
        (None, false) => "does not serve",
    };
    format!("{} on {revision} in {}, {trouble}\n", instance.id, instance.zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(id: &str, revision: &str, trouble: Option<&str>) -> InstanceReport {
        InstanceReport {
            id: id.into(),
            revision: Some(revision.into()),
            zone: "a".into(),
            serves: trouble.is_none(),
            trouble: trouble.map(str::to_owned),
        }
    }

    fn report(outcome: Outcome) -> Report {
        Report {
            outcome,
            reason: Some("i-2: unhealthy".into()),
            cause: None,
            target: "web".into(),
            to: "v2".into(),
            completed: Some("v1".into()),
            previous: None,
            retained_failed: Vec::new(),
            batches: 1,
            size: 2,
            instances: vec![instance("i-1", "v1", None), instance("i-2", "v2", Some("unhealthy"))],
            delegated_rollout: None,
            to_restart: 0,
            left_alone: Vec::new(),
            restored: None,
            failed_hooks: Vec::new(),
            changed_by_others: Vec::new(),
            borrowed: Vec::new(),
            overtaken: false,
            interrupted: false,
            elapsed_ms: 61_000,
            ticks: 3,
        }
    }

    #[test]
    fn the_message_says_what_happened_what_is_left_and_what_to_do() {
        assert_eq!(
            ended(&report(Outcome::Succeeded)),
            "rolled web to v2: 1 of 2 instances, 1 batch, 1m 1s"
        );
        assert_eq!(
            ended(&report(Outcome::RolledBack)),
            "web was rolled back from v2 to v1: i-2: unhealthy. Now 1 of 1 on v1 serve, 0 of 1 on \
             v2 serve. All temporary changes are undone. Correct the cause, then run the task \
             again"
        );
        let mut paused = report(Outcome::Paused);
        paused.borrowed = vec!["2 instances of surge".into()];
        paused.retained_failed = vec!["i-9".into()];
        assert_eq!(
            ended(&paused),
            "the rollout of web to v2 is paused: i-2: unhealthy. Now 1 of 1 on v1 serve, 0 of 1 on \
             v2 serve. Kept outside the fleet for inspection: i-9. Still borrowed: 2 instances of \
             surge. state: resumed continues it, state: rolled_back rolls it back, state: aborted \
             ends it"
        );
        let mut short = report(Outcome::Failed);
        short.size = 4;
        assert!(ended(&short).contains("on v2 serve, 2 of the 4 wanted not launched"), "{short:?}");
        for (outcome, next) in [
            (
                Outcome::Failed,
                "Correct the cause, then run the task again; or state: rolled_back goes back",
            ),
            (
                Outcome::Aborted,
                "To roll it out after all, run the task again; or state: rolled_back goes back",
            ),
            (
                Outcome::Locked,
                "Wait for it to end, or stop it with state: paused or state: aborted",
            ),
        ] {
            assert!(ended(&report(outcome)).ends_with(next), "{outcome:?}");
        }
    }

    #[test]
    fn a_diff_has_a_line_for_each_instance() {
        let now = report(Outcome::Failed).instances;
        assert_eq!(shown(&now), "i-1 on v1 in a, serves\ni-2 on v2 in a, unhealthy\n");
    }
}
