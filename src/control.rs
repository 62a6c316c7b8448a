//! The control word: what somebody wants of a rollout that another process is at work on.
//!
//! It is a tag beside the record. Each word has an id, and the record names the last one that was
//! obeyed: reads lag, and a word that was obeyed may be seen again. A word names its rollout, so
//! that one left over never reaches the next.

use rolling_provider::Tags;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lease::Lease;
use crate::record::fields::{Fields, Line};
use crate::record::{CONTROL, Record};

/// What can be asked of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// Stop at the next safe point and wait for a decision.
    Pause,
    /// Go on from a pause or a checkpoint.
    Resume,
    /// Give up: put back what is borrowed, leave the instances as they are.
    Abort,
    /// Go back to the last completed revision.
    Rollback,
}

impl Word {
    /// Every word.
    pub const ALL: [Word; 4] = [Word::Pause, Word::Resume, Word::Abort, Word::Rollback];

    /// The spelling in the tag and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Word::Pause => "pause",
            Word::Resume => "resume",
            Word::Abort => "abort",
            Word::Rollback => "rollback",
        }
    }
}

/// A word that somebody left.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Control {
    /// What is wanted.
    pub word: Word,
    /// Tells this word from an earlier one.
    pub id: String,
    /// The rollout it is for.
    pub rollout: String,
    /// Who wants it: host and process.
    pub by: String,
}

impl Control {
    /// The tag that holds this word.
    pub fn tags(&self) -> Tags {
        let line = Line::new()
            .with("word", self.word.name())
            .with("id", &self.id)
            .with("rollout", &self.rollout)
            .with("by", &self.by);
        Tags::from([(CONTROL.into(), line.done())])
    }

    /// The word in these tags. One that cannot be read is none: it is a wish, and holds nothing that
    /// could be lost.
    pub fn pending(tags: &Tags) -> Option<Control> {
        let fields = Fields::parse(CONTROL, tags.get(CONTROL)?).ok()?;
        let word = fields.text("word").ok()?;
        Some(Control {
            word: Word::ALL.into_iter().find(|known| known.name() == word)?,
            id: fields.text("id").ok()?.to_owned(),
            rollout: fields.text("rollout").ok()?.to_owned(),
            by: fields.optional("by").unwrap_or("somebody").to_owned(),
        })
    }

    /// Whether `record` says that it was obeyed.
    pub fn was_heard(&self, record: Option<&Record>) -> bool {
        record.is_some_and(|record| record.heard.contains(&self.id))
    }

    /// The word in these tags that the engine which took `lease` has yet to obey: about the rollout of
    /// its `record`, or about what it had begun before there was one.
    pub fn unheard(tags: &Tags, record: Option<&Record>, lease: Option<&Lease>) -> Option<Control> {
        let control = Control::pending(tags)?;
        let is_of_record = record.is_some_and(|record| control.rollout == record.id);
        let shown = Lease::from_tags(tags);
        let is_of_lease = lease.is_some_and(|first| {
            let shown = shown.filter(|shown| shown.owner == first.owner);
            shown.is_some_and(|shown| shown.has_begun(&control.rollout, Some(first)))
        });
        let is_news = (is_of_record || is_of_lease) && !control.was_heard(record);
        is_news.then_some(control)
    }
}
