//! The command line.
//!
//! Exit codes are an interface: 0 succeeded or nothing to do, 1 failed, 2 usage or invalid
//! document, 3 rolled back, 4 paused or aborted, 5 locked by another engine, 10 changes (only
//! `plan --detailed-exitcode`), 130, 143 and 129 interrupted by SIGINT, SIGTERM
//! and SIGHUP.

mod apply;
mod command;
mod doctor;
mod follow;
mod followed;
mod live;
pub(crate) mod log_lines;
pub(crate) mod signals;
pub(crate) mod text;

pub(crate) use apply::json_line;

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};
use followed::Followed;
use serde_json::json;
use tokio::runtime::Builder;

use crate::document::{Diagnostic, Document, PROVIDER, Resource};
use crate::engine::clock::TokioClock;
use crate::engine::{Caller, Rollout, UNSEEN_FOR};
use crate::frontends::terraform::progress_file::Header;
use crate::frontends::{ansible, schemas, terraform};
use crate::model::event::InstanceRefreshReport;
use crate::providers::Providers;
use crate::record::command::Command;

/// Exit code: the rollout failed.
pub const FAILED: u8 = 1;
/// Exit code: wrong usage, or a document that cannot be carried out. Nothing was touched.
pub const INVALID: u8 = 2;
/// Exit code: the new revision failed and the last completed one is back.
pub const ROLLED_BACK: u8 = 3;
/// Exit code: the rollout is paused, or somebody gave it up.
pub const ABORTED: u8 = 4;
/// Exit code: another engine is at work on the target.
pub const LOCKED: u8 = 5;
/// Exit code of `plan --detailed-exitcode`: there is something to do.
pub const CHANGES: u8 = 10;

/// Rolls a fleet of instances to a new revision, batch by batch.
#[derive(Parser)]
#[command(name = "rolling", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Subcommand)]
enum Subcommands {
    /// Check a document; no cloud is asked
    Validate(Input),
    /// Show what apply would do; changes nothing
    Plan {
        #[command(flatten)]
        input: Input,
        /// Exit with 10 when there is something to do
        #[arg(long)]
        detailed_exitcode: bool,
    },
    /// Roll, and wait for the end
    Apply(Input),
    /// Show what every instance runs, and a rollout's record if there is one
    Status {
        #[command(flatten)]
        input: Input,
        /// Show it again whenever it has changed, until no rollout is under way; of a file of
        /// progress, show what has happened and what happens
        #[arg(long)]
        follow: bool,
    },
    /// Stop a rollout at the next safe point, to go on later
    Pause(Input),
    /// Go on with a paused rollout, or past a checkpoint
    Resume(Input),
    /// Give a rollout up: put back what is borrowed, leave the instances as they are
    Abort(Input),
    /// Have a rollout go back to the last completed revision
    Rollback(Input),
    /// Look for everything that would keep a rollout from its end; changes nothing
    Doctor(Input),
    /// Serve JSON-RPC 2.0 on standard input and output
    Serve,
    /// Serve Terraform and OpenTofu until Ctrl-C, to see into the provider; they start it by
    /// themselves otherwise
    Terraform,
    /// Print every JSON Schema: of configurations, state and events, and the OpenRPC document
    Schema,
}

#[derive(clap::Args)]
struct Input {
    /// The document, in Terraform's JSON syntax; or a file of progress, which has one in it
    file: PathBuf,
    /// Only this rolling_deployment of the document
    #[arg(long, value_name = "NAME")]
    resource: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people; with live progress on a terminal
    Text,
    /// For pipelines: one JSON object, or for apply one a line
    Json,
}

/// Where the program meets the world.
#[derive(Clone, Debug)]
pub struct ProcessContext {
    /// The time by which everything but simulated fleets lives.
    pub clock: Arc<TokioClock>,
    /// Names rollouts that begin in this process.
    pub rollout_id: String,
    /// Names this process to others; see [`crate::engine::owner`].
    pub owner: String,
    /// Whether an owner is known to be dead.
    pub is_gone: fn(&str) -> bool,
    /// Whether a variable of the environment is set.
    pub is_set: fn(&str) -> bool,
    /// What Terraform says in the environment.
    pub host: terraform::Host,
}

impl ProcessContext {
    /// A caller that names its rollouts `rollout_id`.
    pub(crate) fn caller(&self, rollout_id: &str) -> Caller {
        Caller {
            rollout_id: rollout_id.to_owned(),
            owner: self.owner.clone(),
            is_gone: self.is_gone,
            jitter: JITTER,
            unseen_for: Duration::ZERO,
            tell: |message| tracing::info!("{message}"),
            completed: None,
        }
    }
}

