//! `rolling status`.

use std::io;

use serde_json::json;

use super::answers::{DeploymentStatus, StatusAnswer};
use super::arguments::refuse;
use crate::document::{Diagnostic, PROVIDER, Resource};
use crate::engine::Rollout;
use crate::frontends::cli::followed::Followed;
use crate::frontends::cli::open_targets::{Purpose, prepare_all};
use crate::frontends::cli::{Arguments, OutputFormat};
use crate::host::process_context::ProcessContext;
use crate::host::stdout::{print_json_line, print_line};
use crate::model::event::DelegatedRolloutReport;
use crate::report::text;

/// Shows the status of rollouts; with `follow`, until they end. Returns the exit code.
pub(crate) async fn status(arguments: &Arguments, follow: bool, context: &ProcessContext) -> u8 {
    let mut prepared = match prepare_all(arguments, context, Purpose::Tell).await {
        Ok(prepared) => prepared,
        Err(found) => return refuse(arguments, &found),
    };
    let mut shown = String::new();
    let mut followed: Vec<Followed> = prepared.iter().map(|_| Followed::default()).collect();
    loop {
        let now = show_status(arguments, &prepared);
        if now != shown {
            match arguments.output {
                OutputFormat::Text => print_line(&mut io::stdout(), &now),
                OutputFormat::Json => print_json_line(&mut io::stdout(), &now),
            }
            shown = now;
        }
        for (followed, (resource, rollout)) in followed.iter_mut().zip(&prepared) {
            followed.look(rollout, &resource.spec);
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
                return refuse(arguments, &[found]);
            }
        }
    }
}

fn show_status(arguments: &Arguments, prepared: &[(Resource, Rollout)]) -> String {
    if arguments.output == OutputFormat::Text {
        let shown =
            prepared.iter().map(|(resource, rollout)| text::status(&resource.name, rollout));
        return shown.collect::<Vec<_>>().join("\n");
    }
    let resources = prepared.iter().map(|(resource, rollout)| DeploymentStatus {
        resource: resource.name.clone(),
        to: rollout.wanted().clone(),
        completed: rollout.completed(),
        status: rollout.status().map(|(status, _)| status),
        owner: rollout.lease().map(|lease| lease.owner),
        last_sign_of_life: rollout.lease().and_then(|lease| lease.at),
        record: rollout.record().map(crate::record::Record::tags),
        delegated_rollout: rollout.delegated_rollout().map(DelegatedRolloutReport::from),
        instances: rollout.instances(),
        left_alone: rollout.left_alone(),
        waiting_on: rollout.waits(),
    });
    json!(StatusAnswer { resources: resources.collect() }).to_string()
}
