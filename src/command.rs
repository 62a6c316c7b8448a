//! What a word does to a rollout, in every state of it, and what whoever said it is told. Pure.
//!
//! The one table is [`effect`]: an engine at work obeys by it, a caller that finds nobody at work
//! carries out by it, and every front-end answers by it. [`Waiting`] is the caller's side: the word is
//! left beside the record, and judged anew with every look until it is heard, could change nothing any
//! more, or nobody is there to hear it.

use std::time::Duration;

use rolling_provider::{Revision, Tags, Timestamp};
use sha2::{Digest as _, Sha256};

use crate::control::{Control, Word};
use crate::event::Outcome;
use crate::lease::{Claim, Lease, Watch};
use crate::record::{Ending, Phase, Record};

/// An engine that lives looks at least this often: its longest poll and a call or two.
pub const HEARD_WITHIN: Duration = Duration::from_secs(90);

/// How far a rollout is, as far as a word is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// There is none.
    Absent,
    /// An engine holds the lease and has not written yet what it begins, or goes on with.
    Unrecorded,
    /// Under way, forward.
    Rolling,
    /// Under way, back.
    RollingBack,
    /// On its way to an early end.
    Halting(Ending),
    /// Ended early.
    Halted(Ending),
}

/// What a word is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// End early, like this.
    Halt(Ending),
    /// Go back to the last completed revision.
    TurnBack,
    /// Go on, the way it went.
    GoOn,
    /// Nothing yet: the engine at work was told to end and does so, and what is wanted is done then.
    Later,
    /// Nothing: that is what happens, or has happened.
    Already,
    /// Nothing: it cannot be done any more.
    TooLate,
    /// Nothing: there is no rollout.
    Absent,
}

/// Every state.
pub const STATES: [State; 12] = [
    State::Absent,
    State::Unrecorded,
    State::Rolling,
    State::RollingBack,
    State::Halting(Ending::Failed),
    State::Halting(Ending::Paused),
    State::Halting(Ending::Aborted),
    State::Halting(Ending::Interrupted),
    State::Halted(Ending::Failed),
    State::Halted(Ending::Paused),
    State::Halted(Ending::Aborted),
    State::Halted(Ending::Interrupted),
];

/// What `word` does to a rollout in `state`. The last word holds: what ends early may still end
/// otherwise, or go on or back, until a failure or an abort is its end.
pub fn effect(word: Word, state: State) -> Effect {
    use Ending::{Aborted, Failed, Interrupted, Paused};
    use State::{Absent, Halted, Halting, Rolling, RollingBack, Unrecorded};
    match (word, state) {
        (_, Absent) => Effect::Absent,

        // Nothing is there to go on with later.
        (Word::Pause | Word::Rollback, Unrecorded) => Effect::Halt(Aborted),
        (Word::Pause, Rolling | RollingBack | Halting(Interrupted)) => Effect::Halt(Paused),
        (Word::Pause, Halting(Paused) | Halted(Paused)) => Effect::Already,
        (Word::Pause, Halting(Failed | Aborted) | Halted(Failed | Aborted | Interrupted)) => {
            Effect::TooLate
        }

        (Word::Resume, Unrecorded | Rolling | RollingBack) => Effect::GoOn,
        (Word::Resume, Halting(Paused) | Halted(Paused | Interrupted)) => Effect::GoOn,
        (Word::Resume, Halting(Interrupted)) => Effect::Later,
        (Word::Resume, Halting(Failed | Aborted) | Halted(Failed | Aborted)) => Effect::TooLate,

        (Word::Abort, Unrecorded | Rolling | RollingBack) => Effect::Halt(Aborted),
        (Word::Abort, Halting(Paused | Interrupted) | Halted(Paused)) => Effect::Halt(Aborted),
        (Word::Abort, Halting(Aborted) | Halted(Aborted)) => Effect::Already,
        // What is borrowed is put back all the same.
        (Word::Abort, Halting(Failed) | Halted(Failed | Interrupted)) => Effect::TooLate,

        (Word::Rollback, RollingBack) => Effect::Already,
        (Word::Rollback, Halting(Interrupted)) => Effect::Later,
        (Word::Rollback, Rolling | Halting(Failed | Paused | Aborted) | Halted(_)) => {
            Effect::TurnBack
        }
    }
}

