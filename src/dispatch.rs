//! Which front-end serves this process.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::{CommandFactory as _, Parser, Subcommand};
use tokio::runtime::Builder;

use crate::frontends::cli::{self, Arguments, ConvertArguments, print_json};
use crate::frontends::{ansible, json_rpc, schemas, terraform};
use crate::host::process_context::ProcessContext;
use crate::host::stdout::{has_failed, note, print_line};
use crate::record::command::Command;
use crate::report::exit_codes::{CHANGES, FAILED, INVALID};

/// Rolls a fleet of instances to a new revision, batch by batch.
#[derive(Parser)]
#[command(name = "rolling", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Subcommand)]
enum Subcommands {
    /// Check a document without calling the cloud
    Validate(Arguments),
    /// Show what apply would do; changes nothing
    Plan {
        #[command(flatten)]
        args: Arguments,
        /// Exit with 10 when there is something to do
        #[arg(long)]
        detailed_exitcode: bool,
    },
    /// Roll the fleet, and wait for the end
    Apply {
        #[command(flatten)]
        args: Arguments,
        /// Stop a rollout to another revision that another process is at work on, at its next safe
        /// point, and continue from there to this document's revision
        #[arg(long)]
        supersede: bool,
    },
    /// Show what every instance runs, and a rollout's record if there is one
    Status {
        #[command(flatten)]
        args: Arguments,
        /// Show it again after every change, until no rollout is under way; for a progress file,
        /// show past and new events
        #[arg(long)]
        follow: bool,
    },
    /// Stop a rollout at the next safe point, to resume it later
    Pause(Arguments),
    /// Resume a paused rollout, or pass a checkpoint
    Resume(Arguments),
    /// Abort a rollout: restore what is borrowed, leave the instances as they are
    Abort(Arguments),
    /// Roll back to the last completed revision; once the rollout is over, to the revision before
    Rollback {
        #[command(flatten)]
        args: Arguments,
        /// The revision to roll back to: as `status` shows it, or the number of a version of the
        /// launch template
        #[arg(long, value_name = "REVISION")]
        to: Option<String>,
        /// The state that a front-end keeps, for a rollback after the end of a rollout: the output of
        /// `terraform show -json`, a terraform.tfstate, or a state of JSON-RPC or Ansible
        #[arg(long, value_name = "FILE", conflicts_with = "to")]
        state: Option<PathBuf>,
    },
    /// List everything that would prevent a rollout from completing; changes nothing
    Doctor(Arguments),
    /// Turn settings of Elastic Beanstalk, Kubernetes, EC2 Auto Scaling or CodeDeploy into a
    /// document; calls no cloud
    Convert(ConvertArguments),
    /// Serve JSON-RPC 2.0 on standard input and output
    Serve {
        /// Refuse deployments with a gate or hook that runs a command on this host
        #[arg(long)]
        no_commands: bool,
    },
    /// Serve Terraform and OpenTofu until Ctrl-C, to debug the provider; normally they start it
    /// themselves
    Terraform,
    /// Print every JSON Schema: of configurations, state and events, and the OpenRPC document
    Schema,
}

/// Runs the front-end of this process and returns the exit code. The first match wins: a
/// subcommand, even where a file has its name; Terraform, by its environment; Ansible, by one file
/// as the only argument; usage.
pub fn run(args: impl Iterator<Item = OsString>, context: &ProcessContext) -> u8 {
    let args: Vec<OsString> = args.collect();
    if context.host.is_there() && !args.get(1).is_some_and(|word| is_subcommand(word)) {
        return on_runtime(Builder::new_multi_thread(), terraform::serve(&context.host, context));
    }
    if let [_, file] = args.as_slice()
        && !is_subcommand(file)
        && let Some(args) = ansible::arguments_in(Path::new(file))
    {
        let work = ansible::run(&args, context);
        return unless_lost(on_runtime(Builder::new_current_thread(), work));
    }
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output and are no error. A reader that is gone
            // does not change that.
            note(&error.print().and_then(|()| io::stdout().flush()));
            return unless_lost(if error.use_stderr() { INVALID } else { 0 });
        }
    };
    // A server reads from its peer on one thread, whatever the rollouts do on the others.
    let runtime = match cli.command {
        Subcommands::Serve { .. } | Subcommands::Terraform => Builder::new_multi_thread(),
        _ => Builder::new_current_thread(),
    };
    let code = on_runtime(runtime, async {
        match cli.command {
            Subcommands::Validate(args) => cli::validate(&args),
            Subcommands::Plan { args, detailed_exitcode } => {
                cli::plan(&args, detailed_exitcode, context).await
            }
            Subcommands::Apply { args, supersede } => cli::apply(&args, supersede, context).await,
            Subcommands::Status { args, follow } => match follow && cli::is_progress(&args.file) {
                true => cli::follow(&args, context).await,
                false => cli::status(&args, follow, context).await,
            },
            Subcommands::Pause(args) => cli::command(Command::Pause, &args, context).await,
            Subcommands::Resume(args) => cli::command(Command::Resume, &args, context).await,
            Subcommands::Abort(args) => cli::command(Command::Abort, &args, context).await,
            Subcommands::Rollback { args, to: None, state } => {
                cli::roll_back(state.as_deref(), &args, context).await
            }
            Subcommands::Rollback { args, to: Some(to), .. } => {
                cli::roll_back_to(&to, &args, context).await
            }
            Subcommands::Doctor(args) => cli::doctor(&args, context).await,
            Subcommands::Convert(args) => cli::convert(&args),
            Subcommands::Serve { no_commands } => json_rpc::serve(!no_commands, context).await,
            Subcommands::Terraform => terraform::debug(&context.host, context).await,
            Subcommands::Schema => schema(),
        }
    });
    unless_lost(code)
}

/// Returns `code`, or that of a failure where what was to be said could not be written.
fn unless_lost(code: u8) -> u8 {
    if !has_failed() {
        return code;
    }
    let message = "error: cannot write to standard output; the output is lost";
    print_line(&mut io::stderr(), message);
    // Nobody reads what was asked for: that is no success. Other codes say more than 1 does.
    if [0, CHANGES].contains(&code) { FAILED } else { code }
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

fn schema() -> u8 {
    let all: serde_json::Map<_, _> =
        schemas::all().into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    print_json(&all);
    0
}
