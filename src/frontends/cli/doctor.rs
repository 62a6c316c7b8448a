//! `rolling doctor`: reports everything that blocks a rollout, before it begins.

use std::io;

use rolling_provider::{Examination, ProviderError};

use super::answers::{DoctorAnswer, ExaminedDeployment};
use super::arguments::{Arguments, OutputFormat, load, print_json, refuse};
use crate::document::{Diagnostic, PROVIDER, Resource, Severity};
use crate::engine::Rollout;
use crate::host::process_context::ProcessContext;
use crate::host::stdout::print_line;
use crate::model::printable;
use crate::providers::Providers;
use crate::report::exit_codes::FAILED;

/// The findings about one deployment.
struct DoctorFindings {
    name: String,
    findings: Vec<Diagnostic>,
    untried: Vec<&'static str>,
}

/// Examines every selected deployment. Returns exit code 1 for errors, 0 for warnings or nothing.
pub(crate) async fn doctor(arguments: &Arguments, context: &ProcessContext) -> u8 {
    let (document, resources) = match load(arguments) {
        Ok(loaded) => loaded,
        Err(found) => return refuse(arguments, &found),
    };
    let providers = Providers::new(document.provider.clone(), &context.clock);
    let mut all = Vec::new();
    for resource in &resources {
        all.push(examine(&providers, resource, context).await);
    }
    if let Some(first) = all.first_mut() {
        first.findings.extend(document.warnings.clone());
    }
    let is_ill = all.iter().any(|found| count(found, Severity::Error) > 0);
    match arguments.output {
        OutputFormat::Json => {
            let resources = all.iter().map(|found| ExaminedDeployment {
                resource: found.name.clone(),
                diagnostics: arguments.all_located(&found.findings),
                untried: found.untried.clone(),
            });
            print_json(&DoctorAnswer { healthy: !is_ill, resources: resources.collect() });
        }
        OutputFormat::Text => {
            all.iter().for_each(|found| print_line(&mut io::stdout(), &text(arguments, found)));
        }
    }
    if is_ill { FAILED } else { 0 }
}

async fn examine(
    providers: &Providers,
    resource: &Resource,
    context: &ProcessContext,
) -> DoctorFindings {
    let place =
        |error: &ProviderError| Diagnostic::from_provider(error, &resource.pointer, PROVIDER);
    let name = resource.name.clone();
    let fleet = match providers.open(&resource.config).await {
        Ok(fleet) => fleet,
        Err(error) => {
            return DoctorFindings { name, findings: vec![place(&error)], untried: Vec::new() };
        }
    };
    let Examination { errors, warnings, untried } = fleet.examine().await;
    let mut findings: Vec<Diagnostic> = errors.iter().map(place).collect();
    findings.extend(
        warnings.iter().map(|warning| Diagnostic { severity: Severity::Warning, ..place(warning) }),
    );
    let caller = context.caller(&context.rollout_id);
    match Rollout::look_up(fleet, resource.spec.clone(), &caller).await {
        Ok(rollout) => {
            let preflight = rollout.preflight();
            findings.extend(preflight.iter().map(|found| {
                let place = format!("{}/{}", resource.pointer, found.attribute);
                let diagnostic = match found.is_error {
                    true => Diagnostic::error(place, &found.message),
                    false => Diagnostic::warning(place, &found.message),
                };
                diagnostic.with_remedy(&found.remedy)
            }));
            let is_listed =
                |message: &String| preflight.iter().any(|found| found.message == *message);
            let preview = rollout.preview();
            let more = preview.warnings.iter().filter(|message| !is_listed(message));
            findings.extend(more.map(|message| Diagnostic::warning(&resource.pointer, message)));
            findings.extend(raised(&preview.borrows, &resource.pointer));
            if let Err(error) = rollout.may_begin().await {
                add(&mut findings, place(&error));
            }
        }
        Err(error) => add(&mut findings, place(&error)),
    }
    DoctorFindings { name, findings, untried }
}

/// Adds `found`, unless it is there already.
fn add(findings: &mut Vec<Diagnostic>, found: Diagnostic) {
    // An error of a check begins with the name of that check.
    if !findings.iter().any(|known| found.summary.ends_with(&known.summary)) {
        findings.push(found);
    }
}

/// Warns when the surge makes the rollout raise the maximum size: not every operator wants that.
fn raised(borrows: &[crate::model::preview::Borrowing], pointer: &str) -> Option<Diagnostic> {
    let raised = borrows.iter().find(|borrowing| borrowing.what == "maximum size")?;
    let message = format!(
        "the maximum size is too small for the surge: the rollout raises it to {}",
        raised.becomes
    );
    let remedy = "raise the group's maximum, or choose a policy without surge, such as rolling";
    Some(Diagnostic::warning(pointer, message).with_remedy(remedy))
}

fn count(found: &DoctorFindings, severity: Severity) -> usize {
    found.findings.iter().filter(|finding| finding.severity == severity).count()
}

fn text(arguments: &Arguments, found: &DoctorFindings) -> String {
    let mut lines: Vec<String> =
        found.findings.iter().map(|finding| arguments.located(finding)).collect();
    if !found.untried.is_empty() {
        lines.push(format!(
            "not tested: {}\n  help: AWS checks these permissions only when the calls are made; \
             docs/iam-policy.json allows all of them",
            found.untried.join(", ")
        ));
    }
    let (errors, warnings) = (count(found, Severity::Error), count(found, Severity::Warning));
    let name = printable::line(&found.name);
    let plural = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    };
    lines.push(match (errors, warnings) {
        (0, 0) => format!("{name}: no problems found"),
        _ => format!("{name}: {}, {}", plural(errors, "error"), plural(warnings, "warning")),
    });
    lines.join("\n")
}
