//! Settings of other tools as a document: Elastic Beanstalk's options, manifests of Kubernetes,
//! preferences of an instance refresh, CodeDeploy's configurations. No cloud is asked.

mod beanstalk_options;
mod beanstalk_updates;
mod codedeploy;
mod draft;
mod fitted;
mod iso_duration;
mod known_shape;
mod manifest;
mod option_list;
mod refresh_preferences;
mod setting;
mod strategy;
mod target_id;
mod template_reference;
mod whole_text;

#[cfg(test)]
mod conversions;

use crate::document::Diagnostic;

use self::draft::Draft;
pub(crate) use self::fitted::Conversion;
use self::known_shape::{FoundSettings, SettingsShape};
pub(crate) use self::target_id::TargetId;

/// Converts the settings in `text` to a document, for the target `chosen`, or else for the one that
/// the settings themselves are for.
///
/// # Errors
/// Every finding, each with its place in `text`.
pub(crate) fn convert(
    text: &str,
    chosen: Option<&TargetId>,
) -> Result<Conversion, Vec<Diagnostic>> {
    let documents = whole_text::read(text)?;
    let objects = manifest::objects(&documents);
    let draft = match objects.is_empty() {
        false => manifest::draft(&objects, chosen)?,
        true => settings(&known_shape::only(&documents)?, chosen),
    };
    fitted::fit(draft, chosen)
}

fn settings(found: &FoundSettings<'_>, chosen: Option<&TargetId>) -> Draft {
    match found.shape {
        SettingsShape::OptionSettings => beanstalk_options::draft(found, chosen),
        SettingsShape::Preferences => refresh_preferences::draft(found),
        SettingsShape::InstanceRefreshBlock => refresh_preferences::draft_of_block(found),
        SettingsShape::HealthyHosts => codedeploy::draft(found),
    }
}
