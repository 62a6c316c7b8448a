//! The tags that hold the rollout record, and how it is written into them and read from them.

use std::time::Duration;

use rolling_provider::{ControllerSettings, InstanceId, Restart, Tags, Timestamp};

use super::fields::{Line, TagFields, decode, encode, encode_text};
use super::hooks::{HookRecord, InstanceSet};
use super::record_error::RecordError;
use super::rollout_record::{
    Borrowed, BorrowedMax, BorrowedSettings, Phase, ReachedCheckpoint, Record, ReleasedStep,
};

/// Tag that names the rollout.
pub const ROLLOUT: &str = "rolling:rollout";
/// Tag with the progress of the rollout.
const PROGRESS: &str = "rolling:progress";
/// Tag with the instances that the rollout takes out of rotation.
const VICTIMS: &str = "rolling:victims";
/// Tag with what is borrowed.
const BORROWED: &str = "rolling:borrowed";
/// Tag with the last completed revision.
const COMPLETED: &str = "rolling:completed";
/// Tag with the hooks that were run, where there are any.
const HOOKS: &str = "rolling:hooks";
/// Tag with the reason why the rollout no longer goes forward, for people.
const REASON: &str = "rolling:reason";
/// Tag with the engine at work; see [`crate::record::lease`].
pub const LEASE: &str = "rolling:lease";
/// Tag with the command of another process; see [`crate::record::command`].
pub const CONTROL: &str = "rolling:control";
/// Tag on an instance that has failed, with the id of the rollout that counted it.
pub(crate) const FAILED: &str = "rolling:failed";
/// Tag on an instance that was taken out of its fleet for debugging, with the rollout's id.
pub(crate) const RETAINED: &str = "rolling:retained";

/// The tags of the record itself.
const RECORD: [&str; 7] = [ROLLOUT, PROGRESS, VICTIMS, BORROWED, COMPLETED, HOOKS, REASON];

/// Every tag that a rollout may leave on its target.
pub const KEYS: [&str; 9] =
    [ROLLOUT, PROGRESS, VICTIMS, BORROWED, COMPLETED, HOOKS, REASON, LEASE, CONTROL];

/// Returns the record's tags among `tags`; none without a record.
pub fn record_in(tags: &Tags) -> Tags {
    if !tags.contains_key(ROLLOUT) {
        return Tags::new();
    }
    let is_of_it = |key: &String| RECORD.contains(&key.as_str());
    tags.iter().filter(|(key, _)| is_of_it(key)).map(|(k, v)| (k.clone(), v.clone())).collect()
}

impl Record {
    /// Returns the tags that hold this record. The keys are always the same in a record, from one
    /// rollout on a target to the next: an omitted tag would keep its old value.
    pub fn tags(&self) -> Tags {
        let rollout = Line::new()
            .with("id", &self.id)
            .with("gen", self.generation)
            .with("to", &self.to)
            .with("started", self.started.0)
            .with_some("restart", self.restart.map(|it| it.before.0))
            .with_some("zone", self.zone.as_ref())
            .with_some("since", self.restart.map(|it| it.since.0))
            .with_some("reached", self.reached.map(|it| it.at.0))
            .with_some("checkpoint", self.reached.map(|it| it.index));
        let progress = Line::new()
            .with("phase", self.phase.name())
            .with_flag("back", self.rolls_back)
            .with_flag("fault", self.fault)
            .with_flag("owned", self.owned)
            .with("n", self.size)
            .with("surge", self.surge)
            .with_flag("gives", self.gives_back)
            .with_some("was", (self.surge_before != self.surge).then_some(self.surge_before))
            .with("failed", self.failures)
            .with_some("last", self.last_failed.as_ref())
            .with("retained", self.retained_failed)
            .with_some("latest", self.last_retained.as_ref())
            .with("passed", self.checkpoints_passed)
            .with_some("released", self.released)
            .with("paused", self.paused.as_millis())
            .with_some("since", self.pause_changed_at.map(|at| at.0))
            .with_some("ack", (!self.acknowledged.is_empty()).then(|| self.acknowledged.join("+")));
        let names: Vec<&str> = self.borrowed.suspended.iter().map(String::as_str).collect();
        let borrowed = Line::new()
            .with_some("template", self.borrowed.template.as_ref())
            .with_some("max", self.borrowed.max.map(|max| max.to_string()))
            .with_some("suspended", (!names.is_empty()).then(|| names.join("+")))
            .with_some("shifts", self.borrowed.shifts.as_ref())
            .with_some("controller", self.borrowed.controller.map(|it| it.to_string()))
            .with_flag("promoted", self.promoted);
        let mut tags = Tags::from([
            (ROLLOUT.into(), rollout.done()),
            (PROGRESS.into(), progress.done()),
            (VICTIMS.into(), self.victims.line()),
            (BORROWED.into(), borrowed.done()),
            (REASON.into(), encode_text(self.reason.as_deref().unwrap_or_default())),
        ]);
        if let Some(completed) = &self.completed {
            tags.insert(COMPLETED.into(), encode(completed.as_str()));
        }
        if let Some(hooks) = &self.hooks {
            tags.insert(HOOKS.into(), hooks.line());
        }
        tags
    }