impl State {
    /// The state of what `record` tells; `held` says whether somebody lives who holds the lease.
    pub fn of(record: Option<&Record>, held: bool) -> State {
        match record.map(|record| (record.phase, record.turned_back)) {
            None if !held => State::Absent,
            None => State::Unrecorded,
            Some((Phase::Halted(_), _)) if held => State::Unrecorded,
            Some((Phase::Rolling, true)) => State::RollingBack,
            Some((Phase::Rolling, false)) => State::Rolling,
            Some((Phase::Halting(ending), _)) => State::Halting(ending),
            Some((Phase::Halted(ending), _)) => State::Halted(ending),
        }
    }

    /// Whether somebody has to do something still.
    fn is_under_way(self) -> bool {
        !matches!(self, State::Absent | State::Halted(_))
    }
}

impl Effect {
    /// Whether there is anything to do, now or later.
    pub fn changes(self) -> bool {
        !matches!(self, Effect::Already | Effect::TooLate | Effect::Absent)
    }
}

/// What an engine at work does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Work {
    /// Whether its record stands.
    pub recorded: bool,
    /// Whether it goes back.
    pub back: bool,
    /// How it ends, if it is putting things back.
    pub halt: Option<Ending>,
    /// Whether its process was told to end.
    pub told_to_end: bool,
}

impl Work {
    /// What `word` is to do here and now.
    pub fn effect(self, word: Word) -> Effect {
        let state = match self.halt {
            Some(ending) => State::Halting(ending),
            None if !self.recorded => State::Unrecorded,
            None if self.back => State::RollingBack,
            None => State::Rolling,
        };
        match effect(word, state) {
            // Not by a process that was told to end, whatever it ends as.
            Effect::GoOn | Effect::TurnBack if self.told_to_end => Effect::Later,
            effect => effect,
        }
    }
}

/// What an engine makes of a record that it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Found {
    /// A rollout of its own, or a word, comes next: this one has ended, or led elsewhere.
    Ended,
    /// It is gone on with, the way it went.
    GoesOn,
    /// It was ending like this, and that is finished unless a word says otherwise.
    Ending(Ending),
}

/// What an engine that wants `wanted` makes of `record`, with a word of its own, if any.
pub fn found(record: &Record, wanted: &Revision, word: Option<Word>) -> Found {
    let resumes = word == Some(Word::Resume);
    if record.to != *wanted {
        return Found::Ended;
    }
    match record.phase {
        Phase::Rolling => Found::GoesOn,
        Phase::Halting(Ending::Interrupted) | Phase::Halted(Ending::Interrupted) => Found::GoesOn,
        Phase::Halting(Ending::Paused) | Phase::Halted(Ending::Paused) if resumes => Found::GoesOn,
        Phase::Halting(ending) => Found::Ending(ending),
        Phase::Halted(_) => Found::Ended,
    }
}

/// Whether a rollout that was carried out for `word` has ended as was asked.
pub fn is_as_asked(word: Word, outcome: Outcome) -> bool {
    match word {
        Word::Pause => outcome == Outcome::Paused,
        Word::Resume => outcome == Outcome::Succeeded,
        Word::Abort => outcome == Outcome::Aborted,
        Word::Rollback => outcome == Outcome::RolledBack,
    }
}

/// Whether a rollout in `state` is what `word` asks for.
fn is_so(word: Word, state: State) -> bool {
    match (word, state) {
        (Word::Pause, State::Halting(ending) | State::Halted(ending)) => ending == Ending::Paused,
        (Word::Abort, State::Halting(ending) | State::Halted(ending)) => ending == Ending::Aborted,
        (Word::Pause | Word::Abort, _) => false,
        (Word::Resume, state) => matches!(state, State::Rolling | State::RollingBack),
        (Word::Rollback, state) => state == State::RollingBack,
    }
}

