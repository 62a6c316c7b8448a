//! What an engine waits for, as its lease shows it to others. It decides nothing.

use std::time::Duration;

use rolling_provider::{InstanceId, Timestamp};

use super::fields::{Line, TagFields};
use crate::model::wait::{Wait, WaitKind};

/// How many waits a lease names, and how many instances of each.
const SHOWN: usize = 2;
/// The fields of each wait, and of its detail.
const FIELDS: [(&str, &str); SHOWN] = [("w1", "d1"), ("w2", "d2")];

/// One thing that an engine waits for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LeaseWait {
    kind: WaitKind,
    /// The first of the instances.
    instances: Vec<InstanceId>,
    /// How many they are.
    count: usize,
    /// How long it can last at most from when the lease was written.
    left: Duration,
    detail: Option<String>,
}

impl LeaseWait {
    /// Returns what a lease that is written at `now` names of `waits`.
    pub(crate) fn of(waits: &[Wait], now: Timestamp) -> Vec<LeaseWait> {
        let shown = waits.iter().take(SHOWN).map(|wait| LeaseWait {
            kind: wait.kind,
            instances: wait.instances.iter().take(SHOWN).cloned().collect(),
            count: wait.instances.len(),
            left: Duration::from_secs(wait.deadline.since(now).as_secs()),
            detail: wait.detail.clone(),
        });
        shown.collect()
    }

    /// Returns the wait as it is at `now`, `age` after the lease was written.
    pub fn at(&self, now: Timestamp, age: Duration) -> Wait {
        let all = (self.count > self.instances.len()).then(|| format!("{} in all", self.count));
        let details: Vec<String> = self.detail.clone().into_iter().chain(all).collect();
        Wait {
            kind: self.kind,
            instances: self.instances.clone(),
            detail: (!details.is_empty()).then(|| details.join("; ")),
            deadline: now + self.left.saturating_sub(age),
        }
    }

    /// Adds `waits` to a tag's value that is at most `longest` long: a detail only where there is
    /// room for it, and no wait for which there is none.
    pub(super) fn write(waits: &[LeaseWait], line: Line, longest: usize) -> Line {
        let mut line = line.with("waits", waits.len());
        for (wait, (field, detail)) in waits.iter().zip(FIELDS) {
            let ids: Vec<&str> = wait.instances.iter().map(InstanceId::as_str).collect();
            let (kind, left) = (wait.kind.name(), wait.left.as_secs());
            let value = format!("{kind}:{left}:{}:{}", wait.count, ids.join("+"));
            let Some(with) = line.with_room(field, value, longest) else { break };
            line = with;
            let detail = wait.detail.as_ref().and_then(|it| line.with_room(detail, it, longest));
            line = detail.unwrap_or(line);
        }
        line
    }

    /// Returns the waits in the fields of a lease; `None` for a lease that names none, as those of
    /// earlier versions. What cannot be read is left out.
    pub(super) fn read(fields: &TagFields<'_>) -> Option<Vec<LeaseWait>> {
        fields.optional("waits")?;
        let read = FIELDS.iter().filter_map(|(field, detail)| {
            let mut parts = fields.optional(field)?.splitn(4, ':');
            let kind = WaitKind::of_name(parts.next()?)?;
            let left = Duration::from_secs(parts.next()?.parse().ok()?);
            let count = parts.next()?.parse().ok()?;
            let ids = parts.next()?.split('+').filter(|id| !id.is_empty());
            let instances = ids.map(InstanceId::new).collect();
            let detail = fields.optional(detail).map(str::to_owned);
            Some(LeaseWait { kind, instances, count, left, detail })
        });
        Some(read.collect())
    }
}