    /// Returns the record in these tags; `None` when there is none.
    ///
    /// # Errors
    /// Names the unreadable tag. A damaged record never counts as none, since it may be all that
    /// remembers what is borrowed.
    pub fn from_tags(tags: &Tags) -> Result<Option<Record>, RecordError> {
        let Some(rollout) = tags.get(ROLLOUT) else { return Ok(None) };
        let rollout = TagFields::parse(ROLLOUT, rollout)?;
        let other = |key: &'static str| match tags.get(key) {
            Some(value) => TagFields::parse(key, value),
            None => Err(RecordError::MissingTag { tag: key, beside: ROLLOUT }),
        };
        let (progress, borrowed) = (other(PROGRESS)?, other(BORROWED)?);
        let victims = InstanceSet::read(&other(VICTIMS)?);
        let phase = progress.text("phase")?;
        let known = Phase::ALL.into_iter().find(|known| known.name() == phase);
        let acknowledged = progress.optional("ack").into_iter().flat_map(|ids| ids.split('+'));
        let reason = tags.get(REASON).filter(|reason| !reason.is_empty());
        Ok(Some(Record {
            id: rollout.text("id")?.to_owned(),
            generation: rollout.number("gen")?,
            to: rollout.text("to")?.into(),
            restart: restart(&rollout)?,
            zone: rollout.optional("zone").map(str::to_owned),
            started: Timestamp(rollout.number("started")?),
            phase: known.ok_or_else(|| progress.invalid("phase", phase))?,
            rolls_back: progress.optional("back").is_some(),
            fault: progress.optional("fault").is_some(),
            owned: progress.optional("owned").is_some(),
            size: progress.number("n")?,
            surge: progress.number("surge")?,
            gives_back: progress.optional("gives").is_some(),
            surge_before: match progress.optional_number("was")? {
                Some(before) => before,
                None => progress.number("surge")?,
            },
            failures: progress.number("failed")?,
            last_failed: progress.optional("last").map(InstanceId::new),
            retained_failed: progress.number("retained")?,
            last_retained: progress.optional("latest").map(InstanceId::new),
            checkpoints_passed: progress.number("passed")?,
            reached: ReachedCheckpoint::parse(&rollout)?,
            paused: Duration::from_millis(progress.number("paused")?),
            pause_changed_at: progress.optional_number("since")?.map(Timestamp),
            acknowledged: acknowledged.map(str::to_owned).collect(),
            promoted: borrowed.optional("promoted").is_some(),
            released: progress.optional_number("released")?,
            victims,
            hooks: match tags.get(HOOKS) {
                Some(value) => Some(HookRecord::parse(&TagFields::parse(HOOKS, value)?)?),
                None => None,
            },
            borrowed: Borrowed::parse(&borrowed)?,
            completed: tags.get(COMPLETED).map(|value| decode(value).as_ref().into()),
            reason: reason.map(|reason| decode(reason).into_owned()),
        }))
    }
}

