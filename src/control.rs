//! The control word: what somebody wants of a rollout that another process is at work on.
//!
//! It is a tag beside the record. Each word has an id, and the record names the last one that was
//! obeyed: reads lag, and a word that was obeyed may be seen again. A word names its rollout, so
//! that one left over never reaches the next.

use rolling_provider::Tags;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::fields::{Fields, Line};
use crate::record::{CONTROL, Record};

/// What can be asked of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
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

    /// The word in these tags that `record` has yet to obey. One that cannot be read is none: it
    /// is a wish, and holds nothing that could be lost.
    pub fn unheard(tags: &Tags, record: &Record) -> Option<Control> {
        let fields = Fields::parse(CONTROL, tags.get(CONTROL)?).ok()?;
        let word = fields.text("word").ok()?;
        let control = Control {
            word: Word::ALL.into_iter().find(|known| known.name() == word)?,
            id: fields.text("id").ok()?.to_owned(),
            rollout: fields.text("rollout").ok()?.to_owned(),
            by: fields.optional("by").unwrap_or("somebody").to_owned(),
        };
        let is_news = control.rollout == record.id && !record.heard.contains(&control.id);
        is_news.then_some(control)
    }
}
