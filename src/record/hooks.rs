//! What the record says of hooks: which have been run, so that none of them is run again, and which
//! one is next, so that it has the same id in every engine.

use std::collections::BTreeSet;

use rolling_provider::{InstanceId, Timestamp};
use sha2::{Digest as _, Sha256};

use crate::model::spec::HookPoint;
use crate::record::RecordError;
use crate::record::fields::{Line, TagFields};

/// The most instances that are named one by one: a tag has room for no more.
const NAMED: usize = 32;
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
    /// The instances of that batch that were chosen to go.
    pub members: InstanceSet,
    /// The hook about instances that has begun, and whose end is not noted.
    pub point: Option<HookPoint>,
    /// The instances that it is about, or was.
    pub group: InstanceSet,
    /// Whether `before_deregister` is done for them.
    pub prepared: bool,
    /// `after_healthy` is done for the instances of the batch that were launched by then, by the
    /// cloud's clock. With updates in place: when it was done for all of them.
    pub after_healthy_done: Option<Timestamp>,
    /// Instances that the cloud launched later are of the current batch. By the cloud's clock.
    pub since: Option<Timestamp>,
}

/// A set of instances, in a few letters. Up to 32 of them are known one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct InstanceSet(String);

impl InstanceSet {
    /// Returns the group of these instances.
    pub fn of<'a>(instances: impl IntoIterator<Item = &'a InstanceId>) -> InstanceSet {
        InstanceSet::named(instances.into_iter().map(letters).collect())
    }

    fn named(names: BTreeSet<String>) -> InstanceSet {
        let all: String = names.iter().map(String::as_str).collect();
        match names.len() > NAMED {
            true => InstanceSet::large(&all),
            false => InstanceSet(all),
        }
    }

    fn large(all: &str) -> InstanceSet {
        InstanceSet(format!("{TOO_LARGE}{}", hash(all)))
    }

    /// Whether there are no instances in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn names(&self) -> BTreeSet<String> {
        let named = self.0.as_bytes().chunks(LETTERS).filter(|_| !self.is_large());
        named.map(|name| String::from_utf8_lossy(name).into_owned()).collect()
    }

    /// Whether `instance` is in the group; `None` where the group is too large to tell.
    pub fn has(&self, instance: &InstanceId) -> Option<bool> {
        if self.is_large() {
            return None;
        }
        if self.is_empty() {
            return Some(false);
        }
        let wanted = letters(instance);
        Some(self.0.as_bytes().chunks(LETTERS).any(|known| known == wanted.as_bytes()))
    }

    /// Returns those of `instances` that the group names. None where more match than it names: then
    /// some are others with the same letters.
    pub fn matching<'a>(
        &self,
        instances: impl IntoIterator<Item = &'a InstanceId>,
    ) -> BTreeSet<InstanceId> {
        let named = instances.into_iter().filter(|id| self.has(id) == Some(true)).cloned();
        let named: BTreeSet<InstanceId> = named.collect();
        if named.len() > self.0.len() / LETTERS { BTreeSet::new() } else { named }
    }

    /// Returns the group with these instances added.
    pub(crate) fn with<'a>(&self, more: impl IntoIterator<Item = &'a InstanceId>) -> InstanceSet {
        let more: BTreeSet<String> = more.into_iter().map(letters).collect();
        match self.is_large() && !more.is_empty() {
            true => InstanceSet::large(&format!("{}{}", self.0, InstanceSet::named(more).0)),
            false if self.is_large() => self.clone(),
            false => InstanceSet::named(&self.names() | &more),
        }
    }

    /// Returns the group without these instances. Of a large one nothing is left: its instances are
    /// not known.
    pub(crate) fn without<'a>(
        &self,
        less: impl IntoIterator<Item = &'a InstanceId>,
    ) -> InstanceSet {
        let less: BTreeSet<String> = less.into_iter().map(letters).collect();
        InstanceSet::named(&self.names() - &less)
    }

    /// Whether its instances are too many to be known one by one.
    pub fn is_large(&self) -> bool {
        self.0.starts_with(TOO_LARGE)
    }

    fn parse(text: &str) -> InstanceSet {
        InstanceSet(text.to_owned())
    }

    /// Returns the value of a tag that holds only this group.
    pub(super) fn line(&self) -> String {
        Line::new().with_some("out", (!self.is_empty()).then_some(&self.0)).done()
    }

    /// Returns the group that [`InstanceSet::line`] has written.
    pub(super) fn read(fields: &TagFields<'_>) -> InstanceSet {
        InstanceSet::parse(fields.optional("out").unwrap_or_default())
    }
}

/// Returns a name for what a hook is about: its group, and what else its message says.
pub(crate) fn fingerprint(group: &InstanceSet, message: &str) -> String {
    hash(&format!("{} {message}", group.0))
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

/// Returns the letter that stands for a point in a tag.
fn letter_of(point: HookPoint) -> &'static str {
    match point {
        HookPoint::BeforeRollout => "o",
        HookPoint::BeforeDeregister => "d",
        HookPoint::AfterHealthy => "h",
        HookPoint::AfterBatch => "b",
        HookPoint::BeforeRollback => "r",
        HookPoint::AfterRollout => "e",
    }
}