/// What somebody is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Answer {
    /// As a sentence.
    pub words: String,
    /// Whether that is what was asked for.
    pub as_asked: bool,
}

/// Why `word` could change nothing about the rollout of `record`, with nobody at work or with
/// somebody. `None` where there is something to do.
pub fn pointless(word: Word, record: Option<&Record>, held: bool) -> Option<Answer> {
    let state = State::of(record, held);
    let effect = effect(word, state);
    // What an engine that has ended was about to do is done by nobody.
    if effect.changes() || (!held && state.is_under_way()) {
        return None;
    }
    let Some(record) = record else {
        let words = format!("there is no rollout to {}", word.name());
        // To say it again, once it has come true, is no mistake.
        return Some(Answer { words, as_asked: true });
    };
    let (id, status) = (&record.id, record.status());
    let words = match effect {
        Effect::Already => format!("rollout {id} is {} already", status.replace('_', " ")),
        _ => {
            let next = match record.phase {
                Phase::Halted(Ending::Interrupted) => "apply goes on with it",
                Phase::Halting(_) => "what is borrowed is being put back, and apply begins anew",
                _ => "apply begins anew",
            };
            format!("rollout {id} is {status}, there is nothing to {}; {next}", word.name())
        }
    };
    Some(Answer { words, as_asked: effect == Effect::Already })
}

/// An id for a word, of one request only: also where a caller gives several the same name. Short,
/// since the record remembers several.
pub fn word_id(caller: &str, owner: &str, word: Word, now: Timestamp) -> String {
    let request = [caller, owner, word.name(), &now.0.to_string()].join(" ");
    let digest = Sha256::digest(request.as_bytes());
    digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// What a caller does next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Next {
    /// Write the word beside the record, and look again.
    Leave,
    /// Look again.
    Look,
    /// Nobody is at work: carry it out here.
    CarryOut,
    /// Whoever was about to begin gives no sign of life, and has recorded nothing: take its lease, so
    /// that it does nothing should it wake up, and take that off.
    TakeOff,
    /// Somebody is at work and does not react.
    Unheard(String),
    /// An engine has obeyed it.
    Heard(Answer),
    /// It could change nothing any more.
    Pointless(Answer),
    /// The rollout it was for is over: its record is gone, or is another's. The fleet tells how.
    Ended,
}

/// A caller that waits for its word to be heard.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Waiting {
    control: Control,
    /// The record as it was when the word was said.
    found: Option<Record>,
    /// Whether the word is about what an engine has begun that has not written it down yet.
    by_lease: bool,
    watch: Watch,
    /// Who held the lease when it was last seen.
    owner: Option<String>,
    /// Whether whoever held it was seen to live.
    living: bool,
    /// Since when somebody is there to hear it.
    since: Option<Timestamp>,
    /// The rollout that is to be gone on with here.
    judged: Option<String>,
}

impl Waiting {
    /// For `word`, with `id` of its own, said by `by` about what `look` shows.
    pub fn new(word: Word, id: String, by: String, look: &Tags) -> Self {
        let found = Record::from_tags(look).ok().flatten();
        let is_idle = found.as_ref().is_none_or(|record| matches!(record.phase, Phase::Halted(_)));
        let lease = Lease::from_tags(look).filter(|_| is_idle);
        let by_lease = lease.is_some();
        let rollout = lease.map(|lease| lease.rollout());
        let rollout = rollout.or_else(|| found.as_ref().map(|record| record.id.clone()));
        let control = Control { word, id, rollout: rollout.unwrap_or_default(), by };
        let (watch, owner, living, since, judged) = Default::default();
        Self { control, found, by_lease, watch, owner, living, since, judged }
    }

