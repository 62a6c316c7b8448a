//! Sends commands to Systems Manager, and reads what it reports of them.

mod ssm_document;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use aws_sdk_ssm::types::{
    Command, CommandFilter, CommandFilterKey, CommandInvocation, CommandInvocationStatus,
    CommandPluginStatus, InstanceInformationStringFilter,
};
use rolling_provider::{ErrorKind, InstanceId, ProviderError, Revision, UpdateState};

use self::ssm_document::sent_before;
use super::Updates;
use super::run_command::{BASE, RunCommand, parse};
use crate::connect::Aws;
use crate::error::from_sdk;

/// How many instances one call may name.
const A_CALL: usize = 50;
/// How many characters of a command's output are reported, from its end.
const OUTPUT_CHARS: usize = 500;
/// Error code of SSM for an instance that it does not reach, or not yet.
const NOT_REACHED: &str = "InvalidInstanceId";
/// The shortest time, in seconds, that SSM accepts for handing a command over.
const HAND_OVER: i32 = 30;

/// # Errors
/// When Systems Manager does not reach one of these instances.
pub(super) async fn refuse_unmanaged(aws: &Aws, ids: &[String]) -> Result<(), ProviderError> {
    let mut missing = Vec::new();
    for ids in ids.chunks(A_CALL) {
        let these = InstanceInformationStringFilter::builder().key("InstanceIds");
        let these = these.set_values(Some(ids.to_vec())).build();
        let these = these.map_err(|error| {
            ProviderError::invalid("DescribeInstanceInformation", BASE, error.to_string())
        })?;
        let call = aws.ssm.describe_instance_information().filters(these);
        let mut pages = call.into_paginator().items().send();
        let mut online = BTreeSet::new();
        while let Some(found) = pages.next().await {
            let found = found.map_err(|e| from_sdk("ssm", "DescribeInstanceInformation", &e))?;
            if found.ping_status().is_some_and(|status| status.as_str() == "Online") {
                online.extend(found.instance_id().map(str::to_owned));
            }
        }
        missing.extend(ids.iter().filter(|id| !online.contains(*id)).cloned());
    }
    if missing.is_empty() {
        return Ok(());
    }
    let message = format!("the Systems Manager does not reach {}", missing.join(", "));
    let error = ProviderError::invalid("DescribeInstanceInformation", BASE, message);
    Err(error.with_remedy(
        "install the SSM agent on them, with an instance profile that has \
         AmazonSSMManagedInstanceCore and a way to the service, or tag them rolling:ignore",
    ))
}

impl Updates {
    pub(super) async fn send(
        &self,
        aws: &Aws,
        command: &RunCommand,
        ids: &[String],
        (to, token): (&Revision, &str),
        begun: &mut BTreeSet<String>,
    ) -> Result<(), ProviderError> {
        let Some((document, version, hash)) = parse(to.as_str()) else {
            let message = format!("{to} is no version of a document");
            return Err(ProviderError::invalid("SendCommand", BASE, message));
        };
        let parameters = match command.known(hash.as_deref()) {
            Some(parameters) => parameters,
            None => sent_before(aws, &document, &version, to).await?,
        };
        let timeout = i32::try_from(command.timeout.as_secs()).unwrap_or(i32::MAX);
        for ids in ids.chunks(A_CALL) {
            let call = aws.ssm.send_command().set_instance_ids(Some(ids.to_vec()));
            let call = call.document_name(&document).document_version(&version);
            let call = call.set_parameters(Some(parameters.clone().into_iter().collect()));
            let call = call.timeout_seconds(timeout.max(HAND_OVER)).comment(token);
            // A failure on one instance stops no other: the rollout decides what follows. (By
            // default the first error ends the command, and 50 run at once.)
            let call = call.max_errors("100%").max_concurrency("100%");
            let sent = call.send().await.map_err(|error| from_sdk("ssm", "SendCommand", &error));
            let sent = sent.map_err(|error| match error.code.as_deref() {
                // The instance's agent may still be starting.
                Some(NOT_REACHED) => ProviderError { kind: ErrorKind::Transient, ..error },
                _ => error,
            })?;
            begun.extend(ids.iter().cloned());
            let id = sent.command().and_then(|command| command.command_id());
            let mut known = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
            known.entry(token.to_owned()).or_default().extend(id.map(str::to_owned));
        }
        Ok(())
    }