/// Chooses the front-end and returns the exit code, first match wins: a subcommand, also where a
/// file has its name; Terraform, which says so in the environment; Ansible, which gives one file
/// and nothing else; usage.
pub fn run(args: impl Iterator<Item = OsString>, edge: &ProcessContext) -> u8 {
    let args: Vec<OsString> = args.collect();
    if edge.host.is_there() && !args.get(1).is_some_and(|word| is_subcommand(word)) {
        return on_runtime(Builder::new_multi_thread(), terraform::serve(&edge.host, edge));
    }
    if let [_, file] = args.as_slice()
        && !is_subcommand(file)
        && let Some(arguments) = ansible::arguments_in(Path::new(file))
    {
        return on_runtime(Builder::new_current_thread(), ansible::run(&arguments, edge));
    }
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output and are no error. A reader that is gone
            // does not change that.
            error.print().unwrap_or_default();
            return if error.use_stderr() { INVALID } else { 0 };
        }
    };
    // A server hears its peer on one thread, whatever the rollouts do on the others.
    let runtime = match cli.command {
        Subcommands::Serve | Subcommands::Terraform => Builder::new_multi_thread(),
        _ => Builder::new_current_thread(),
    };
    on_runtime(runtime, async {
        match cli.command {
            Subcommands::Validate(input) => validate(&input),
            Subcommands::Plan { input, detailed_exitcode } => {
                plan(&input, detailed_exitcode, edge).await
            }
            Subcommands::Apply(input) => apply::apply(&input, edge).await,
            Subcommands::Status { input, follow } => {
                match follow && follow::is_progress(&input.file) {
                    true => follow::follow(&input, edge).await,
                    false => status(&input, follow, edge).await,
                }
            }
            Subcommands::Pause(input) => command::command(Command::Pause, &input, edge).await,
            Subcommands::Resume(input) => command::command(Command::Resume, &input, edge).await,
            Subcommands::Abort(input) => command::command(Command::Abort, &input, edge).await,
            Subcommands::Rollback(input) => command::command(Command::Rollback, &input, edge).await,
            Subcommands::Doctor(input) => doctor::doctor(&input, edge).await,
            Subcommands::Serve => crate::frontends::json_rpc::serve(edge).await,
            Subcommands::Terraform => terraform::debug(&edge.host, edge).await,
            Subcommands::Schema => schema(),
        }
    })
}

fn is_subcommand(word: &OsStr) -> bool {
    let cli = Cli::command();
    word == "help" || cli.get_subcommands().any(|known| word == known.get_name())
}

fn on_runtime(mut runtime: Builder, work: impl Future<Output = u8>) -> u8 {
    match runtime.enable_all().build() {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => {
            print_line(&mut io::stderr(), &format!("error: failed to start: {error}"));
            FAILED
        }
    }
}

fn validate(input: &Input) -> u8 {
    match load(input) {
        Ok((_, resources)) => {
            let names: Vec<&str> = resources.iter().map(|r| r.name.as_str()).collect();
            match input.output {
                Output::Text => {
                    print_line(&mut io::stdout(), &format!("valid: {}", names.join(", ")))
                }
                Output::Json => print_json(&json!({ "valid": true, "diagnostics": [] })),
            }
            0
        }
        Err(found) => refuse(input, &found),
    }
}

async fn plan(input: &Input, detailed: bool, edge: &ProcessContext) -> u8 {
    let prepared = match prepare_all(input, edge, Purpose::Plan).await {
        Ok(prepared) => prepared,
        Err(found) => return refuse(input, &found),
    };
    let mut changes = false;
    let mut objects = Vec::new();
    for (resource, rollout) in &prepared {
        let preview = rollout.preview();
        changes |= preview.changes;
        match input.output {
            Output::Text => print_line(&mut io::stdout(), &text::plan(&resource.name, &preview)),
            Output::Json => objects.push(json!({ "resource": resource.name, "plan": preview })),
        }
    }
    if input.output == Output::Json {
        print_json(&json!({ "changes": changes, "resources": objects }));
    }
    if detailed && changes { CHANGES } else { 0 }
}

async fn status(input: &Input, follow: bool, edge: &ProcessContext) -> u8 {
    let mut prepared = match prepare_all(input, edge, Purpose::Tell).await {
        Ok(prepared) => prepared,
        Err(found) => return refuse(input, &found),
    };
    let mut shown = String::new();
    let mut followed: Vec<Followed> = prepared.iter().map(|_| Followed::default()).collect();
    loop {
        let now = show_status(input, &prepared);
        if now != shown {
            print_line(&mut io::stdout(), &now);
            shown = now;
        }
        for (followed, (_, rollout)) in followed.iter_mut().zip(&prepared) {
            followed.look(rollout);
        }
        if !follow {
            return 0;
        }
        if followed.iter().all(|followed| followed.end.is_some()) {
            let codes = followed.iter().zip(&prepared).map(|(followed, (resource, _))| {
                let (code, message) = followed.end.unwrap_or_default();
                if let Some(message) = message {
                    print_line(&mut io::stderr(), &format!("{}: {message}", resource.name));
                }
                code
            });
            return codes.max().unwrap_or_default();
        }
        for (resource, rollout) in &mut prepared {
            rollout.clock().sleep(resource.spec.poll_interval).await;
            if let Err(error) = rollout.look_again().await {
                let found = Diagnostic::from_provider(&error, &resource.pointer, PROVIDER);
                return refuse(input, &[found]);
            }
        }
    }
}