impl std::fmt::Display for BorrowedMax {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.found, self.before, self.ours)
    }
}

/// Bounds as text: `25%/25%/0/600`. The last is `-` where the controller never reports that it is
/// stuck.
fn settings_text(settings: &ControllerSettings) -> String {
    let ControllerSettings { surge, unavailable, min_ready_seconds, deadline_seconds } = settings;
    let deadline = deadline_seconds.map_or("-".to_owned(), |seconds| seconds.to_string());
    format!("{surge}/{unavailable}/{min_ready_seconds}/{deadline}")
}

fn parse_settings(text: &str) -> Option<ControllerSettings> {
    let mut parts = text.split('/');
    let surge = parts.next()?.parse().ok()?;
    let unavailable = parts.next()?.parse().ok()?;
    let min_ready_seconds = parts.next()?.parse().ok()?;
    let deadline_seconds = match parts.next()? {
        "-" => None,
        seconds => Some(seconds.parse().ok()?),
    };
    Some(ControllerSettings { surge, unavailable, min_ready_seconds, deadline_seconds })
}

impl std::fmt::Display for BorrowedSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let BorrowedSettings { found, before, ours } = self;
        let texts = [found, before, ours].map(settings_text);
        write!(f, "{}", texts.join("+"))
    }
}

impl std::fmt::Display for ReleasedStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.goal, self.size)
    }
}

impl std::str::FromStr for ReleasedStep {
    type Err = ();

    /// Reads what [`std::fmt::Display`] writes.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (goal, size) = text.split_once('/').ok_or(())?;
        let number = |text: &str| text.parse().map_err(|_| ());
        Ok(Self { goal: number(goal)?, size: number(size)? })
    }
}

impl BorrowedSettings {
    fn parse(value: &str) -> Option<BorrowedSettings> {
        let mut settings = value.split('+').map(parse_settings);
        let mut next = || settings.next().flatten();
        Some(BorrowedSettings { found: next()?, before: next()?, ours: next()? })
    }
}

fn restart(rollout: &TagFields<'_>) -> Result<Option<Restart>, RecordError> {
    let Some(before) = rollout.optional_number("restart")?.map(Timestamp) else { return Ok(None) };
    Ok(Some(Restart { before, since: Timestamp(rollout.number("since")?) }))
}

impl ReachedCheckpoint {
    fn parse(rollout: &TagFields<'_>) -> Result<Option<ReachedCheckpoint>, RecordError> {
        let Some(at) = rollout.optional_number("reached")?.map(Timestamp) else { return Ok(None) };
        Ok(Some(ReachedCheckpoint { index: rollout.number("checkpoint")?, at }))
    }
}

impl BorrowedMax {
    fn parse(value: &str) -> Option<BorrowedMax> {
        let mut sizes = value.split('/').map(|size| size.parse::<u32>().ok());
        let mut next = || sizes.next().flatten();
        Some(BorrowedMax { found: next()?, before: next()?, ours: next()? })
    }
}

