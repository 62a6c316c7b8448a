//! A rollout on paper: the same choices as the real one, on a fleet where every launch works.

use std::collections::BTreeMap;
use std::time::Duration;

use rolling_provider::{Instance, InstanceId, Lifecycle, Revision, TargetGroupId};
use serde::Serialize;

use super::{Input, Member, View, batch, is_converged};
use crate::spec::{BatchSize, Policy};

/// Boot time that is assumed of a fleet whose launches tell none.
const ASSUMED_BOOT: Duration = Duration::from_secs(60);

/// What a rollout would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// Whether there is anything to do.
    pub changes: bool,
    /// The fleet, as a person calls it.
    pub target: String,
    /// What sort of fleet.
    pub kind: &'static str,
    /// What the fleet launches now.
    pub from: Option<Revision>,
    /// What it is to run.
    pub to: Revision,
    /// The target groups that an instance must be healthy in, with their names.
    pub target_groups: BTreeMap<TargetGroupId, String>,
    /// Size of the fleet.
    pub size: u32,
    /// The policy's name.
    pub policy: &'static str,
    /// Batches in order.
    pub batches: Vec<BatchPreview>,
    /// At least this many serve throughout.
    pub floor: u32,
    /// At most this many live.
    pub ceiling: u32,
    /// What is changed for the while and put back at the end.
    pub borrows: Vec<Borrowing>,
    /// How long it should take, in seconds.
    pub expected_seconds: u64,
    /// Whether the boot time in that is a guess, since no launch of this fleet tells it.
    pub boot_assumed: bool,
    /// What a reader should know before going on.
    pub warnings: Vec<String>,
}

/// One batch to come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BatchPreview {
    /// Instances launched beside the fleet.
    pub launches: u32,
    /// Instances that are replaced.
    pub replaces: Vec<InstanceId>,
}

/// Something that is changed for the while of the rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Borrowing {
    /// What.
    pub what: &'static str,
    /// What it becomes.
    pub becomes: String,
}

/// What a rollout would do now.
pub fn preview(input: &Input<'_>) -> Preview {
    let Input { spec, target, look, .. } = *input;
    let view = View::new(input);
    let changes = !is_converged(input);
    let batches = if changes { batches(&view) } else { Vec::new() };
    let raise: u32 = batches.iter().map(|batch| batch.launches).sum();
    Preview {
        changes,
        target: target.name.clone(),
        kind: target.kind,
        from: look.template.clone(),
        to: target.revision.clone(),
        target_groups: target
            .target_groups
            .iter()
            .map(|g| (g.id.clone(), g.name.clone()))
            .collect(),
        size: view.window.size,
        policy: spec.policy.name(),
        floor: view.window.floor(),
        ceiling: view.window.ceiling(),
        borrows: if changes { borrows(input, raise) } else { Vec::new() },
        expected_seconds: expected(input, &batches).as_secs(),
        boot_assumed: target.boot.is_none() && !batches.is_empty(),
        warnings: warnings(input, &view, changes),
        batches,
    }
}

/// Why this fleet cannot be rolled as it is, if so: instances to replace that somebody set aside.
pub fn refusal(input: &Input<'_>) -> Option<String> {
    let held: Vec<String> = input
        .look
        .instances
        .iter()
        .filter(|(_, instance)| {
            instance.revision.as_ref() != Some(&input.target.revision) && !instance.ignored
        })
        .filter_map(|(id, instance)| match instance.lifecycle {
            Lifecycle::Standby => Some(format!("{id} (in standby)")),
            Lifecycle::Terminating => None,
            _ if instance.protected => Some(format!("{id} (protected from scale-in)")),
            _ => None,
        })
        .collect();
    (!held.is_empty()).then(|| held.join(", "))
}

