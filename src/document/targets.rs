//! Checks the target of a deployment, by the table of targets and by the rules of each.

use std::collections::BTreeSet;

use super::config::{RollingDeploymentConfig, SimulatedFleetConfig, TARGET_KINDS, TargetKind};
use super::diagnostic::Diagnostic;

pub(super) fn check_target(
    config: &RollingDeploymentConfig,
    pointer: &str,
    found: &mut Vec<Diagnostic>,
) {
    let value = serde_json::json!(config);
    let given: Vec<_> = TARGET_KINDS.iter().filter(|kind| kind.is_given(&value)).collect();
    if given.len() != 1 {
        let message = match given.is_empty() {
            true => "there is no target".to_owned(),
            false => format!("{} are more than one target", names(given.iter().copied())),
        };
        let remedy = format!("give exactly one of {}", names(TARGET_KINDS));
        found.push(Diagnostic::error(pointer, message).with_remedy(remedy));
    }
    check_templates(config, pointer, found);
    if let Some(fleet) = &config.simulated_fleet {
        check_simulated(fleet, pointer, found);
    }
}

fn names(kinds: impl IntoIterator<Item = &'static TargetKind>) -> String {
    let names: Vec<&str> = kinds.into_iter().map(|kind| kind.attribute).collect();
    match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        _ => names.concat(),
    }
}

/// What is launched is named once, or not at all where nothing is.
fn check_templates(config: &RollingDeploymentConfig, pointer: &str, found: &mut Vec<Diagnostic>) {
    let group = config.auto_scaling_group.as_ref().map(|group| group.launch_template.as_ref());
    let instances = config.target_group.as_ref().map(|group| group.launch_template.as_ref());
    for (of, template) in [("auto_scaling_group", group), ("target_group", instances)] {
        let Some(template) = template else { continue };
        let place = format!("{pointer}/{of}");
        let image = config.auto_scaling_group.as_ref().and_then(|group| group.image_id.as_ref());
        let given = [(template.is_some(), "launch_template"), (image.is_some(), "image_id")];
        let given: Vec<&str> = given.iter().filter(|(given, _)| *given).map(|(_, n)| *n).collect();
        match (given.as_slice(), config.replacement.is_some()) {
            ([], false) => {
                found.push(Diagnostic::error(
                    place,
                    super::schema_check::missing("launch_template"),
                ));
            }
            ([_, name], false) => {
                let message = "launch_template and image_id cannot be used together";
                let found_at = Diagnostic::error(format!("{place}/{name}"), message);
                found.push(found_at.with_remedy("give exactly one of them"));
            }
            _ => {}
        }
        if let Some(template) = template
            && template.id.is_some() == template.name.is_some()
        {
            let place = format!("{pointer}/{of}/launch_template");
            let message = match template.id {
                Some(_) => "the template is given by both id and name",
                None => "the template is given by neither id nor name",
            };
            found.push(Diagnostic::error(place, message).with_remedy("give exactly one of them"));
        }
    }
}

fn check_simulated(fleet: &SimulatedFleetConfig, pointer: &str, found: &mut Vec<Diagnostic>) {
    if fleet.template_set_back_after.as_ref().is_some_and(|span| span.get().is_zero()) {
        let place = format!("{pointer}/simulated_fleet/template_set_back_after");
        found.push(Diagnostic::error(place, "must be above 0s"));
    }
    let mut names = BTreeSet::new();
    for (index, group) in fleet.target_groups.iter().flatten().enumerate() {
        if !names.insert(&group.name) {
            let place = format!("{pointer}/simulated_fleet/target_groups/{index}/name");
            found.push(Diagnostic::error(place, format!("{:?} is there twice", group.name)));
        }
    }
    for (index, event) in fleet.events.iter().flatten().enumerate() {
        if event.is_empty() {
            let place = format!("{pointer}/simulated_fleet/events/{index}");
            let remedy = "name what happens, for instance desired_capacity or reclaim";
            found.push(Diagnostic::error(place, "nothing happens").with_remedy(remedy));
        }
        let named = [
            ("terminate", &event.terminate),
            ("deregister", &event.deregister),
            ("protect", &event.protect),
        ];
        for (what, ids) in named {
            let is_id = |id: &String| {
                id.strip_prefix("i-").is_some_and(|number| number.parse::<u32>().is_ok())
            };
            let ids = ids.iter().flatten().enumerate();
            for (number, id) in ids.filter(|(_, id)| !is_id(id)) {
                let place = format!("{pointer}/simulated_fleet/events/{index}/{what}/{number}");
                let remedy = "its instances are i-0001 and so on, in the order of their launch";
                let message = format!("{id:?} is no instance of a simulated fleet");
                found.push(Diagnostic::error(place, message).with_remedy(remedy));
            }
        }
        if event.throttle.as_ref().is_some_and(|span| span.get().is_zero()) {
            let place = format!("{pointer}/simulated_fleet/events/{index}/throttle");
            found.push(Diagnostic::error(place, "must be above 0s"));
        }
        if event.min_size.zip(event.max_size).is_some_and(|(min, max)| min > max) {
            let place = format!("{pointer}/simulated_fleet/events/{index}/min_size");
            found.push(Diagnostic::error(place, "is above max_size"));
        }
    }
}