impl Borrowed {
    fn parse(fields: &TagFields<'_>) -> Result<Borrowed, RecordError> {
        let max = match fields.optional("max") {
            None => None,
            Some(value) => {
                let max = BorrowedMax::parse(value);
                Some(max.ok_or_else(|| fields.invalid("max", value))?)
            }
        };
        let suspended = fields.optional("suspended").into_iter().flat_map(|names| names.split('+'));
        Ok(Borrowed {
            template: fields.optional("template").map(Into::into),
            max,
            suspended: suspended.map(str::to_owned).collect(),
            shifts: fields.optional("shifts").map(str::to_owned),
            controller: match fields.optional("controller") {
                None => None,
                Some(value) => {
                    let settings = BorrowedSettings::parse(value);
                    Some(settings.ok_or_else(|| fields.invalid("controller", value))?)
                }
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use rolling_provider::Share;

    use super::*;

    #[test]
    fn a_record_survives_the_way_through_tags_in_every_phase() {
        for phase in Phase::ALL {
            let record = Record { phase, ..Record::example() };
            assert_eq!(Record::from_tags(&record.tags()), Ok(Some(record)));
        }
        let fresh = Record {
            rolls_back: false,
            fault: false,
            owned: false,
            promoted: false,
            released: None,
            gives_back: false,
            last_failed: None,
            last_retained: None,
            pause_changed_at: None,
            acknowledged: Vec::new(),
            reached: None,
            victims: InstanceSet::default(),
            restart: None,
            zone: None,
            hooks: None,
            completed: None,
            reason: None,
            borrowed: Borrowed::default(),
            ..Record::example()
        };
        assert_eq!(Record::from_tags(&fresh.tags()), Ok(Some(fresh)));
    }

    #[test]
    fn what_is_borrowed_of_a_controller_comes_back() {
        let settings = |surge, deadline_seconds| ControllerSettings {
            surge,
            unavailable: Share::Percent(100),
            min_ready_seconds: 4_000_000_000,
            deadline_seconds,
        };
        let found = settings(Share::Percent(25), None);
        let ours = settings(Share::Count(100_000), Some(600));
        let controller = Some(BorrowedSettings { found, before: found, ours });
        // It is kept in annotations of a `Lease`, which may be of any length.
        let borrowed = Borrowed { controller, ..Borrowed::default() };
        let record = Record {
            borrowed,
            released: Some(ReleasedStep { goal: 50_000, size: 100_000 }),
            ..Record::example()
        };
        assert_eq!(Record::from_tags(&record.tags()), Ok(Some(record)));
    }

    #[test]
    fn tags_keep_to_the_alphabet_and_length_that_elbv2_allows() {
        for (key, value) in Record::example().tags() {
            assert!(value.len() <= 255, "{key}: {value}");
            let allowed = |c: char| c.is_ascii_alphanumeric() || " _.:/=+-@".contains(c);
            assert!(value.chars().all(allowed), "{key}: {value}");
        }
    }

    #[test]
    fn no_tags_are_no_record_and_a_damaged_record_is_an_error() {
        assert_eq!(Record::from_tags(&Tags::new()), Ok(None));
        let mut tags = Record::example().tags();
        tags.remove(BORROWED);
        let error = Record::from_tags(&tags).expect_err("a tag is missing");
        assert_eq!(error, RecordError::MissingTag { tag: BORROWED, beside: ROLLOUT });
        assert_eq!(error.to_string(), "tag rolling:borrowed is missing beside rolling:rollout");
        let mut tags = Record::example().tags();
        tags.insert(PROGRESS.into(), "v=2 phase=dancing".into());
        let error = Record::from_tags(&tags).expect_err("no phase");
        let value = "dancing".to_owned();
        assert_eq!(error, RecordError::InvalidField { tag: PROGRESS, field: "phase", value });
        assert_eq!(error.to_string(), "tag rolling:progress has an unreadable phase=dancing");
        tags.insert(PROGRESS.into(), "v=2".into());
        let error = Record::from_tags(&tags).expect_err("no phase");
        assert_eq!(error, RecordError::MissingField { tag: PROGRESS, field: "phase" });
        assert_eq!(error.to_string(), "tag rolling:progress has no phase=");
        tags.insert(ROLLOUT.into(), "v=3 id=x".into());
        let error = Record::from_tags(&tags).expect_err("a later version");
        assert_eq!(
            error.to_string(),
            "tag rolling:rollout is of version 3, this program reads version 2"
        );
    }
}
