//! CodeDeploy's deployment configurations as policies.

use super::draft::Draft;
use super::known_shape::FoundSettings;
use super::setting::{Setting, field};

/// How CodeDeploy counts the hosts that stay healthy.
#[derive(Clone, Copy)]
enum HostsType {
    /// Hosts.
    Count,
    /// Percent of them.
    Percent,
    /// Hosts that are deployed to at a time: how CodeDeploy reports `OneAtATime`.
    AtATime,
}

const TYPES: [(&str, HostsType); 3] = [
    ("HOST_COUNT", HostsType::Count),
    ("FLEET_PERCENT", HostsType::Percent),
    ("MOST_CONCURRENCY", HostsType::AtATime),
];

/// The configurations that are always there.
const NAMED: [(&str, HostsType, u64); 3] = [
    ("CodeDeployDefault.OneAtATime", HostsType::AtATime, 1),
    ("CodeDeployDefault.HalfAtATime", HostsType::Percent, 50),
    ("CodeDeployDefault.AllAtOnce", HostsType::Count, 0),
];

/// Converts a deployment configuration, given by what it says or by its name.
pub(super) fn draft(found: &FoundSettings<'_>) -> Draft {
    let mut draft = Draft::new(&["auto_scaling_group"]);
    let given = |name: &str| field(found.value, &found.place, name);
    if let Some(platform) = given("ComputePlatform").filter(|it| it.value != "Server") {
        let remedy = "give a configuration for servers, with minimumHealthyHosts";
        platform.refuse("Server: others have no instances to roll", remedy, &mut draft);
        return draft;
    }
    let (hosts, name) = (given("MinimumHealthyHosts"), given("DeploymentConfigName"));
    let minimum = match (&hosts, &name) {
        (Some(hosts), _) => minimum(hosts, &mut draft),
        (None, Some(name)) => named(name, &mut draft),
        (None, None) => None,
    };
    let at = hosts.or(name).map_or_else(|| found.place.clone(), |it| it.place);
    if let Some((counts, value)) = minimum {
        policy(counts, value, &at, &mut draft);
    }
    if let Some(zonal) = given("ZonalConfig") {
        zones(&zonal, &mut draft);
    }
    let summary = "CodeDeploy updates instances where they are, and this document replaces them by \
                   others";
    let remedy = "to update them in place, set replacement.run_command and remove launch_template";
    draft.warn(&at, summary, remedy);
    draft
}

fn minimum(hosts: &Setting<'_>, draft: &mut Draft) -> Option<(HostsType, u64)> {
    let (Some(kind), Some(value)) = (hosts.field("Type"), hosts.field("Value")) else {
        let remedy = "write for instance {\"type\": \"FLEET_PERCENT\", \"value\": 70}";
        hosts.refuse("an object with type and value", remedy, draft);
        return None;
    };
    let counts = kind.choice(&TYPES, draft)?;
    let range = match counts {
        HostsType::Count => 0..=100_000,
        HostsType::Percent => 0..=100,
        HostsType::AtATime => 1..=100_000,
    };
    Some((counts, value.integer(range, draft)?))
}

fn named(name: &Setting<'_>, draft: &mut Draft) -> Option<(HostsType, u64)> {
    let known = NAMED.iter().find(|(known, ..)| name.value == *known);
    if known.is_none() {
        let summary = format!("{} names a configuration, and not what it says", name.value);
        let remedy =
            "give the answer of aws deploy get-deployment-config, with minimumHealthyHosts";
        draft.refuse(&name.place, summary, remedy);
    }
    known.map(|(_, counts, value)| (*counts, *value))
}

fn policy(counts: HostsType, value: u64, at: &str, draft: &mut Draft) {
    match (counts, value) {
        (HostsType::Count | HostsType::Percent, 0) => draft.set("/policy", "all_at_once", at),
        (HostsType::Percent, percent @ 1..=99) => {
            draft.set("/policy", "rolling", at);
            draft.set("/max_unavailable", format!("{}%", 100 - percent), at);
        }
        (HostsType::Percent, _) => {
            let summary = "with 100 percent of the hosts healthy, CodeDeploy could deploy to none: \
                           one at a time is launched beside them instead";
            draft.warn(at, summary, "set max_unavailable instead of max_surge to replace in place");
            draft.set("/policy", "rolling", at);
            draft.set("/max_surge", 1, at);
        }
        (HostsType::AtATime, size) => fixed(size, at, draft),
        (HostsType::Count, least) => {
            let summary = format!(
                "HOST_COUNT {least} has no equivalent without the size of the fleet: one instance is \
                 replaced at a time, which keeps {least} of {} or more",
                least + 1
            );
            let remedy = format!("set batch_size to the size of the fleet less {least}");
            draft.warn(at, summary, &remedy);
            fixed(1, at, draft);
        }
    }
}

fn fixed(size: u64, at: &str, draft: &mut Draft) {
    draft.set("/policy", "rolling", at);
    draft.set("/batch_size_type", "fixed", at);
    draft.set("/batch_size", size, at);
}

/// One zone after the other, which is an attribute here, too.
fn zones(zonal: &Setting<'_>, draft: &mut Draft) {
    draft.set("/zones", "one_by_one", &zonal.place);
    for name in [
        "FirstZoneMonitorDurationInSeconds",
        "MonitorDurationInSeconds",
        "MinimumHealthyHostsPerZone",
    ] {
        if let Some(setting) = zonal.field(name) {
            let summary = format!("{} has no equivalent: zones follow each other", setting.name);
            let remedy = "set pause_between_batches or checkpoints to wait, and the batch size to \
                          keep instances serving";
            draft.warn(&setting.place, summary, remedy);
        }
    }
}
