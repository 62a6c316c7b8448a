//! The rollout record: what the cloud remembers of a rollout while it runs, as tags on the target.
//!
//! A value is `key=value` pairs separated by spaces, in the alphabet that ELBv2 tags allow and at
//! most 255 characters. `$` (of `$Latest`) is outside that alphabet and is written `@`. The format
//! is versioned: `v=1`. Unknown keys are ignored, so that a later minor version may add some.

use std::collections::{BTreeMap, BTreeSet};

use rolling_provider::{Revision, Tags, Timestamp};

/// Tag with the rollout itself.
pub const ROLLOUT: &str = "rolling:rollout";
/// Tag with what is borrowed.
pub const BORROWED: &str = "rolling:borrowed";
/// Tag with the last completed revision.
pub const COMPLETED: &str = "rolling:completed";

/// What the cloud remembers of a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Names this rollout.
    pub id: String,
    /// Highest generation seen on this target, plus one for each accepted rollout.
    pub generation: u64,
    /// How far it is.
    pub phase: Phase,
    /// The fleet's template as it was found, aliases resolved where they could be.
    pub from: Option<Revision>,
    /// The revision that is rolled out.
    pub to: Revision,
    /// Size of the fleet when the rollout began, without surge.
    pub size: u32,
    /// How many of the live instances are surge: written before they are asked for.
    pub surge: u32,
    /// When it began.
    pub started: Timestamp,
    /// What is borrowed, with the original.
    pub borrowed: Borrowed,
    /// The last revision that the whole fleet was known to run.
    pub completed: Option<Revision>,
}

/// How far a rollout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Under way.
    Rolling,
    /// Putting back what was borrowed after a failure or a stop.
    Halting,
    /// Ended without success; everything that could be put back is.
    Halted,
}

/// What a rollout has changed and must put back, beside what it wrote itself, so that a value
/// somebody else set meanwhile is left alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Borrowed {
    /// The maximum size: (as it was found, as we wrote it).
    pub max: Option<(u32, u32)>,
    /// Processes that run normally and that we suspended.
    pub suspended: BTreeSet<String>,
}

impl Record {
    /// The tags that hold this record.
    pub fn tags(&self) -> Tags {
        let mut rollout = format!(
            "v=1 id={} gen={} phase={} to={} n={} surge={} started={}",
            self.id,
            self.generation,
            self.phase.name(),
            encode(self.to.as_str()),
            self.size,
            self.surge,
            self.started.0,
        );
        if let Some(from) = &self.from {
            append(&mut rollout, "from", &encode(from.as_str()));
        }
        let mut borrowed = String::from("v=1");
        if let Some((found, ours)) = self.borrowed.max {
            append(&mut borrowed, "max", &format!("{found}/{ours}"));
        }
        if !self.borrowed.suspended.is_empty() {
            let names: Vec<&str> = self.borrowed.suspended.iter().map(String::as_str).collect();
            append(&mut borrowed, "suspended", &names.join("+"));
        }
        let mut tags = Tags::from([(ROLLOUT.into(), rollout), (BORROWED.into(), borrowed)]);
        if let Some(completed) = &self.completed {
            tags.insert(COMPLETED.into(), encode(completed.as_str()));
        }
        tags
    }

    /// The record that these tags hold; `None` when there is none.
    ///
    /// # Errors
    /// A sentence naming the tag that cannot be read: a damaged record is never taken for none,
    /// since it may be all that remembers what is borrowed.
    pub fn from_tags(tags: &Tags) -> Result<Option<Record>, String> {
        let Some(rollout) = tags.get(ROLLOUT) else { return Ok(None) };
        let fields = Fields::parse(ROLLOUT, rollout)?;
        let borrowed = match tags.get(BORROWED) {
            Some(value) => Borrowed::parse(&Fields::parse(BORROWED, value)?)?,
            None => return Err(format!("tag {BORROWED} is missing beside {ROLLOUT}")),
        };
        Ok(Some(Record {
            id: fields.text("id")?.to_owned(),
            generation: fields.number("gen")?,
            phase: Phase::parse(&fields)?,
            from: fields.optional("from").map(|from| Revision::new(decode(from))),
            to: Revision::new(decode(fields.text("to")?)),
            size: fields.number("n")?,
            surge: fields.number("surge")?,
            started: Timestamp(fields.number("started")?),
            borrowed,
            completed: tags.get(COMPLETED).map(|value| Revision::new(decode(value))),
        }))
    }
}

