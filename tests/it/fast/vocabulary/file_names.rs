//! Files that share a name share its meaning: what is one thing on several layers.

use std::collections::BTreeMap;

use super::{assert_only_shared, crates, root};

/// The names that several files have, with their one meaning.
const SHARED: &[(&str, &str)] = &[
    ("act", "carries out the actions of a plan"),
    ("apply", "the operation apply of a front-end"),
    ("arguments", "the arguments of a front-end"),
    ("aws", "AWS as a provider: its configuration and its adapter"),
    ("batch", "the instances that are replaced together"),
    ("clock", "where the time comes from"),
    ("command", "pause, resume, abort or rollback"),
    ("conditions", "what keeps something from beginning or continuing"),
    ("config", "the configuration of what the folder is about"),
    ("connect", "how a cloud is reached"),
    ("controller", "a platform's controller that replaces instances"),
    ("control", "giving a command to a rollout"),
    ("convert", "from a form outside to one inside"),
    ("error", "the errors of a crate"),
    ("examine", "what would keep a rollout from completing"),
    ("example", "values that unit tests share"),
    ("fleet", "an implementation of the port `Fleet`, or the port"),
    ("follow", "following what another process or the cloud carries out"),
    ("gate", "when gates are checked: decided, or done"),
    ("gates", "the gates of a deployment, and their results"),
    ("halt", "ending early"),
    ("hook", "when hooks run: decided, or done"),
    ("hooks", "the hooks of a deployment, and how far they are"),
    ("in_place", "updates of instances in place"),
    ("instance_refresh", "EC2 Auto Scaling's own rollout"),
    ("kubernetes", "Kubernetes as a provider: its configuration and its adapter"),
    ("keys", "the names of tags"),
    ("launch", "launching instances"),
    ("lease", "which engine is at work"),
    ("lib", "the root of a crate"),
    ("log", "what a front-end logs"),
    ("look", "one observation of the fleet"),
    ("observe", "taking in one observation"),
    ("perform", "performing one action"),
    ("plan", "the operation plan of a front-end"),
    ("policy", "the policies of rollouts"),
    ("port", "an implementation of the port by calls to another"),
    ("preview", "what a rollout would do"),
    ("report", "what a rollout came to, and how that is shown"),
    ("resource", "messages about a resource"),
    ("resolve", "looking a target up"),
    ("rollout", "a change of a target to a revision"),
    ("schema", "the schema of a resource"),
    ("serving", "which instances serve"),
    ("simulated", "simulated fleets"),
    ("sizes", "the sizes of a fleet"),
    ("status", "the operation status, and what it shows"),
    ("stop", "requests to stop"),
    ("target", "what a deployment rolls"),
    ("tick", "one pass of the engine's loop"),
    ("traffic", "shifting requests"),
    ("updates", "updates of instances in place that are under way"),
    ("value", "values of Terraform's protocol"),
];

#[test]
fn files_of_one_name_are_of_one_meaning() {
    let files = crates();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in &files {
        let stem = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let place = file.strip_prefix(root()).expect("below").display().to_string();
        found.entry(stem).or_default().push(place);
    }
    assert_only_shared(found, SHARED);
}
