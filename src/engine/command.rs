//! What one process wants of a rollout that another is, or was, at work on.

use std::time::Duration;

use rolling_provider::{Action, ProviderError, Timestamp};
use tokio::sync::watch;

use super::{Caller, Rollout, Stop};
use crate::control::{Control, Word};
use crate::event::{Envelope, Report};
use crate::lease::{Claim, Lease, Watch};
use crate::plan;
use crate::record::{CONTROL, Ending, KEYS, Phase, Record};

/// How often is looked whether the word was heard.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// An engine that lives looks at least this often, its longest poll and a call or two.
const HEARD_WITHIN: Duration = Duration::from_secs(90);

/// What became of a word.
#[derive(Debug)]
pub enum Commanded {
    /// There is nothing it could change, as a sentence.
    Idle(String),
    /// The engine at work has obeyed: who, and the record as it then stood.
    Heard(String, Option<Box<Record>>),
    /// Nobody was at work, so it was carried out here.
    Ran(Box<Report>),
    /// An engine is at work and did not react.
    Unheard(String),
    /// The word is left for whoever holds the lease, and somebody wanted to wait no longer.
    Left(String),
}

impl Rollout {
    /// Takes off the target what an ended rollout left there to be read. Touches nothing else.
    ///
    /// # Errors
    /// What the cloud said, or that the rollout has not ended.
    pub async fn forget(&self) -> Result<(), ProviderError> {
        if let Some(record) = record_of(self).filter(|record| !record.is_over()) {
            let words =
                format!("rollout {} is {}, and holds what is borrowed", record.id, record.status());
            return Err(ProviderError::invalid("remove the rollout record", "", words));
        }
        if !KEYS.iter().any(|key| self.look.record.contains_key(*key)) {
            return Ok(());
        }
        for step in plan::erase(&self.input(self.look.at)) {
            self.fleet.act(&step.action).await?;
        }
        Ok(())
    }

    /// Why `word` could change nothing about what is on the target, as a sentence, if so.
    pub fn idle(&self, word: Word) -> Option<String> {
        if self.refreshes() {
            return self.idle_refresh(word);
        }
        match record_of(self) {
            None => Some(no_rollout(word)),
            Some(record) => {
                // What an engine that has ended was about to do is done by nobody.
                let is_left = !matches!(record.phase, Phase::Halted(_)) && self.lease().is_none();
                pointless(word, record).filter(|_| !is_left)
            }
        }
    }

    /// Has the engine at work obey `word`; where none is, carries it out.
    ///
    /// # Errors
    /// What the cloud said while the word was left for another engine; what keeps the rollout from
    /// being gone on with here.
    pub async fn command(
        mut self,
        word: Word,
        mut stop: watch::Receiver<Stop>,
        emit: &mut (dyn FnMut(Envelope) + Send),
    ) -> Result<Commanded, ProviderError> {
        if self.refreshes() {
            return self.command_refresh(word, stop, emit).await;
        }
        if let Some(words) = self.idle(word) {
            return Ok(Commanded::Idle(words));
        }
        let rollout = record_of(&self).map(|record| record.id.clone()).unwrap_or_default();
        let control = Control {
            word,
            id: word_id(&self.caller, word, self.clock.now()),
            rollout,
            by: self.caller.owner.clone(),
        };
        if let Some(commanded) = self.leave(&control, &mut stop).await? {
            return Ok(commanded);
        }
        // What is wanted is about the rollout that is there, whatever the document says by now.
        self.wanted = record_of(&self).map_or(self.wanted.clone(), |record| record.to.clone());
        let id = control.id.clone();
        self.word = Some(control);
        let look = self.look.clone();
        self.take_up(look).map_err(|why| ProviderError::invalid("read the record", "", why))?;
        let allowed = match word {
            Word::Resume | Word::Rollback => self.may_begin().await,
            Word::Pause | Word::Abort => self.refuse_other_ways(),
        };
        if let Err(error) = allowed {
            // What was left for a dead engine is not to be heard by the next one.
            let tags = &self.look.record;
            let left = record_of(&self).and_then(|record| Control::unheard(tags, record));
            if left.is_some_and(|left| left.id == id) {
                let keys = [CONTROL.to_owned()].into();
                self.fleet.act(&Action::EraseRecord { keys }).await?;
            }
            return Err(error);
        }
        Ok(Commanded::Ran(Box::new(self.run(stop, emit).await)))
    }

