//! What the record says of hooks: which have been run, so that none of them is run again, and which
//! one is next, so that it has the same id in every engine.

use std::collections::BTreeSet;

use rolling_provider::{InstanceId, Timestamp};
use sha2::{Digest as _, Sha256};

use crate::record::RecordError;
use crate::record::fields::{Fields, Line};

/// The most instances that a group names one by one: a tag has room for no more.
const NAMED: usize = 36;
/// How many letters stand for an instance.
const LETTERS: usize = 4;
/// Marks a group that is too large to name its instances.
const TOO_LARGE: char = '-';

/// What the record says of hooks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct HookRecord {
    /// Counts hooks that are done, and groups that are given up. It is part of a hook's id: the
    /// same hook that is run again has the same, and the next one another.
    pub number: u32,
    /// Whether `before_rollout` is done.
    pub began: bool,
    /// Whether `before_rollback` is done.
    pub went_back: bool,
    /// The number of the last batch of the rollout, by all engines.
    pub batch: u32,
    /// Whether that batch has begun and `after_batch` is not done.
    pub open: bool,
    /// The instances that were chosen to go last.
    pub group: Group,
    /// Whether `before_deregister` is done for them.
    pub prepared: bool,
    /// Whether `after_healthy` is done for the batch.
    pub healthy: bool,
    /// Instances that the cloud launched later are of the current batch. By the cloud's clock.
    pub since: Option<Timestamp>,
}

/// A set of instances, in a few letters. Up to 36 of them are known one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Group(String);

impl Group {
    /// Returns the group of these instances.
    pub fn of<'a>(instances: impl IntoIterator<Item = &'a InstanceId>) -> Group {
        let all: Vec<String> = instances.into_iter().map(letters).collect();
        if all.len() <= NAMED {
            return Group(all.concat());
        }
        Group(format!("{TOO_LARGE}{}", hash(&all.concat())))
    }

    /// Whether there are no instances in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `instance` is in the group; `None` where the group is too large to tell.
    pub fn has(&self, instance: &InstanceId) -> Option<bool> {
        if self.is_large() {
            return None;
        }
        let wanted = letters(instance);
        Some(self.0.as_bytes().chunks(LETTERS).any(|known| known == wanted.as_bytes()))
    }

    /// Whether its instances are too many to be known one by one.
    pub fn is_large(&self) -> bool {
        self.0.starts_with(TOO_LARGE)
    }

    fn parse(text: &str) -> Group {
        Group(text.to_owned())
    }
}

/// Returns a name for a set of instances, for a hook's id.
pub(crate) fn fingerprint(instances: &BTreeSet<InstanceId>) -> String {
    let all: Vec<&str> = instances.iter().map(InstanceId::as_str).collect();
    hash(&all.join(" "))
}

/// Returns four letters for an instance: 24 bits of its hash, six in each.
fn letters(instance: &InstanceId) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.";
    let digest = Sha256::digest(instance.as_str());
    let bits = digest.iter().take(3).fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
    let letter = |index: usize| {
        let six = (bits >> (6 * index)) & 63;
        char::from(ALPHABET[six as usize])
    };
    (0..LETTERS).map(letter).collect()
}

fn hash(text: &str) -> String {
    Sha256::digest(text).iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

impl HookRecord {
    /// Returns what stands once a hook is done: the next one has another id.
    pub(crate) fn next(self) -> HookRecord {
        HookRecord { number: self.number + 1, ..self }
    }

    /// Returns what stands once the instances chosen to go may be back in rotation: whoever is
    /// chosen again is prepared again.
    pub(crate) fn unprepared(self) -> HookRecord {
        match self.prepared {
            true => HookRecord { prepared: false, ..self }.next(),
            false => self,
        }
    }

    /// Returns the value of the tag that holds it.
    pub(super) fn line(&self) -> String {
        let group = (!self.group.is_empty()).then_some(&self.group.0);
        Line::new()
            .with("next", self.number)
            .with_flag("began", self.began)
            .with_flag("back", self.went_back)
            .with("batch", self.batch)
            .with_flag("open", self.open)
            .with_flag("prepared", self.prepared)
            .with_flag("healthy", self.healthy)
            .with_some("since", self.since.map(|at| at.0))
            .with_some("group", group)
            .done()
    }

    /// # Errors
    /// When a field is missing or is no number.
    pub(super) fn parse(fields: &Fields<'_>) -> Result<HookRecord, RecordError> {
        let is_set = |key: &str| fields.optional(key).is_some();
        Ok(HookRecord {
            number: fields.number("next")?,
            began: is_set("began"),
            went_back: is_set("back"),
            batch: fields.number("batch")?,
            open: is_set("open"),
            group: fields.optional("group").map(Group::parse).unwrap_or_default(),
            prepared: is_set("prepared"),
            healthy: is_set("healthy"),
            since: fields.optional_number("since")?.map(Timestamp),
        })
    }
}

#[cfg(test)]
impl HookRecord {
    /// Returns one with every field at its longest.
    pub(super) fn example() -> HookRecord {
        let ids: Vec<InstanceId> =
            (0..NAMED).map(|index| InstanceId::new(format!("i-{index}"))).collect();
        HookRecord {
            number: 100_000,
            began: true,
            went_back: true,
            batch: 100_000,
            open: true,
            group: Group::of(&ids),
            prepared: true,
            healthy: true,
            since: Some(Timestamp(1_800_000_000_000)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(count: usize) -> Vec<InstanceId> {
        (0..count).map(|index| InstanceId::new(format!("i-{index:04}"))).collect()
    }

    #[test]
    fn a_small_group_knows_its_instances_and_a_large_one_only_itself() {
        let all = ids(NAMED + 1);
        let (last, others) = all.split_last().expect("some");
        let small = Group::of(others);
        assert!(others.iter().all(|id| small.has(id) == Some(true)));
        assert_eq!(small.has(last), Some(false));
        let large = Group::of(&all);
        assert_eq!((large.has(last), &large), (None, &Group::of(&all)));
        assert_ne!(large, Group::of(&ids(NAMED + 2)));
        assert_eq!(Group::of(&[]).has(last), Some(false));
    }

    #[test]
    fn what_was_prepared_is_prepared_again_with_another_id() {
        let done = HookRecord { prepared: true, number: 3, ..HookRecord::default() };
        assert_eq!(done.unprepared().number, 4);
        let not = HookRecord { number: 3, ..HookRecord::default() };
        assert_eq!(not.unprepared().number, 3, "what was not done has the same id");
    }
}
