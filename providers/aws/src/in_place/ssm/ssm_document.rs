//! Looks a document up in Systems Manager, and the parameters that it was run with before.

use std::collections::BTreeSet;

use aws_sdk_ssm::types::{
    CommandFilter, CommandFilterKey, DocumentDescription, DocumentParameter, DocumentParameterType,
    DocumentStatus, DocumentType,
};
use rolling_provider::{ErrorKind, ProviderError, Revision};

use super::super::run_command::{BASE, Parameters, RunCommand, hash, parse};
use crate::connect::Aws;
use crate::error::from_sdk;

impl RunCommand {
    /// # Errors
    /// When the document or version does not exist, or cannot be run.
    pub(crate) async fn resolve(&self, aws: &Aws) -> Result<Revision, ProviderError> {
        let refuse = |place: &str, message: String, remedy: &str| {
            let place = format!("{BASE}/{place}");
            let error = ProviderError::invalid("DescribeDocument", place, message);
            Err(error.with_remedy(remedy))
        };
        let name = &self.document;
        let call = aws.ssm.describe_document().name(name).document_version(&self.version);
        let answer = match call.send().await {
            Ok(answer) => answer,
            Err(error) => {
                let error = from_sdk("ssm", "DescribeDocument", &error);
                return match error.code.as_deref() {
                    Some("InvalidDocumentVersion") => refuse(
                        "version",
                        format!("document {name:?} has no version {}", self.version),
                        "see its versions with aws ssm list-document-versions",
                    ),
                    Some("InvalidDocument") => refuse(
                        "document",
                        format!("document {name:?} does not exist in {}", aws.region),
                        "check the name, the region and the account of the credentials",
                    ),
                    _ => Err(error),
                };
            }
        };
        let found = answer.document();
        let kind = found.and_then(|found| found.document_type());
        if kind.is_some_and(|kind| *kind != DocumentType::Command) {
            let message = format!("document {name:?} is no command document");
            return refuse("document", message, "name one of the type Command");
        }
        let status = found.and_then(|found| found.status());
        if let Some(status) = status.filter(|status| **status != DocumentStatus::Active) {
            let message = format!("document {name:?} is {}", status.as_str().to_lowercase());
            return refuse("document", message, "wait until it is active");
        }
        let parameters = found.map(DocumentDescription::parameters).unwrap_or_default();
        self.refuse_parameters(parameters)?;
        let version = found.and_then(|found| found.document_version());
        self.revision(version.unwrap_or(&self.version))
    }

    /// # Errors
    /// Parameters that the document does not have, and several values for one that takes one.
    fn refuse_parameters(&self, parameters: &[DocumentParameter]) -> Result<(), ProviderError> {
        let name = &self.document;
        let refuse = |place: &str, message: String, remedy: &str| {
            let place = format!("{BASE}/{place}");
            let error = ProviderError::invalid("DescribeDocument", place, message);
            Err(error.with_remedy(remedy))
        };
        let known: BTreeSet<&str> = parameters.iter().filter_map(|known| known.name()).collect();
        if let Some(other) = self.parameters.keys().find(|name| !known.contains(name.as_str())) {
            let message = format!("document {name:?} has no parameter {other:?}");
            let known: Vec<&str> = known.into_iter().collect();
            let remedy = match known.as_slice() {
                [] => "it has none".to_owned(),
                known => format!("it has {}", known.join(", ")),
            };
            return refuse("parameters", message, &remedy);
        }
        let is_list = |name: &str| {
            let kind =
                parameters.iter().find(|of| of.name() == Some(name)).and_then(|of| of.r#type());
            kind == Some(&DocumentParameterType::StringList)
        };
        let too_many =
            |(name, values): &(&String, &Vec<String>)| values.len() != 1 && !is_list(name);
        if let Some((parameter, values)) = self.parameters.iter().find(too_many) {
            let message = format!(
                "parameter {parameter:?} of document {name:?} takes one value, not {}",
                values.len()
            );
            return refuse(&format!("parameters/{parameter}"), message, "give it one, in a list");
        }
        Ok(())
    }
}

/// Returns the parameters of `to`, from the commands that Systems Manager remembers for 30 days
/// (<https://docs.aws.amazon.com/systems-manager/latest/userguide/monitor-commands.html>).
///
/// # Errors
/// When it does not remember them, or not any more.
pub(super) async fn sent_before(
    aws: &Aws,
    document: &str,
    version: &str,
    to: &Revision,
) -> Result<Parameters, ProviderError> {
    let wanted = parse(to.as_str()).and_then(|(_, _, hash)| hash);
    let of = CommandFilter::builder().key(CommandFilterKey::DocumentName).value(document).build();
    let of = of.map_err(|error| ProviderError::invalid("ListCommands", BASE, error.to_string()))?;
    let mut pages = aws.ssm.list_commands().filters(of).into_paginator().items().send();
    while let Some(found) = pages.next().await {
        let found = found.map_err(|error| from_sdk("ssm", "ListCommands", &error))?;
        let parameters = found.parameters().into_iter().flatten();
        let parameters = parameters.map(|(name, values)| (name.clone(), values.clone()));
        let parameters: Parameters = parameters.collect();
        if found.document_version() == Some(version) && Some(hash(&parameters)) == wanted {
            return Ok(parameters);
        }
    }
    let message = format!(
        "what {to} was run with is not known: no parameter is kept but in the configuration, and \
         the Systems Manager remembers no such command any more"
    );
    let error = ProviderError::invalid("SendCommand", format!("{BASE}/parameters"), message);
    let error = error.with_remedy("apply with the parameters that it had");
    Err(ProviderError { kind: ErrorKind::Refused, ..error })
}
