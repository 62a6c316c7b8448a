//! The program: does what only a program may do, then runs the front-end.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rolling::dispatch;
use rolling::engine::clock::{TEST_CLOCK, TokioClock};
use rolling::engine::owner;
use rolling::host::handshake::Host;
use rolling::host::log_writer::LogWriter;
use rolling::host::process_context::{ProcessContext, can_redraw};
use rolling::host::stdout::print_line;
use rolling::report::exit_codes::INVALID;
use rolling_provider::Timestamp;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

#[expect(clippy::disallowed_methods, reason = "the edge: wall clock and environment enter here")]
fn main() -> ExitCode {
    let host = Host::read(|name| std::env::var(name).ok());
    // Logs go to standard error; RUST_LOG=rolling=debug shows every call. Terraform wants them in
    // its own form.
    let asked = std::env::var(EnvFilter::DEFAULT_ENV).ok();
    let (filter, refused) = match asked.as_deref().unwrap_or("error").parse::<EnvFilter>() {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("error"), Some(error)),
    };
    let filter = if host.is_there() { EnvFilter::new("off") } else { filter };
    let log = || LogWriter(std::io::stderr());
    let stderr = tracing_subscriber::fmt::layer().with_writer(log);
    tracing_subscriber::registry()
        .with(stderr.with_filter(filter))
        .with(rolling::frontends::json_rpc::log::layer())
        .with(rolling::frontends::terraform::log::layer())
        .init();
    if let Some(error) = refused {
        let name = EnvFilter::DEFAULT_ENV;
        print_line(
            &mut std::io::stderr(),
            &format!("warning: {name} is not used: {error}; write for instance rolling=debug"),
        );
    }

    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = Timestamp(u64::try_from(since_epoch.as_millis()).unwrap_or_default());
    let rollout_id = format!("{:x}-{:x}", now.0, std::process::id());
    let user =
        ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    let (owner, is_gone) = (owner::this_process(user.as_deref()), owner::is_gone);
    let setting = std::env::var_os(TEST_CLOCK).map(|text| text.to_string_lossy().into_owned());
    let clock = match TokioClock::of_process(now, setting.as_deref()) {
        Ok(clock) => Arc::new(clock),
        Err(why) => {
            print_line(&mut std::io::stderr(), &format!("error: {why}"));
            return ExitCode::from(INVALID);
        }
    };
    let is_set = |name: &str| std::env::var_os(name).is_some();
    let redraws = can_redraw(std::env::var("TERM").ok().as_deref());
    let search_path = std::env::var_os("PATH");
    let context =
        ProcessContext { clock, rollout_id, owner, is_gone, is_set, search_path, redraws, host };
    ExitCode::from(dispatch::run(std::env::args_os(), &context))
}
