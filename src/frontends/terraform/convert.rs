//! Conversion of findings: attribute paths replace JSON Pointers.

use super::proto::{self, AttributePath, Selector, Step};
use super::schema::Kind;
use crate::document::{Diagnostic, Severity, missing_name};
use crate::model::printable;
use crate::report::text::capital;

/// Converts a finding about a value of `kind` to its wire form.
pub(crate) fn diagnostic(finding: &Diagnostic, kind: &Kind) -> proto::Diagnostic {
    // A missing attribute has a place too: where it would be.
    let pointer = match missing_name(finding) {
        Some(name) => format!("{}/{name}", finding.pointer),
        None => finding.pointer.clone(),
    };
    let steps = steps(&pointer, kind);
    let summary = match pointer.strip_prefix('/') {
        None => finding.summary.clone(),
        // A name without a place in the schema is shown as well.
        Some(names) if names.split('/').count() > steps.len() => {
            format!("{}: {}", names.replace('/', "."), finding.summary)
        }
        Some(_) => format!("{}: {}", shown(&steps), finding.summary),
    };
    let severity = match finding.severity {
        Severity::Error => proto::Severity::Error,
        Severity::Warning => proto::Severity::Warning,
    };
    let detail = finding.remedy.as_deref().map(sentence).unwrap_or_default();
    proto::Diagnostic {
        severity: severity.into(),
        summary: printable::line(&capital(&summary)).into_owned(),
        detail: printable::lines(&detail).into_owned(),
        attribute: (!steps.is_empty()).then_some(AttributePath { steps }),
    }
}

/// Returns an error about the whole value.
pub(crate) fn error(summary: impl Into<String>, detail: impl Into<String>) -> proto::Diagnostic {
    let summary = printable::line(&summary.into()).into_owned();
    let detail = printable::lines(&detail.into()).into_owned();
    let severity = proto::Severity::Error.into();
    proto::Diagnostic { severity, summary, detail, attribute: None }
}

/// Returns a warning about the whole resource.
pub(super) fn warning(summary: impl Into<String>, detail: impl Into<String>) -> proto::Diagnostic {
    proto::Diagnostic { severity: proto::Severity::Warning.into(), ..error(summary, detail) }
}

/// Returns the path of a JSON Pointer into a value of `kind`, as far as `kind` has places for it.
pub(crate) fn path(pointer: &str, kind: &Kind) -> AttributePath {
    AttributePath { steps: steps(pointer, kind) }
}

fn steps(pointer: &str, kind: &Kind) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut kind = Some(kind);
    for name in pointer.split('/').skip(1) {
        let name = name.replace("~1", "/").replace("~0", "~");
        let (selector, within) = match kind {
            Some(Kind::Object(attributes) | Kind::Block(attributes)) => {
                let known = attributes.iter().find(|attribute| attribute.name == name);
                let Some(known) = known else { break };
                (Selector::AttributeName(name), Some(&known.kind))
            }
            Some(Kind::List(_) | Kind::Objects(_) | Kind::Blocks(_)) if steps_into_list(&steps) => {
                let Ok(index) = name.parse() else { break };
                (Selector::ElementKeyInt(index), kind)
            }
            Some(Kind::Objects(attributes) | Kind::Blocks(attributes)) => {
                let known = attributes.iter().find(|attribute| attribute.name == name);
                let Some(known) = known else { break };
                (Selector::AttributeName(name), Some(&known.kind))
            }
            Some(Kind::Map(element)) => (Selector::ElementKeyString(name), Some(&**element)),
            _ => break,
        };
        steps.push(Step { selector: Some(selector) });
        kind = within;
    }
    steps
}

/// Whether the next step selects a list element: the last step selected none.
fn steps_into_list(steps: &[Step]) -> bool {
    !matches!(steps.last(), Some(Step { selector: Some(Selector::ElementKeyInt(_)) }))
}

/// Returns a path as Terraform writes it: `checkpoints[0].percentage`.
fn shown(steps: &[Step]) -> String {
    let mut message = String::new();
    for step in steps {
        match &step.selector {
            Some(Selector::AttributeName(name)) if message.is_empty() => message.push_str(name),
            Some(Selector::AttributeName(name)) => message.push_str(&format!(".{name}")),
            Some(Selector::ElementKeyString(name)) => message.push_str(&format!("[{name:?}]")),
            Some(Selector::ElementKeyInt(index)) => message.push_str(&format!("[{index}]")),
            None => {}
        }
    }
    message
}

/// Returns the message as a sentence: capitalized, and with an end mark.
pub(crate) fn sentence(message: &str) -> String {
    let message = capital(message);
    let ends = message.ends_with(['.', '?', '!']);
    if ends { message } else { message + "." }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frontends::terraform::schema::schemas;

    #[test]
    fn a_finding_names_its_attribute() {
        let kind = &schemas().resource;
        let at = |pointer: &str| shown(&path(pointer, kind).steps);
        assert_eq!(at("/policy"), "policy");
        assert_eq!(at("/checkpoints/1/percentage"), "checkpoints[1].percentage");
        assert_eq!(
            at("/auto_scaling_group/target_group_arns/0"),
            "auto_scaling_group.target_group_arns[0]"
        );
        assert_eq!(
            at("/simulated_fleet/bad_revisions/a~1b"),
            "simulated_fleet.bad_revisions[\"a/b\"]"
        );
        assert_eq!(at("/timeouts/update"), "timeouts.update");
        assert_eq!(at(""), "");

        let found = Diagnostic::error("/auto_scaling_group", "the attribute \"name\" is missing");
        let shown = diagnostic(&found, kind);
        assert_eq!(shown.summary, "auto_scaling_group.name: the attribute \"name\" is missing");
    }

    #[test]
    fn messages_are_sentences_and_paths_stay_as_they_are() {
        assert_eq!(sentence("write 1"), "Write 1.");
        assert_eq!(sentence("did you mean this?"), "Did you mean this?");
    }
}
