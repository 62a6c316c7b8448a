//! The block `provider` of a document. It may be a list, and may configure one provider several
//! times, all but once with an alias
//! (<https://developer.hashicorp.com/terraform/language/syntax/json#provider-blocks>).

use serde_json::Value;

use super::block::{as_written, bodies, members, without_blocks};
use super::config::ProviderConfig;
use super::convert;
use super::diagnostic::{Diagnostic, step};
use super::similarity::similarity;

/// What the block says.
#[derive(Default)]
pub(super) struct ProviderBlock {
    /// The configuration without an alias.
    pub(super) config: ProviderConfig,
    /// Whether there is one.
    pub(super) is_there: bool,
    pub(super) found: Vec<Diagnostic>,
    pub(super) warnings: Vec<Diagnostic>,
}

/// Reads the block, if there is one.
pub(super) fn read(block: Option<&Value>) -> ProviderBlock {
    let mut read = ProviderBlock::default();
    let mut defaults = Vec::new();
    let block = block.map(|block| bodies(block, "/provider", &mut read.found));
    for (providers, place) in block.into_iter().flatten() {
        for (name, written) in members(providers) {
            let place = format!("{place}/{}", step(name));
            if name == "rolling" {
                defaults.extend(without_aliases(written, &place, &mut read.warnings));
            } else if is_misspelt(name) {
                let found = Diagnostic::error(place, format!("unknown provider {name:?}"));
                read.found.push(found.with_remedy("did you mean \"rolling\"?"));
            }
        }
    }
    let mut defaults = defaults.into_iter();
    let Some((written, first)) = defaults.next() else { return read };
    read.is_there = true;
    match convert::provider(&without_blocks::<ProviderConfig>(written), &first) {
        Ok(config) => read.config = config,
        Err(found) => read.found.extend(as_written(found, written, &first)),
    }
    read.found.extend(defaults.map(|(_, place)| {
        let message =
            format!("the provider \"rolling\" is configured without an alias at {first} already");
        Diagnostic::error(place, message).with_remedy("keep one of them, or give one an \"alias\"")
    }));
    read
}

/// Returns what configures the provider without an alias, each with its place. Whatever has an
/// alias is for resources that name it, which only Terraform rolls.
fn without_aliases<'v>(
    written: &'v Value,
    place: &str,
    warnings: &mut Vec<Diagnostic>,
) -> Vec<(&'v Value, String)> {
    let each = match written {
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.map(|(index, item)| (item, format!("{place}/{index}"))).collect()
        }
        _ => vec![(written, place.to_owned())],
    };
    let has_alias = |value: &Value| value["alias"].as_str().is_some_and(|alias| !alias.is_empty());
    let (aliased, defaults): (Vec<_>, Vec<_>) =
        each.into_iter().partition(|(value, _)| has_alias(value));
    warnings.extend(aliased.into_iter().map(|(value, place)| {
        let message = format!(
            "the configuration with the alias {} is ignored: only Terraform uses it",
            value["alias"]
        );
        Diagnostic::warning(place, message)
    }));
    defaults
}

/// Returns the warning of a document that rolls in a cloud and configures no provider.
pub(super) fn missing() -> Diagnostic {
    let message = "there is no block provider.rolling: the region and the account come from the \
                   environment (AWS_REGION, AWS_PROFILE, credentials)";
    Diagnostic::warning("", message)
        .with_remedy("add \"provider\": {\"rolling\": {\"aws\": {\"region\": \"...\"}}}")
}

/// Whether a provider's name is meant to be ours, and is not.
fn is_misspelt(name: &str) -> bool {
    similarity(&name.to_lowercase(), "rolling") > 0.9
}