fn show_status(input: &Input, prepared: &[(Resource, Rollout)]) -> String {
    if input.output == Output::Text {
        let shown =
            prepared.iter().map(|(resource, rollout)| text::status(&resource.name, rollout));
        return shown.collect::<Vec<_>>().join("\n");
    }
    let shown = prepared.iter().map(|(resource, rollout)| {
        json!({
            "resource": resource.name,
            "to": rollout.wanted(),
            "completed": rollout.completed(),
            "status": rollout.status().map(|(status, _)| status),
            "owner": rollout.lease().map(|lease| lease.owner),
            "last_sign_of_life": rollout.lease().and_then(|lease| lease.at),
            "record": rollout.record().map(crate::record::Record::tags),
            "instance_refresh": rollout.instance_refresh().map(InstanceRefreshReport::from),
            "instances": rollout.instances(),
        })
    });
    json!({ "resources": shown.collect::<Vec<_>>() }).to_string()
}

fn schema() -> u8 {
    let all: serde_json::Map<_, _> =
        schemas::all().into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    print_json(&all.into());
    0
}

/// Reads the document and picks the resources that are meant.
fn load(input: &Input) -> Result<(Document, Vec<Resource>), Vec<Diagnostic>> {
    let text = std::fs::read_to_string(&input.file).map_err(|error| {
        let message = format!("failed to read {}: {error}", input.file.display());
        vec![Diagnostic::error("", message)]
    })?;
    let document = match follow::header(&text) {
        Some(Header { document, .. }) => Document::parse(&document.to_string())?,
        None => Document::parse(&text)?,
    };
    let mut resources = document.resources.clone();
    if let Some(name) = &input.resource {
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

/// What targets are looked up for.
#[derive(Clone, Copy)]
enum Purpose {
    /// To begin rollouts.
    Begin,
    /// To plan them.
    Plan,
    /// To tell how rollouts are, or what is wanted of them.
    Tell,
}

/// Looks all meant targets up before anything is done to any of them.
async fn prepare_all(
    input: &Input,
    edge: &ProcessContext,
    purpose: Purpose,
) -> Result<Vec<(Resource, Rollout)>, Vec<Diagnostic>> {
    let (document, resources) = load(input)?;
    let providers = Providers::new(document.provider.clone(), &edge.clock);
    let mut prepared = Vec::new();
    for resource in resources {
        let place = |error| vec![Diagnostic::from_provider(&error, &resource.pointer, PROVIDER)];
        let fleet = providers.open(&resource.config).await.map_err(place)?;
        let waits = matches!(purpose, Purpose::Begin);
        let unseen_for = if waits { UNSEEN_FOR } else { Duration::ZERO };
        let tell = |message: &str| print_line(&mut io::stderr(), message);
        let caller = Caller { unseen_for, tell, ..edge.caller(&edge.rollout_id) };
        let spec = resource.spec.clone();
        let rollout = match purpose {
            Purpose::Begin | Purpose::Plan => Rollout::prepare(fleet, spec, &caller).await,
            Purpose::Tell => Rollout::look_up(fleet, spec, &caller).await,
        };
        let rollout = rollout.map_err(place)?;
        prepared.push((resource, rollout));
    }
    for warning in &document.warnings {
        print_line(&mut io::stderr(), &warning.to_string());
    }
    Ok(prepared)
}

/// How far polls of several engines are spread in time.
const JITTER: f64 = 0.1;

fn refuse(input: &Input, found: &[Diagnostic]) -> u8 {
    match input.output {
        Output::Text => {
            for diagnostic in found {
                print_line(&mut io::stderr(), &located(&input.file, diagnostic));
            }
        }
        Output::Json => print_json(&json!({ "valid": false, "diagnostics": found })),
    }
    INVALID
}

fn located(file: &Path, diagnostic: &Diagnostic) -> String {
    format!("{}: {diagnostic}", file.display())
}

fn print_json(value: &serde_json::Value) {
    print_line(&mut io::stdout(), &value.to_string());
}

/// Writes a line. Whether anybody still reads does not change what is done to a fleet.
pub fn print_line(to: &mut dyn Write, line: &str) {
    writeln!(to, "{line}").and_then(|()| to.flush()).unwrap_or_default();
}

/// Live progress is drawn on standard error, the result goes to standard output.
fn is_terminal() -> bool {
    io::stdout().is_terminal() && io::stderr().is_terminal()
}
