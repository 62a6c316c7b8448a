//! The arguments that subcommands share: the document, and how to print.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use clap::ValueEnum;
use serde::Serialize;
use serde_json::json;

use super::answers::{Located, ValidateAnswer};
use crate::document::{Diagnostic, Document, Positions, Resource, decode};
use crate::host::process_context::ProcessContext;
use crate::host::stdout::{print_json_line, print_line};
use crate::model::printable;
use crate::report::exit_codes::INVALID;
use crate::report::progress_file::{self, Header};

/// The arguments that subcommands share.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The document in Terraform's JSON syntax, `-` for standard input, or a progress file, which
    /// contains a document
    pub(crate) file: PathBuf,
    /// Only this rolling_deployment of the document
    #[arg(long, value_name = "NAME")]
    resource: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    pub(super) output: OutputFormat,
    /// The document, once it is read: standard input can be read once only
    #[arg(skip)]
    bytes: OnceLock<Vec<u8>>,
    /// Where everything in the document stands, once it is read
    #[arg(skip)]
    positions: OnceLock<Positions>,
}

impl Arguments {
    /// Returns a finding as text for people, with the file, line and column of its place.
    pub(super) fn located(&self, finding: &Diagnostic) -> String {
        located(&self.file, self.positions.get(), finding)
    }

    /// Returns findings, each with the line and column of its place where it has them.
    pub(super) fn all_located(&self, found: &[Diagnostic]) -> Vec<Located> {
        all_located(self.positions.get(), found)
    }
}

/// Returns a finding about `file` as text for people, with the line and column of its place.
pub(super) fn located(file: &Path, positions: Option<&Positions>, finding: &Diagnostic) -> String {
    let file = name(file);
    match positions.and_then(|positions| positions.nearest(&finding.pointer)) {
        Some(position) => finding.text(Some(&format!("{file}:{position}"))),
        None => format!("{}: {finding}", printable::line(&file)),
    }
}

/// Returns findings, each with the line and column of its place where it has them.
pub(super) fn all_located(positions: Option<&Positions>, found: &[Diagnostic]) -> Vec<Located> {
    let each = found.iter().map(|finding| {
        let position = positions.and_then(|positions| positions.nearest(&finding.pointer));
        Located::new(finding.clone(), position)
    });
    each.collect()
}

/// Returns what is read from `file`, as a name for people.
fn name(file: &Path) -> String {
    match is_standard_input(file) {
        true => "standard input".into(),
        false => file.display().to_string(),
    }
}

fn is_standard_input(file: &Path) -> bool {
    file == Path::new("-")
}

/// How a subcommand prints.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people; with live progress on a terminal
    Text,
    /// For pipelines: one JSON object, or for apply one per line
    Json,
}

/// Reads a file, or standard input for `-`.
fn read(file: &Path) -> io::Result<Vec<u8>> {
    if !is_standard_input(file) {
        return std::fs::read(file);
    }
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::stdin(), &mut bytes)?;
    Ok(bytes)
}

/// Says why `file` could not be read.
fn failed(file: &Path, why: &dyn std::fmt::Display) -> Vec<Diagnostic> {
    vec![Diagnostic::error("", format!("failed to read {}: {why}", name(file)))]
}

/// Reads the text in a file, or standard input for `-`.
pub(super) fn read_text(file: &Path) -> Result<String, Vec<Diagnostic>> {
    let bytes = read(file).map_err(|error| failed(file, &error))?;
    decode(&bytes).map_err(|why| failed(file, &why))
}

/// Reads the document and selects the resources that `arguments` names.
pub(super) fn load(arguments: &Arguments) -> Result<(Document, Vec<Resource>), Vec<Diagnostic>> {
    let failed = |why: &dyn std::fmt::Display| failed(&arguments.file, why);
    let bytes = match arguments.bytes.get() {
        Some(bytes) => bytes,
        None => {
            let bytes = read(&arguments.file).map_err(|error| failed(&error))?;
            arguments.bytes.get_or_init(|| bytes)
        }
    };
    let text = decode(bytes).map_err(|why| failed(&why))?;
    let document = match progress_file::header(&text) {
        Some(Header { document, .. }) => Document::parse(&document.to_string())?,
        None => {
            // A document is read once.
            arguments.positions.set(Positions::of(&text)).unwrap_or_default();
            Document::parse(&text)?
        }
    };
    let mut resources = document.resources.clone();
    if let Some(name) = &arguments.resource {
        resources.retain(|resource| resource.name == *name);
        if resources.is_empty() {
            let known: Vec<&str> = document.resources.iter().map(|r| r.name.as_str()).collect();
            let message = format!("there is no rolling_deployment {name:?}");
            let remedy = format!("the document has {}", known.join(", "));
            let found = Diagnostic::error("/resource/rolling_deployment", message);
            return Err(vec![found.with_remedy(remedy)]);
        }
    }
    Ok((document, resources))
}

pub(super) fn refuse(arguments: &Arguments, found: &[Diagnostic]) -> u8 {
    refuse_file(&arguments.file, arguments.positions.get(), arguments.output, found)
}

/// Prints what is wrong with `file`. Returns the exit code.
pub(super) fn refuse_file(
    file: &Path,
    positions: Option<&Positions>,
    output: OutputFormat,
    found: &[Diagnostic],
) -> u8 {
    match output {
        OutputFormat::Text => {
            for diagnostic in found {
                print_line(&mut io::stderr(), &located(file, positions, diagnostic));
            }
        }
        OutputFormat::Json => {
            let diagnostics = all_located(positions, found);
            print_json(&ValidateAnswer { valid: false, diagnostics });
        }
    }
    INVALID
}

/// Prints a value as JSON on a line of standard output.
pub(crate) fn print_json(value: &impl Serialize) {
    print_json_line(&mut io::stdout(), &json!(value));
}

/// Whether both standard output and standard error are terminals that can redraw lines.
///
/// Live progress goes to standard error, the result to standard output.
pub(super) fn is_live(context: &ProcessContext) -> bool {
    context.redraws && io::stdout().is_terminal() && io::stderr().is_terminal()
}
