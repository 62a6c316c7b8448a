//! The command: a request to a rollout that another process is at work on.
//!
//! It is a tag beside the record. Each command has an id, and the record names the latest commands
//! that were obeyed: reads lag, so an obeyed command may show again. A command names its rollout,
//! so that a leftover command never reaches the next rollout.

use rolling_provider::{Revision, Tags};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::fields::{Line, TagFields};
use crate::record::lease::Lease;
use crate::record::{CONTROL, Record};

/// What can be asked of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Stop at the next safe point and wait for a decision.
    Pause,
    /// Continue after a pause or a checkpoint.
    Resume,
    /// End the rollout: restore what is borrowed, leave the instances as they are.
    Abort,
    /// Roll back to the last completed revision.
    Rollback,
}

impl Command {
    /// Every command.
    pub const ALL: [Command; 4] =
        [Command::Pause, Command::Resume, Command::Abort, Command::Rollback];

    /// Returns the spelling in the tag and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Command::Pause => "pause",
            Command::Resume => "resume",
            Command::Abort => "abort",
            Command::Rollback => "rollback",
        }
    }
}

/// A command that another process has given.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Control {
    /// The command.
    pub command: Command,
    /// Distinguishes this command from earlier ones.
    pub id: String,
    /// The rollout that it is for.
    pub rollout: String,
    /// Who gave it: host and process.
    pub by: String,
    /// Where the rollout leads that comes in place of this one, if one does.
    pub supersedes_with: Option<Revision>,
}

impl Control {
    /// Returns the tag that holds this command.
    pub fn tags(&self) -> Tags {
        let line = Line::new()
            .with("command", self.command.name())
            .with("id", &self.id)
            .with("rollout", &self.rollout)
            .with("by", &self.by)
            .with_some("to", self.supersedes_with.as_ref());
        Tags::from([(CONTROL.into(), line.done())])
    }

    /// Returns the command in these tags. An unreadable command counts as none: it is only a
    /// request, and holds nothing that could be lost.
    pub fn from_tags(tags: &Tags) -> Option<Control> {
        let fields = TagFields::parse(CONTROL, tags.get(CONTROL)?).ok()?;
        let command = fields.text("command").ok()?;
        Some(Control {
            command: Command::ALL.into_iter().find(|known| known.name() == command)?,
            id: fields.text("id").ok()?.to_owned(),
            rollout: fields.text("rollout").ok()?.to_owned(),
            by: fields.optional("by").unwrap_or("somebody").to_owned(),
            supersedes_with: fields.optional("to").map(Revision::from),
        })
    }

    /// Whether `record` says that the command was obeyed.
    pub fn is_acknowledged(&self, record: Option<&Record>) -> bool {
        record.is_some_and(|record| record.acknowledged.contains(&self.id))
    }

    /// Returns the command in these tags that the engine which took `lease` has yet to obey. It is
    /// for the rollout of `record`, or for what that engine had begun before there was a record.
    pub fn pending(tags: &Tags, record: Option<&Record>, lease: Option<&Lease>) -> Option<Control> {
        let control = Control::from_tags(tags)?;
        let is_of_record = record.is_some_and(|record| control.rollout == record.id);
        let shown = Lease::from_tags(tags);
        let is_of_lease = lease.is_some_and(|first| {
            let shown = shown.filter(|shown| shown.owner == first.owner);
            shown.is_some_and(|shown| shown.has_begun(&control.rollout, Some(first)))
        });
        let is_news = (is_of_record || is_of_lease) && !control.is_acknowledged(record);
        is_news.then_some(control)
    }
}
