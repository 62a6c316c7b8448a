//! `rolling convert`: turns settings of other tools into a document.

use std::io;
use std::path::PathBuf;

use super::answers::ConvertAnswer;
use super::arguments::{OutputFormat, all_located, located, print_json, read_text, refuse_file};
use crate::document::Positions;
use crate::foreign_settings::{TargetId, convert as converted};
use crate::host::stdout::{print_json_line, print_line};

/// The arguments of `convert`.
#[derive(clap::Args)]
pub(crate) struct ConvertArguments {
    /// The settings in JSON or YAML, or `-` for standard input: option settings of Elastic
    /// Beanstalk, a Deployment or StatefulSet of Kubernetes, preferences of an instance refresh, an
    /// aws_autoscaling_group of Terraform, or a deployment configuration of CodeDeploy
    file: PathBuf,
    /// What the document is for, by the id that an import takes: auto_scaling_group/NAME or
    /// kubernetes_deployment/NAMESPACE/NAME, for instance. Default: what the settings are for
    #[arg(long, value_name = "ID", value_parser = TargetId::parse)]
    target: Option<TargetId>,
    /// How to print
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    output: OutputFormat,
}

/// Prints the document on standard output, and what has no equivalent in it on standard error.
/// Returns the exit code.
pub(crate) fn convert(arguments: &ConvertArguments) -> u8 {
    let (file, output) = (arguments.file.as_path(), arguments.output);
    let text = match read_text(file) {
        Ok(text) => text,
        Err(found) => return refuse_file(file, None, output, &found),
    };
    // Places are known in JSON alone.
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
    let positions = is_json.then(|| Positions::of(&text));
    let conversion = match converted(&text, arguments.target.as_ref()) {
        Ok(conversion) => conversion,
        Err(found) => return refuse_file(file, positions.as_ref(), output, &found),
    };
    match output {
        OutputFormat::Text => {
            for warning in &conversion.warnings {
                print_line(&mut io::stderr(), &located(file, positions.as_ref(), warning));
            }
            print_json_line(&mut io::stdout(), &format_args!("{:#}", conversion.document));
        }
        OutputFormat::Json => {
            let warnings = all_located(positions.as_ref(), &conversion.warnings);
            print_json(&ConvertAnswer { document: conversion.document, warnings });
        }
    }
    0
}
