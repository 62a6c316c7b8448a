//! Calls that need no cloud: schemas, validation, and states of other versions.

use std::time::Duration;

use serde_json::Value;

use super::super::schema::{INSTANCE_IDS, TIMEOUTS, schemas};
use super::super::value::Raw;
use super::super::{convert, proto as p};
use super::request::{Config, TYPE, all, check_type, provider_config, to_json};
use crate::deployment;
use crate::document::config::DurationText;
use crate::document::{self, Diagnostic};

fn capabilities() -> Option<p::ServerCapabilities> {
    Some(p::ServerCapabilities { plan_destroy: true, get_provider_schema_optional: true })
}

/// Handles `GetMetadata`.
pub(crate) fn metadata() -> p::Metadata {
    let resources = vec![p::ResourceMetadata { type_name: TYPE.into() }];
    p::Metadata { server_capabilities: capabilities(), resources }
}

/// Handles `GetProviderSchema`.
pub(crate) fn schema() -> p::ProviderSchema {
    let schemas = schemas();
    p::ProviderSchema {
        provider: Some(p::Schema { version: 0, ..schemas.provider.to_proto() }),
        resource_schemas: [(TYPE.to_owned(), schemas.resource.to_proto())].into(),
        server_capabilities: capabilities(),
    }
}

/// Handles `ValidateProviderConfig`.
pub(crate) fn validate_provider(asked: p::ProviderConfigRequest) -> p::ProviderConfigResponse {
    let kind = &schemas().provider;
    let diagnostics = match provider_config(asked.config.as_ref()) {
        Ok(read) => {
            let found = match read.unknown.is_empty() {
                true => document::provider(&read.value, "").err().unwrap_or_default(),
                false => document::partial_provider(&read.value, &read.unknown),
            };
            all(&found, kind)
        }
        Err(found) => found,
    };
    p::ProviderConfigResponse { diagnostics }
}

/// Handles `ValidateResourceConfig`.
pub(crate) fn validate(asked: p::ResourceConfigRequest) -> p::Diagnostics {
    let kind = &schemas().resource;
    let checked =
        check_type(&asked.type_name).and_then(|()| Config::receive(asked.config.as_ref()));
    let diagnostics = match checked {
        Ok(config) => {
            let mut found = match config.unknown.is_empty() {
                true => document::deployment(&config.value, "").err().unwrap_or_default(),
                false => document::partial(&config.value, &config.unknown),
            };
            found.extend(check_timeouts(&config.timeouts));
            found.extend(config.computed.iter().map(|name| {
                let message = "only the provider sets it";
                Diagnostic::error(format!("/{name}"), message).with_remedy("leave it out")
            }));
            all(&found, kind)
        }
        Err(found) => found,
    };
    p::Diagnostics { diagnostics }
}

fn check_timeouts(timeouts: &Value) -> Vec<Diagnostic> {
    let written = timeouts.as_object().into_iter().flatten();
    let texts = written.filter_map(|(name, value)| Some((name, value.as_str()?)));
    let wrong = texts
        .filter(|(_, text)| DurationText::parse(text).is_none_or(|limit| limit == Duration::ZERO));
    wrong
        .map(|(name, text)| {
            Diagnostic::error(
                format!("/{TIMEOUTS}/{name}"),
                format!("{text:?} is not a time span above 0s"),
            )
            .with_remedy("write for instance 30s, 10m or 1h30m (ms, s, m, h, d), 365d at most")
        })
        .collect()
}

/// Handles `UpgradeResourceState`.
pub(crate) fn upgrade(asked: p::UpgradeRequest) -> p::UpgradeResponse {
    let refuse = |diagnostics| p::UpgradeResponse { upgraded_state: None, diagnostics };
    if let Err(found) = check_type(&asked.type_name) {
        return refuse(found);
    }
    let kind = &schemas().resource;
    let json = asked.raw_state.map(|state| state.json).unwrap_or_default();
    let saved: Value = match serde_json::from_slice(&json) {
        Ok(saved) => saved,
        Err(error) => {
            let message = format!("The saved state is no JSON: {error}");
            return refuse(vec![convert::error(message, "")]);
        }
    };
    // Terraform writes some numbers as text, so known attributes are read through the schema. The
    // upgrade judges what the schema does not know.
    let read = Raw::from_json(&saved, kind).to_json(kind).map(|read| read.value);
    let mut ours = to_json(&saved);
    for (name, value) in read.as_ref().ok().and_then(Value::as_object).into_iter().flatten() {
        if name != TIMEOUTS && !ours[name].is_null() {
            ours[name] = value.clone();
        }
    }
    let version = u64::try_from(asked.version).unwrap_or_default();
    match deployment::upgrade(version, &ours) {
        Ok((mut state, warnings)) => {
            // Only Terraform keeps these.
            for name in [TIMEOUTS, INSTANCE_IDS] {
                state[name] = saved[name].clone();
            }
            let upgraded_state = Raw::from_json(&state, kind).send();
            p::UpgradeResponse { upgraded_state, diagnostics: all(&warnings, kind) }
        }
        Err(found) => refuse(all(&found, kind)),
    }
}