    /// Cancels commands that run on `instances` for another update.
    pub(super) async fn cancel(
        &self,
        aws: &Aws,
        instances: &BTreeSet<InstanceId>,
        token: &str,
    ) -> Result<(), ProviderError> {
        let running: BTreeMap<InstanceId, String> = {
            let at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
            at_work
                .iter()
                .filter(|(id, of)| instances.contains(*id) && *of != token)
                .map(|(id, of)| (id.clone(), of.clone()))
                .collect()
        };
        for (id, of) in running {
            let ids = {
                let known = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
                known.get(&of).cloned().unwrap_or_default()
            };
            for command in ids {
                let call = aws.ssm.cancel_command().command_id(command);
                let sent = call.instance_ids(id.as_str()).send().await;
                let sent = sent.map_err(|error| from_sdk("ssm", "CancelCommand", &error));
                match sent {
                    Err(error) if error.is_retryable() => return Err(error),
                    // The command ends by itself, or nothing can end it.
                    Err(error) => tracing::warn!(%error, instance = %id, "cannot cancel a command"),
                    Ok(_) => {}
                }
            }
        }
        Ok(())
    }

    /// Returns the states of the commands of these updates.
    pub(super) async fn invocations(
        &self,
        aws: &Aws,
        marked: &BTreeMap<&str, BTreeSet<InstanceId>>,
    ) -> Result<BTreeMap<InstanceId, UpdateState>, ProviderError> {
        let mut states = BTreeMap::new();
        for (token, instances) in marked {
            for id in self.commands_of(aws, token, instances).await? {
                let call = aws.ssm.list_command_invocations().command_id(id).details(true);
                let mut pages = call.into_paginator().items().send();
                while let Some(found) = pages.next().await {
                    let found = found.map_err(|e| from_sdk("ssm", "ListCommandInvocations", &e))?;
                    let of = found.instance_id().map(InstanceId::new);
                    if let Some(of) = of.filter(|of| instances.contains(of)) {
                        states.insert(of, state(&found));
                    }
                }
            }
        }
        Ok(states)
    }

    /// Returns the commands that were sent for an update, by this engine or by an earlier one.
    async fn commands_of(
        &self,
        aws: &Aws,
        token: &str,
        instances: &BTreeSet<InstanceId>,
    ) -> Result<BTreeSet<String>, ProviderError> {
        {
            let known = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = known.get(token) {
                return Ok(known.clone());
            }
        }
        let mut found = BTreeSet::new();
        let (mut remaining, mut all_found) = (instances.clone(), true);
        let mut cover = |command: &Command, remaining: &mut BTreeSet<InstanceId>| {
            found.extend(command.command_id().map(str::to_owned));
            remaining.retain(|id| !command.instance_ids().iter().any(|of| of == id.as_str()));
        };
        // What is pending is read first: what reaches its instances between the two reads would
        // otherwise be in neither, and be taken for a command that was never sent.
        for command in pending(aws, token).await? {
            cover(&command, &mut remaining);
        }
        // One command names at most `A_CALL` instances, so there may be several: look for another
        // for each instance that those found so far were not sent to.
        while let Some(id) = remaining.pop_first() {
            let call = aws.ssm.list_commands().instance_id(id.as_str());
            let mut pages = call.into_paginator().items().send();
            let mut is_found = false;
            while let Some(command) = pages.next().await {
                let command = command.map_err(|error| from_sdk("ssm", "ListCommands", &error))?;
                if command.comment() == Some(token) {
                    cover(&command, &mut remaining);
                    is_found = true;
                    break;
                }
            }
            all_found &= is_found;
        }
        if all_found {
            let mut known = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(token.to_owned(), found.clone());
        }
        Ok(found)
    }
}

