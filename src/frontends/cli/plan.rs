//! `rolling validate` and `rolling plan`.

use std::io;

use super::answers::{PlanAnswer, PlannedDeployment, ValidateAnswer};
use super::arguments::refuse;
use crate::frontends::cli::arguments::load;
use crate::frontends::cli::open_targets::{Purpose, prepare_all};
use crate::frontends::cli::{Arguments, OutputFormat, print_json};
use crate::host::process_context::ProcessContext;
use crate::host::stdout::print_line;
use crate::model::printable;
use crate::report::exit_codes::CHANGES;
use crate::report::text;

/// Checks the document. Returns the exit code.
pub(crate) fn validate(arguments: &Arguments) -> u8 {
    match load(arguments) {
        Ok((document, resources)) => {
            let names: Vec<&str> = resources.iter().map(|r| r.name.as_str()).collect();
            match arguments.output {
                OutputFormat::Text => {
                    for warning in &document.warnings {
                        print_line(&mut io::stderr(), &arguments.located(warning));
                    }
                    let message = format!("valid: {}", names.join(", "));
                    print_line(&mut io::stdout(), &printable::line(&message));
                }
                OutputFormat::Json => {
                    let diagnostics = arguments.all_located(&document.warnings);
                    print_json(&ValidateAnswer { valid: true, diagnostics });
                }
            }
            0
        }
        Err(found) => refuse(arguments, &found),
    }
}

/// Shows what an apply would do. Returns the exit code: with `detailed`, 10 if there are changes.
pub(crate) async fn plan(arguments: &Arguments, detailed: bool, context: &ProcessContext) -> u8 {
    let prepared = match prepare_all(arguments, context, Purpose::Plan).await {
        Ok(prepared) => prepared,
        Err(found) => return refuse(arguments, &found),
    };
    let mut changes = false;
    let mut resources = Vec::new();
    for (resource, rollout) in &prepared {
        let preview = rollout.preview();
        changes |= preview.changes;
        match arguments.output {
            OutputFormat::Text => {
                print_line(&mut io::stdout(), &text::plan(&resource.name, &preview))
            }
            OutputFormat::Json => {
                resources.push(PlannedDeployment { resource: resource.name.clone(), plan: preview })
            }
        }
    }
    if arguments.output == OutputFormat::Json {
        print_json(&PlanAnswer { changes, resources });
    }
    if detailed && changes { CHANGES } else { 0 }
}