fn hash(text: &str) -> String {
    Sha256::digest(text).iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

impl HookRecord {
    /// Returns what stands once a hook is done: the next one has another id.
    pub(crate) fn next(self) -> HookRecord {
        HookRecord { number: self.number + 1, ..self }
    }

    /// Returns what stands once a batch has, or goes on with, these instances: it names as many as
    /// there is room for.
    pub(crate) fn with_members(self, members: InstanceSet) -> HookRecord {
        let (one, other) = (members.0.len(), self.group.0.len());
        let fits = members.is_large() || members == self.group || one + other <= NAMED * LETTERS;
        let members = if fits { members } else { InstanceSet::large(&members.0) };
        HookRecord { members, ..self }
    }

    /// Returns what stands before the hook at `point` is begun for `group`.
    pub(crate) fn beginning(self, point: HookPoint, group: InstanceSet) -> HookRecord {
        let number = self.number + u32::from(self.point.is_some());
        let members = self.members.clone();
        HookRecord { number, point: Some(point), group, prepared: false, ..self }
            .with_members(members)
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
        let members = (self.members != self.group).then_some(&self.members.0);
        Line::new()
            .with("next", self.number)
            .with_flag("began", self.began)
            .with_flag("back", self.went_back)
            .with("batch", self.batch)
            .with_flag("open", self.open)
            .with_flag("prepared", self.prepared)
            .with_some("healthy", self.after_healthy_done.map(|at| at.0))
            .with_some("since", self.since.map(|at| at.0))
            .with_some("at", self.point.map(letter_of))
            .with_some("group", group)
            .with_some("of", members)
            .done()
    }

    /// # Errors
    /// When a field is missing or is no number.
    pub(super) fn parse(fields: &TagFields<'_>) -> Result<HookRecord, RecordError> {
        let is_set = |key: &str| fields.optional(key).is_some();
        let group = fields.optional("group").map(InstanceSet::parse).unwrap_or_default();
        let point = match fields.optional("at") {
            Some(letter) => {
                let known = HookPoint::ALL.into_iter().find(|it| letter_of(*it) == letter);
                Some(known.ok_or_else(|| fields.invalid("at", letter))?)
            }
            None => None,
        };
        Ok(HookRecord {
            number: fields.number("next")?,
            began: is_set("began"),
            went_back: is_set("back"),
            batch: fields.number("batch")?,
            open: is_set("open"),
            members: fields.optional("of").map_or_else(|| group.clone(), InstanceSet::parse),
            point,
            group,
            prepared: is_set("prepared"),
            after_healthy_done: fields.optional_number("healthy")?.map(Timestamp),
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
        let (group, members) = ids.split_at(NAMED / 2);
        HookRecord {
            number: 100_000,
            began: true,
            went_back: true,
            batch: 100_000,
            open: true,
            members: InstanceSet::of(members),
            point: Some(HookPoint::AfterHealthy),
            group: InstanceSet::of(group),
            prepared: true,
            after_healthy_done: Some(Timestamp(1_800_000_000_000)),
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
        let small = InstanceSet::of(others);
        assert!(others.iter().all(|id| small.has(id) == Some(true)));
        assert_eq!(small.has(last), Some(false));
        let large = InstanceSet::of(&all);
        assert_eq!((large.has(last), &large), (None, &InstanceSet::of(&all)));
        assert_ne!(large, InstanceSet::of(&ids(NAMED + 2)));
        assert_eq!(InstanceSet::of(&[]).has(last), Some(false));
    }

    #[test]
    fn a_group_grows_and_shrinks_and_matches_no_more_than_it_names() {
        let all = ids(5);
        let (two, others) = all.split_at(2);
        let group = InstanceSet::of(two);
        assert_eq!(group.with(others), InstanceSet::of(&all));
        assert_eq!(InstanceSet::of(&all).without(others), group);
        assert_eq!(group.matching(&all), two.iter().cloned().collect());
        assert!(InstanceSet::of(&ids(NAMED)).with(&ids(NAMED + 1)).is_large());
        assert!(InstanceSet::of(&ids(NAMED + 1)).matching(&all).is_empty());
        // Among this many, two have the same letters.
        let many: Vec<InstanceId> = ids(40_000);
        let mut known = std::collections::BTreeMap::new();
        let twins = many.iter().find_map(|id| Some((known.insert(letters(id), id)?, id)));
        let (one, twin) = twins.expect("twins");
        assert_eq!(
            InstanceSet::of([one]).matching([one, twin]),
            BTreeSet::new(),
            "one is a stranger"
        );
    }

    #[test]
    fn members_beside_another_group_are_named_as_far_as_there_is_room() {
        let all = ids(NAMED);
        let hooks = HookRecord { group: InstanceSet::of(&all), ..HookRecord::default() };
        assert!(!hooks.clone().with_members(InstanceSet::of(&all)).members.is_large());
        assert!(hooks.with_members(InstanceSet::of(&all[1..])).members.is_large());
    }

    #[test]
    fn what_was_prepared_is_prepared_again_with_another_id() {
        let done = HookRecord { prepared: true, number: 3, ..HookRecord::default() };
        assert_eq!(done.unprepared().number, 4);
        let not = HookRecord { number: 3, ..HookRecord::default() };
        assert_eq!(not.unprepared().number, 3, "what was not done has the same id");
    }
}