impl Phase {
    /// The spelling in the record.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Rolling => "rolling",
            Phase::Halting => "halting",
            Phase::Halted => "halted",
        }
    }

    fn parse(fields: &Fields<'_>) -> Result<Phase, String> {
        let phases = [Phase::Rolling, Phase::Halting, Phase::Halted];
        let name = fields.text("phase")?;
        let phase = phases.into_iter().find(|phase| phase.name() == name);
        phase.ok_or_else(|| fields.unreadable("phase", name))
    }
}

impl Borrowed {
    fn parse(fields: &Fields<'_>) -> Result<Borrowed, String> {
        let max = match fields.optional("max") {
            None => None,
            Some(value) => {
                let pair = value.split_once('/').and_then(|(found, ours)| {
                    Some((found.parse::<u32>().ok()?, ours.parse::<u32>().ok()?))
                });
                Some(pair.ok_or_else(|| fields.unreadable("max", value))?)
            }
        };
        let suspended = fields.optional("suspended").into_iter().flat_map(|names| names.split('+'));
        Ok(Borrowed { max, suspended: suspended.map(str::to_owned).collect() })
    }
}

/// The `key=value` pairs of one tag.
struct Fields<'a> {
    tag: &'static str,
    pairs: BTreeMap<&'a str, &'a str>,
}

impl<'a> Fields<'a> {
    fn parse(tag: &'static str, value: &'a str) -> Result<Self, String> {
        let pairs = value.split(' ').filter_map(|pair| pair.split_once('=')).collect();
        let fields = Fields { tag, pairs };
        match fields.text("v")? {
            "1" => Ok(fields),
            other => Err(format!("tag {tag} is of version {other}, this program reads version 1")),
        }
    }

    fn optional(&self, key: &str) -> Option<&'a str> {
        self.pairs.get(key).copied()
    }

    fn text(&self, key: &str) -> Result<&'a str, String> {
        self.optional(key).ok_or_else(|| format!("tag {} has no {key}=", self.tag))
    }

    fn number<T: std::str::FromStr>(&self, key: &str) -> Result<T, String> {
        let value = self.text(key)?;
        value.parse().map_err(|_| self.unreadable(key, value))
    }

    fn unreadable(&self, key: &str, value: &str) -> String {
        format!("tag {} has an unreadable {key}={value}", self.tag)
    }
}

fn append(line: &mut String, key: &str, value: &str) {
    line.push_str(&format!(" {key}={value}"));
}

fn encode(revision: &str) -> String {
    revision.replace('$', "@")
}

fn decode(revision: &str) -> String {
    revision.replace('@', "$")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            id: "18c2".into(),
            generation: 3,
            phase: Phase::Halting,
            from: Some("lt-0123456789abcdef0:$Latest".into()),
            to: "lt-0123456789abcdef0:1234".into(),
            size: 100_000,
            surge: 10_000,
            started: Timestamp(1_800_000_000_000),
            borrowed: Borrowed {
                max: Some((100_000, 110_000)),
                suspended: ["AZRebalance", "AlarmNotification", "ScheduledActions"]
                    .map(String::from)
                    .into(),
            },
            completed: Some("lt-0123456789abcdef0:1233".into()),
        }
    }

    #[test]
    fn a_record_survives_the_way_through_tags() {
        assert_eq!(Record::from_tags(&record().tags()), Ok(Some(record())));
    }

    #[test]
    fn tags_keep_to_the_alphabet_and_length_that_elbv2_allows() {
        for (key, value) in record().tags() {
            assert!(value.len() <= 255, "{key}: {value}");
            let allowed = |c: char| c.is_ascii_alphanumeric() || " _.:/=+-@".contains(c);
            assert!(value.chars().all(allowed), "{key}: {value}");
        }
    }

    #[test]
    fn no_tags_are_no_record_and_a_damaged_record_is_an_error() {
        assert_eq!(Record::from_tags(&Tags::new()), Ok(None));
        let mut tags = record().tags();
        tags.remove(BORROWED);
        assert!(Record::from_tags(&tags).unwrap_err().contains(BORROWED));
        let mut tags = record().tags();
        tags.insert(ROLLOUT.into(), "v=2".into());
        assert!(Record::from_tags(&tags).unwrap_err().contains("version 2"));
    }
}