    /// Leaves the word on the target while somebody holds the lease, and waits until it was heard.
    /// `None` when nobody lives to hear it.
    async fn leave(
        &mut self,
        control: &Control,
        stop: &mut watch::Receiver<Stop>,
    ) -> Result<Option<Commanded>, ProviderError> {
        let mut watched = Watch::default();
        let mut living = None;
        let mut left = false;
        let begin = self.clock.now();
        loop {
            let found = Lease::from_tags(&self.look.record);
            let now = self.clock.now();
            let (me, is_gone) = (&self.caller.owner, self.caller.is_gone);
            match watched.judge(found.as_ref(), me, is_gone, now) {
                Claim::Take(_) if living.is_none() => return Ok(None),
                Claim::Take(_) | Claim::Watch(_) => {}
                Claim::Held(owner) => living = Some(owner),
            }
            if !left {
                match self.fleet.act(&Action::WriteRecord { tags: control.tags() }).await {
                    Ok(_) => left = true,
                    // The engine at work wrote in the same moment, say. After a look, once more.
                    Err(error) if error.is_retryable() && now.since(begin) <= HEARD_WITHIN => {
                        tracing::debug!(%error, "trying again");
                    }
                    Err(error) => return Err(error),
                }
            }
            self.pause(LOOK_EVERY, stop).await;
            self.look = self.fleet.observe().await?;
            let record = Record::from_tags(&self.look.record).ok().flatten();
            let heard = record.as_ref().is_none_or(|record| {
                record.heard.contains(&control.id) || record.id != control.rollout
            });
            if heard {
                let owner = living.or(found.map(|lease| lease.owner)).unwrap_or_default();
                return Ok(Some(Commanded::Heard(owner, record.map(Box::new))));
            }
            if *stop.borrow() != Stop::No {
                let owner = living.or(found.map(|lease| lease.owner)).unwrap_or_default();
                return Ok(Some(Commanded::Left(owner)));
            }
            if let Some(owner) = living.as_ref().filter(|_| now.since(begin) > HEARD_WITHIN) {
                return Ok(Some(Commanded::Unheard(owner.clone())));
            }
        }
    }
}

/// Of one request only, also where a caller gives several the same id. Short, since the record
/// remembers several.
fn word_id(caller: &Caller, word: Word, now: Timestamp) -> String {
    use sha2::{Digest as _, Sha256};
    let request = [&caller.rollout_id, &caller.owner, word.name(), &now.0.to_string()].join(" ");
    let digest = Sha256::digest(request.as_bytes());
    digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

fn record_of(rollout: &Rollout) -> Option<&Record> {
    rollout.progress.record.as_ref()
}

pub(super) fn no_rollout(word: Word) -> String {
    format!("there is no rollout to {}", word.name())
}

/// Why `word` could change nothing about the rollout of `record`, if so.
fn pointless(word: Word, record: &Record) -> Option<String> {
    let is = record.status();
    let id = &record.id;
    let ended = matches!(record.phase, Phase::Halted(_));
    match word {
        Word::Pause if ended => Some(format!("rollout {id} is {is} already")),
        Word::Abort if ended && record.phase != Phase::Halted(Ending::Paused) => {
            Some(format!("rollout {id} is {is} already"))
        }
        Word::Resume if ended && record.phase != Phase::Halted(Ending::Paused) => {
            Some(format!("rollout {id} is {is}, not paused; apply begins anew"))
        }
        Word::Rollback if record.turned_back && !ended => {
            Some(format!("rollout {id} is rolling back already"))
        }
        _ => None,
    }
}