    /// The word.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// Whether the rollout that it is for was recorded when it was said, or has been since.
    pub fn has_begun(&self) -> bool {
        !self.by_lease
    }

    /// Who held the lease when it was last seen.
    pub fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// Whether nobody has reacted for as long as an engine that lives may take.
    pub fn is_out_of_patience(&self, now: Timestamp) -> bool {
        self.since.is_some_and(|since| now.since(since) > HEARD_WITHIN)
    }

    /// Judges one look.
    pub fn judge(
        &mut self,
        look: &Tags,
        me: &str,
        is_gone: impl Fn(&str) -> bool,
        now: Timestamp,
    ) -> Next {
        let lease = Lease::from_tags(look);
        self.owner = lease.as_ref().map(|lease| lease.owner.clone()).or(self.owner.take());
        let claim = self.watch.judge(lease.as_ref(), me, is_gone, now);
        let nobody = matches!(claim, Claim::Take(_));
        let moves = matches!(claim, Claim::Held(_));
        if moves {
            // From now on: it may end without a word.
            (self.watch, self.living) = (Watch::default(), true);
        }
        let record = Record::from_tags(look).ok().flatten();
        if let Some(record) =
            record.as_ref().filter(|record| record.heard.contains(&self.control.id))
        {
            return Next::Heard(self.heard(record));
        }
        let is_silent =
            nobody && lease.is_some() && self.by_lease && self.control.word != Word::Resume;
        if !self.is_about(record.as_ref(), lease.as_ref().filter(|_| !nobody)) {
            return if is_silent { Next::TakeOff } else { Next::Ended };
        }
        if let Some(answer) = pointless(self.control.word, record.as_ref(), !nobody) {
            return if is_silent { Next::TakeOff } else { Next::Pointless(answer) };
        }
        if let Some(next) = self.follow(record.as_ref(), lease.as_ref().filter(|_| !nobody)) {
            return next;
        }
        if nobody {
            self.judged = record.map(|record| record.id);
            return Next::CarryOut;
        }
        self.since.get_or_insert(now);
        // Whoever does not react any more may have ended a moment ago: it is told only of who lives.
        if self.is_out_of_patience(now)
            && let Some(owner) = self.owner.clone().filter(|_| moves)
        {
            return Next::Unheard(owner);
        }
        let pending = Control::pending(look);
        let is_mine = pending.as_ref() == Some(&self.control);
        // Somebody else's word goes first: one that is written over is never heard. One for what is over
        // is heard by nobody.
        let is_taken = pending.is_some_and(|pending| {
            let of_record = record.as_ref().is_some_and(|record| record.id == pending.rollout);
            let begun = |lease: &Lease| lease.has_begun(&pending.rollout, None);
            pending.id != self.control.id
                && (of_record || lease.as_ref().is_some_and(begun))
                && !pending.was_heard(record.as_ref())
        });
        if is_mine || is_taken { Next::Look } else { Next::Leave }
    }

    /// Whether what was to be carried out still is, now that the lease is taken: somebody else may
    /// have been faster, and be done.
    pub fn is_to_be_carried_out(&self, look: &Tags) -> bool {
        let record = Record::from_tags(look).ok().flatten();
        record.as_ref().is_some_and(|record| self.judged.as_ref() == Some(&record.id))
            && pointless(self.control.word, record.as_ref(), false).is_none()
    }

    /// Somebody else was faster to take the lease: from now on it is for him.
    pub fn lost_a_race(&mut self) {
        (self.watch, self.since) = Default::default();
        if let Some(judged) = self.judged.take() {
            (self.control.rollout, self.by_lease) = (judged, false);
        }
    }

    /// Whether what is there is what the word is for.
    fn is_about(&self, record: Option<&Record>, lease: Option<&Lease>) -> bool {
        let Some(record) = record.filter(|_| self.by_lease) else {
            let begun = |lease: &Lease| lease.has_begun(&self.control.rollout, None);
            return match record {
                Some(record) => record.id == self.control.rollout,
                None => self.by_lease && lease.is_some_and(begun),
            };
        };
        // With nobody there any more, what was there before is not what has come to nothing.
        lease.is_some() || !self.living || self.found.as_ref() != Some(record)
    }