/// Plays the batches through with the planner's own choice of victims.
fn batches(view: &View<'_>) -> Vec<BatchPreview> {
    let mut view = view.clone();
    for member in &mut view.members {
        // Victims of an engine before this one are out of rotation, and go first.
        member.is_victim = false;
    }
    let mut batches = Vec::new();
    let mut waited = false;
    let old = u32::try_from(view.old().count()).unwrap_or(u32::MAX);
    let launches = view.window.surge.min(old);
    let surge: Vec<(InstanceId, Instance)> = (0..launches).map(extra).collect();
    if launches > 0 {
        batches.push(BatchPreview { launches, replaces: Vec::new() });
        view.members.extend(surge.iter().map(|(id, instance)| Member {
            id,
            instance,
            is_new: true,
            is_victim: false,
            serves: true,
            soaked: true,
        }));
    }
    while view.old().next().is_some() {
        let chosen = batch::next(&view);
        // Where the floor leaves nobody, the real rollout waits until more serve.
        let waits = chosen.is_empty();
        if waits && waited {
            break;
        }
        waited = waits;
        for member in &mut view.members {
            let replaced = chosen.contains(member.id);
            member.is_new |= replaced;
            member.serves |= replaced || waits;
        }
        if !waits {
            batches.push(BatchPreview { launches: 0, replaces: chosen.into_iter().collect() });
        }
    }
    batches
}

fn extra(index: u32) -> (InstanceId, Instance) {
    let instance = Instance {
        revision: None,
        zone: String::new(),
        lifecycle: Lifecycle::InService,
        healthy: true,
        launched_at: None,
        protected: false,
        ignored: false,
        targets: Default::default(),
    };
    (InstanceId::new(format!("surge-{index}")), instance)
}

fn borrows(input: &Input<'_>, raise: u32) -> Vec<Borrowing> {
    let Input { spec, look, progress, .. } = *input;
    let mut borrows = Vec::new();
    let running: Vec<&str> =
        spec.suspend_processes.difference(&look.suspended).map(String::as_str).collect();
    if !running.is_empty() {
        let becomes = format!("suspended: {}", running.join(", "));
        borrows.push(Borrowing { what: "processes", becomes });
    }
    let desired = progress.desired(look);
    if raise > 0 {
        let becomes = format!("{} instead of {desired}", desired + raise);
        borrows.push(Borrowing { what: "desired size", becomes });
    }
    if desired + raise > look.capacity.max {
        let becomes = format!("{} instead of {}", desired + raise, look.capacity.max);
        borrows.push(Borrowing { what: "maximum size", becomes });
    }
    borrows
}

/// What the batches take when every boot takes the median.
fn expected(input: &Input<'_>, batches: &[BatchPreview]) -> Duration {
    let target = input.target;
    let registers = target.target_groups.iter().map(|group| group.register).max();
    let launch = target.boot.unwrap_or(ASSUMED_BOOT)
        + registers.unwrap_or_default()
        + input.spec.health.min_healthy_time;
    let surge: usize = batches.iter().map(|batch| batch.launches as usize).sum();
    let mut old: usize = batches.iter().map(|batch| batch.replaces.len()).sum();
    let mut total = Duration::ZERO;
    for batch in batches {
        if !batch.replaces.is_empty() {
            total += target.drain();
        }
        // The last ones go without a replacement when there is surge.
        if batch.launches > 0 || old > surge {
            total += launch;
        }
        old -= batch.replaces.len();
    }
    total
}

fn warnings(input: &Input<'_>, view: &View<'_>, changes: bool) -> Vec<String> {
    let Input { spec, target, look, progress, .. } = *input;
    let mut warnings = target.warnings.clone();
    if !changes {
        return warnings;
    }
    let n = view.window.size;
    if let Policy::Rolling(BatchSize::Percentage(percent))
    | Policy::RollingWithAdditionalBatch(BatchSize::Percentage(percent)) = spec.policy
        && n > 0
        && u64::from(n) * u64::from(percent) < 100
    {
        let share = 100 / n;
        warnings.push(format!(
            "{percent} percent of {n} instances is less than one: batches of 1 are {share} percent"
        ));
    }
    if n > 0 && view.window.floor() == 0 {
        warnings.push("no instance has to serve while a batch is replaced: an outage".into());
    }
    let idle = view.members.iter().filter(|member| !member.serves).count();
    if idle > 0 {
        warnings.push(format!("{idle} of {} instances do not serve now", view.members.len()));
    }
    let ignored = view.members.iter().filter(|m| m.instance.ignored).count();
    if ignored > 0 {
        warnings.push(format!("{ignored} instances are tagged rolling:ignore and left alone"));
    }
    if let Some(template) = &look.template
        && target.aliases.contains_key(template)
    {
        let to = &target.revision;
        warnings.push(format!("the group's template {template} becomes the fixed version {to}"));
    }
    if let Some(record) = &progress.record {
        let what = if record.to == target.revision { "continues" } else { "replaces" };
        warnings
            .push(format!("{what} rollout {} to {}, found on the target", record.id, record.to));
    }
    warnings
}