/// Returns commands for the update `token` that have reached no instance yet: a list by instances
/// lacks them (ListCommands, `InstanceId`).
async fn pending(aws: &Aws, token: &str) -> Result<Vec<Command>, ProviderError> {
    let filter = CommandFilter::builder().key(CommandFilterKey::Status).value("Pending").build();
    let filter =
        filter.map_err(|error| ProviderError::invalid("ListCommands", BASE, error.to_string()))?;
    let mut pages = aws.ssm.list_commands().filters(filter).into_paginator().items().send();
    let mut found = Vec::new();
    while let Some(command) = pages.next().await {
        let command = command.map_err(|error| from_sdk("ssm", "ListCommands", &error))?;
        if command.comment() == Some(token) {
            found.push(command);
        }
    }
    Ok(found)
}

fn state(found: &CommandInvocation) -> UpdateState {
    use CommandInvocationStatus as Status;
    match found.status() {
        Some(Status::Success) => UpdateState::Done,
        Some(Status::Failed | Status::TimedOut | Status::Cancelled) => {
            UpdateState::Failed(message(found))
        }
        _ => UpdateState::Running,
    }
}

/// Returns what a failed command reported.
fn message(found: &CommandInvocation) -> String {
    let failed = found
        .command_plugins()
        .iter()
        .find(|plugin| !matches!(plugin.status(), Some(CommandPluginStatus::Success) | None));
    let status = found.status_details().or(found.status().map(|status| status.as_str()));
    let status = status.unwrap_or_default().to_lowercase();
    let printed: Vec<char> =
        failed.and_then(|plugin| plugin.output()).unwrap_or_default().trim().chars().collect();
    let output: String = printed[printed.len().saturating_sub(OUTPUT_CHARS)..].iter().collect();
    let command = found.command_id().unwrap_or_default();
    let code = failed.map(|plugin| plugin.response_code()).filter(|code| *code > 0);
    let code = code.map_or(String::new(), |code| format!(" with exit code {code}"));
    match output.is_empty() {
        true => format!("command {command} {status}{code}"),
        false => format!("command {command} {status}{code}: {output}"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use tokio::sync::OnceCell;

    use super::*;
    use crate::http_tests::fleet;
    use crate::in_place::InPlaceMethod;
    use crate::in_place::run_command::Parameters;

    fn updates() -> Updates {
        Updates {
            method: InPlaceMethod::RunCommand(RunCommand {
                document: "deploy".into(),
                version: "1".into(),
                parameters: Parameters::new(),
                earlier: Vec::new(),
                timeout: Duration::from_secs(60),
            }),
            wanted: OnceCell::new(),
            commands: Mutex::default(),
            at_work: Mutex::default(),
        }
    }

    fn commands(found: bool) -> Option<(u16, String)> {
        let command = r#"{"CommandId": "c-1", "Comment": "token", "InstanceIds": ["i-1", "i-2"]}"#;
        let listed = if found { command } else { "" };
        Some((200, format!(r#"{{"Commands": [{listed}]}}"#)))
    }

    /// A command that is delivered between two reads is in one of the lists only in this order.
    #[tokio::test]
    async fn what_is_pending_is_read_before_what_instances_have() {
        let is_pending = |body: &str| body.contains("Pending");
        let instances = BTreeSet::from(["i-1".into(), "i-2".into()]);

        let (pending, asked) = fleet(|body| commands(body.contains("Pending")));
        let found = updates().commands_of(&pending.aws, "token", &instances).await.expect("c-1");
        assert_eq!(found, BTreeSet::from(["c-1".to_owned()]));
        assert_eq!(asked.lock().expect("the log").len(), 1, "it names both instances");

        let (delivered, asked) = fleet(|body| commands(!body.contains("Pending")));
        let found = updates().commands_of(&delivered.aws, "token", &instances).await.expect("c-1");
        assert_eq!(found, BTreeSet::from(["c-1".to_owned()]));
        let order: Vec<bool> =
            asked.lock().expect("the log").iter().map(|body| is_pending(body)).collect();
        assert_eq!(order, [true, false]);
    }
}