    /// The word was for what one engine was about to begin, and another one is at work: it is for that
    /// one too where it goes on with the rollout that was found, and not where it begins another.
    fn follow(&mut self, record: Option<&Record>, lease: Option<&Lease>) -> Option<Next> {
        let lease = lease.filter(|_| self.by_lease)?;
        if lease.has_begun(&self.control.rollout, None) {
            return None;
        }
        let found = self.found.as_ref().map(|found| &found.id);
        match record.filter(|record| Some(&record.id) == found) {
            None => Some(Next::Ended),
            Some(record) if matches!(record.phase, Phase::Halted(_)) => Some(Next::Look),
            Some(record) => {
                (self.control.rollout, self.by_lease) = (record.id.clone(), false);
                None
            }
        }
    }

    fn heard(&self, record: &Record) -> Answer {
        let by = self.owner.as_deref().unwrap_or("the engine at work");
        let (id, status) = (&record.id, record.status().replace('_', " "));
        let words = format!("heard by {by}; rollout {id} is {status}");
        let state = State::of(Some(record), false);
        Answer { words, as_asked: is_so(self.control.word, state) }
    }
}

/// What is told of a rollout that ended before the word was seen to be heard: `begun` says whether
/// anything of it was recorded, `arrived` whether every instance runs what it led to.
pub fn ended(word: Word, owner: Option<&str>, begun: bool, arrived: bool) -> Answer {
    let by = owner.unwrap_or("the engine at work");
    let (how, as_asked) = match (word, arrived) {
        (Word::Resume, true) => ("every instance runs the new revision", true),
        (_, true) => ("before it could obey, every instance ran the new revision", false),
        (Word::Resume, false) if !begun => ("nothing was begun, and apply begins it", false),
        (_, false) if !begun => ("nothing was begun, and apply begins it", true),
        (Word::Abort, false) => ("nothing is borrowed any more", true),
        (Word::Rollback, false) => ("no instance is left on the new revision", true),
        (Word::Pause | Word::Resume, false) => ("there is nothing to go on with", false),
    };
    Answer { words: format!("{by} has ended the rollout meanwhile: {how}"), as_asked }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_ends_a_rollout_never_has_it_go_on_and_none_changes_what_is_not_there() {
        for state in STATES {
            for word in Word::ALL {
                let effect = effect(word, state);
                let what = format!("{word:?} {state:?}: {effect:?}");
                let goes = matches!(effect, Effect::GoOn | Effect::TurnBack);
                assert!(!goes || matches!(word, Word::Resume | Word::Rollback), "{what}");
                assert_eq!(effect == Effect::Absent, state == State::Absent, "{what}");
                if let Effect::Halt(ending) = effect {
                    // What it does, it has done: said once more it changes nothing.
                    let again = self::effect(word, State::Halting(ending));
                    assert!(!again.changes() || word == Word::Rollback, "{what}");
                }
            }
        }
    }

    #[test]
    fn what_an_engine_that_has_ended_was_about_to_do_is_not_pointless() {
        for phase in [Phase::Rolling, Phase::Halting(Ending::Failed)] {
            let record = Record { phase, ..Record::example() };
            for word in Word::ALL {
                assert_eq!(pointless(word, Some(&record), false), None, "{word:?} {phase:?}");
            }
        }
        let ended = Record { phase: Phase::Halted(Ending::Aborted), ..Record::example() };
        assert!(pointless(Word::Abort, Some(&ended), false).is_some_and(|told| told.as_asked));
        assert!(pointless(Word::Resume, Some(&ended), false).is_some_and(|told| !told.as_asked));
        // Somebody who holds the lease may be about to begin another one.
        assert_eq!(pointless(Word::Abort, Some(&ended), true), None);
    }
}
