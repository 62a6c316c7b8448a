//! Looks up the targets of a subcommand.

use std::io;
use std::time::Duration;

use crate::document::{Diagnostic, PROVIDER, Resource};
use crate::engine::{Caller, NOT_FOUND_RETRY_FOR};
use crate::frontends::cli::Arguments;
use crate::frontends::cli::arguments::load;
use crate::host::process_context::ProcessContext;
use crate::host::stdout::print_line;
use crate::model::printable;
use crate::providers::Providers;

pub(super) use crate::engine::Rollout;

/// Why a subcommand looks up targets.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// To begin rollouts.
    Begin,
    /// To plan them.
    Plan,
    /// To report the status of rollouts, or to give them a command.
    Tell,
}

/// Looks up all selected targets before the caller does anything to one of them.
pub(super) async fn prepare_all(
    arguments: &Arguments,
    context: &ProcessContext,
    purpose: Purpose,
) -> Result<Vec<(Resource, Rollout)>, Vec<Diagnostic>> {
    prepare_changed(arguments, context, purpose, |resource| Ok(Some(resource))).await
}

/// Does the same with what `change` makes of each deployment, if anything.
pub(super) async fn prepare_changed(
    arguments: &Arguments,
    context: &ProcessContext,
    purpose: Purpose,
    change: impl Fn(Resource) -> Result<Option<Resource>, Vec<Diagnostic>>,
) -> Result<Vec<(Resource, Rollout)>, Vec<Diagnostic>> {
    let (document, resources) = load(arguments)?;
    let resources = resources.into_iter().filter_map(|it| change(it).transpose());
    let resources = resources.collect::<Result<Vec<_>, _>>()?;
    // A document that forgets its provider may well open the wrong targets.
    for warning in &document.warnings {
        print_line(&mut io::stderr(), &arguments.located(warning));
    }
    let providers = Providers::new(document.provider.clone(), &context.clock);
    let mut prepared = Vec::new();
    for resource in resources {
        let place = |error| vec![Diagnostic::from_provider(&error, &resource.pointer, PROVIDER)];
        let fleet = providers.open(&resource.config).await.map_err(place)?;
        let waits = matches!(purpose, Purpose::Begin);
        let not_found_retry_for = if waits { NOT_FOUND_RETRY_FOR } else { Duration::ZERO };
        let tell = |message: &str| print_line(&mut io::stderr(), &printable::line(message));
        let caller = Caller { not_found_retry_for, tell, ..context.caller(&context.rollout_id) };
        let spec = resource.spec.clone();
        let rollout = match purpose {
            Purpose::Begin | Purpose::Plan => Rollout::prepare(fleet, spec, &caller).await,
            Purpose::Tell => Rollout::look_up(fleet, spec, &caller).await,
        };
        let rollout = rollout.map_err(place)?;
        prepared.push((resource, rollout));
    }
    Ok(prepared)
}
