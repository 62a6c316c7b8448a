//! What a command does to a rollout, in every state of it, and what whoever said it is told. Pure.
//!
//! The one table is [`effect`]: an engine at work obeys by it, a caller that finds nobody at work
//! carries out by it, and every front-end answers by it. [`Waiting`] is the caller's side: the command is
//! left beside the record, and judged anew with every look until it is heard, could change nothing any
//! more, or nobody is there to hear it.

use std::time::Duration;

use rolling_provider::{Revision, Tags, Timestamp};
use sha2::{Digest as _, Sha256};

use crate::model::event::Outcome;
use crate::record::command::{Command, Control};
use crate::record::lease::{Claim, Lease, Watch};
use crate::record::{Ending, Phase, Record};

/// An engine that lives looks at least this often: its longest poll and a call or two.
pub const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(90);

/// How far a rollout is, as far as a command is concerned.
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

/// What a command is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// End early, like this.
    Halt(Ending),
    /// Go back to the last completed revision.
    RollBack,
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

/// What `command` does to a rollout in `state`. The last command holds: what ends early may still end
/// otherwise, or go on or back, until a failure or an abort is its end.
pub fn effect(command: Command, state: State) -> Effect {
    use Ending::{Aborted, Failed, Interrupted, Paused};
    use State::{Absent, Halted, Halting, Rolling, RollingBack, Unrecorded};
    match (command, state) {
        (_, Absent) => Effect::Absent,

        // Nothing is there to go on with later.
        (Command::Pause | Command::Rollback, Unrecorded) => Effect::Halt(Aborted),
        (Command::Pause, Rolling | RollingBack | Halting(Interrupted)) => Effect::Halt(Paused),
        (Command::Pause, Halting(Paused) | Halted(Paused)) => Effect::Already,
        (Command::Pause, Halting(Failed | Aborted) | Halted(Failed | Aborted | Interrupted)) => {
            Effect::TooLate
        }

        (Command::Resume, Unrecorded | Rolling | RollingBack) => Effect::GoOn,
        (Command::Resume, Halting(Paused) | Halted(Paused | Interrupted)) => Effect::GoOn,
        (Command::Resume, Halting(Interrupted)) => Effect::Later,
        (Command::Resume, Halting(Failed | Aborted) | Halted(Failed | Aborted)) => Effect::TooLate,

        (Command::Abort, Unrecorded | Rolling | RollingBack) => Effect::Halt(Aborted),
        (Command::Abort, Halting(Paused | Interrupted) | Halted(Paused)) => Effect::Halt(Aborted),
        (Command::Abort, Halting(Aborted) | Halted(Aborted)) => Effect::Already,
        // What is borrowed is put back all the same.
        (Command::Abort, Halting(Failed) | Halted(Failed | Interrupted)) => Effect::TooLate,

        (Command::Rollback, RollingBack) => Effect::Already,
        (Command::Rollback, Halting(Interrupted)) => Effect::Later,
        (Command::Rollback, Rolling | Halting(Failed | Paused | Aborted) | Halted(_)) => {
            Effect::RollBack
        }
    }
}

impl State {
    /// The state of what `record` tells; `held` says whether somebody lives who holds the lease.
    pub fn of(record: Option<&Record>, is_leased: bool) -> State {
        match record.map(|record| (record.phase, record.rolls_back)) {
            None if !is_leased => State::Absent,
            None => State::Unrecorded,
            Some((Phase::Halted(_), _)) if is_leased => State::Unrecorded,
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
    /// What `command` is to do here and now.
    pub fn effect(self, command: Command) -> Effect {
        let state = match self.halt {
            Some(ending) => State::Halting(ending),
            None if !self.recorded => State::Unrecorded,
            None if self.back => State::RollingBack,
            None => State::Rolling,
        };
        match effect(command, state) {
            // Not by a process that was told to end, whatever it ends as.
            Effect::GoOn | Effect::RollBack if self.told_to_end => Effect::Later,
            effect => effect,
        }
    }
}

/// What an engine makes of a record that it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Found {
    /// A rollout of its own, or a command, comes next: this one has ended, or led elsewhere.
    Ended,
    /// It is gone on with, the way it went.
    GoesOn,
    /// It was ending like this, and that is finished unless a command says otherwise.
    Ending(Ending),
}

/// What an engine that wants `wanted` makes of `record`, with a command of its own, if any.
pub fn found(record: &Record, wanted: &Revision, command: Option<Command>) -> Found {
    let resumes = command == Some(Command::Resume);
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

/// Whether a rollout that was carried out for `command` has ended as was asked.
pub fn is_as_asked(command: Command, outcome: Outcome) -> bool {
    match command {
        Command::Pause => outcome == Outcome::Paused,
        Command::Resume => outcome == Outcome::Succeeded,
        Command::Abort => outcome == Outcome::Aborted,
        Command::Rollback => outcome == Outcome::RolledBack,
    }
}

/// Whether a rollout in `state` is what `command` asks for.
fn is_so(command: Command, state: State) -> bool {
    match (command, state) {
        (Command::Pause, State::Halting(ending) | State::Halted(ending)) => {
            ending == Ending::Paused
        }
        (Command::Abort, State::Halting(ending) | State::Halted(ending)) => {
            ending == Ending::Aborted
        }
        (Command::Pause | Command::Abort, _) => false,
        (Command::Resume, state) => matches!(state, State::Rolling | State::RollingBack),
        (Command::Rollback, state) => state == State::RollingBack,
    }
}

/// What somebody is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Answer {
    /// As a sentence.
    pub message: String,
    /// Whether that is what was asked for.
    pub as_asked: bool,
}

/// Why `command` could change nothing about the rollout of `record`, with nobody at work or with
/// somebody. `None` where there is something to do.
pub fn no_op(command: Command, record: Option<&Record>, is_leased: bool) -> Option<Answer> {
    let state = State::of(record, is_leased);
    let effect = effect(command, state);
    // What an engine that has ended was about to do is done by nobody.
    if effect.changes() || (!is_leased && state.is_under_way()) {
        return None;
    }
    let Some(record) = record else {
        let message = format!("there is no rollout to {}", command.name());
        // To say it again, once it has come true, is no mistake.
        return Some(Answer { message, as_asked: true });
    };
    let (id, status) = (&record.id, record.status());
    let message = match effect {
        Effect::Already => format!("rollout {id} is {} already", status.replace('_', " ")),
        _ => {
            let next = match record.phase {
                Phase::Halted(Ending::Interrupted) => "apply goes on with it",
                Phase::Halting(_) => "what is borrowed is being put back, and apply begins anew",
                _ => "apply begins anew",
            };
            format!("rollout {id} is {status}, there is nothing to {}; {next}", command.name())
        }
    };
    Some(Answer { message, as_asked: effect == Effect::Already })
}

/// An id for a command, of one request only: also where a caller gives several the same name. Short,
/// since the record remembers several.
pub fn word_id(caller: &str, owner: &str, command: Command, now: Timestamp) -> String {
    let request = [caller, owner, command.name(), &now.0.to_string()].join(" ");
    let digest = Sha256::digest(request.as_bytes());
    digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// What a caller does next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Next {
    /// Write the command beside the record, and look again.
    Send,
    /// Look again.
    Look,
    /// Nobody is at work: carry it out here.
    CarryOut,
    /// Whoever was about to begin gives no sign of life, and has recorded nothing: take its lease, so
    /// that it does nothing should it wake up, and take that off.
    RemoveLease,
    /// Somebody is at work and does not react.
    TimedOut(String),
    /// An engine has obeyed it.
    Acknowledged(Answer),
    /// It could change nothing any more.
    NoOp(Answer),
    /// The rollout it was for is over: its record is gone, or is another's. The fleet tells how.
    Ended,
}

/// A caller that waits for its command to be heard.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Waiting {
    control: Control,
    /// The record as it was when the command was said.
    found: Option<Record>,
    /// Whether the command is about what an engine has begun that has not written it down yet.
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
    /// For `command`, with `id` of its own, said by `by` about what `look` shows.
    pub fn new(command: Command, id: String, by: String, look: &Tags) -> Self {
        let found = Record::from_tags(look).ok().flatten();
        let is_idle = found.as_ref().is_none_or(|record| matches!(record.phase, Phase::Halted(_)));
        let lease = Lease::from_tags(look).filter(|_| is_idle);
        let by_lease = lease.is_some();
        let rollout = lease.map(|lease| lease.rollout());
        let rollout = rollout.or_else(|| found.as_ref().map(|record| record.id.clone()));
        let control = Control { command, id, rollout: rollout.unwrap_or_default(), by };
        let (watch, owner, living, since, judged) = Default::default();
        Self { control, found, by_lease, watch, owner, living, since, judged }
    }

    /// The command.
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
        self.since.is_some_and(|since| now.since(since) > ACKNOWLEDGED_WITHIN)
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
            // From now on: it may end before it acknowledges.
            (self.watch, self.living) = (Watch::default(), true);
        }
        let record = Record::from_tags(look).ok().flatten();
        if let Some(record) =
            record.as_ref().filter(|record| record.acknowledged.contains(&self.control.id))
        {
            return Next::Acknowledged(self.acknowledged(record));
        }
        let is_silent =
            nobody && lease.is_some() && self.by_lease && self.control.command != Command::Resume;
        if !self.is_about(record.as_ref(), lease.as_ref().filter(|_| !nobody)) {
            return if is_silent { Next::RemoveLease } else { Next::Ended };
        }
        if let Some(answer) = no_op(self.control.command, record.as_ref(), !nobody) {
            return if is_silent { Next::RemoveLease } else { Next::NoOp(answer) };
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
            return Next::TimedOut(owner);
        }
        let pending = Control::from_tags(look);
        let is_mine = pending.as_ref() == Some(&self.control);
        // Somebody else's command goes first: one that is written over is never heard. One for what is over
        // is heard by nobody.
        let is_taken = pending.is_some_and(|pending| {
            let of_record = record.as_ref().is_some_and(|record| record.id == pending.rollout);
            let begun = |lease: &Lease| lease.has_begun(&pending.rollout, None);
            pending.id != self.control.id
                && (of_record || lease.as_ref().is_some_and(begun))
                && !pending.is_acknowledged(record.as_ref())
        });
        if is_mine || is_taken { Next::Look } else { Next::Send }
    }

    /// Whether what was to be carried out still is, now that the lease is taken: somebody else may
    /// have been faster, and be done.
    pub fn is_to_be_carried_out(&self, look: &Tags) -> bool {
        let record = Record::from_tags(look).ok().flatten();
        record.as_ref().is_some_and(|record| self.judged.as_ref() == Some(&record.id))
            && no_op(self.control.command, record.as_ref(), false).is_none()
    }

    /// Somebody else was faster to take the lease: from now on it is for him.
    pub fn lost_a_race(&mut self) {
        (self.watch, self.since) = Default::default();
        if let Some(judged) = self.judged.take() {
            (self.control.rollout, self.by_lease) = (judged, false);
        }
    }

    /// Whether what is there is what the command is for.
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

    /// The command was for what one engine was about to begin, and another one is at work: it is for that
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

    fn acknowledged(&self, record: &Record) -> Answer {
        let by = self.owner.as_deref().unwrap_or("the engine at work");
        let (id, status) = (&record.id, record.status().replace('_', " "));
        let message = format!("acknowledged by {by}; rollout {id} is {status}");
        let state = State::of(Some(record), false);
        Answer { message, as_asked: is_so(self.control.command, state) }
    }
}

/// What is told of a rollout that ended before the command was seen to be heard: `begun` says whether
/// anything of it was recorded, `arrived` whether every instance runs what it led to.
pub fn ended(command: Command, owner: Option<&str>, begun: bool, arrived: bool) -> Answer {
    let by = owner.unwrap_or("the engine at work");
    let (how, as_asked) = match (command, arrived) {
        (Command::Resume, true) => ("every instance runs the new revision", true),
        (_, true) => ("before it could obey, every instance ran the new revision", false),
        (Command::Resume, false) if !begun => ("nothing was begun, and apply begins it", false),
        (_, false) if !begun => ("nothing was begun, and apply begins it", true),
        (Command::Abort, false) => ("nothing is borrowed any more", true),
        (Command::Rollback, false) => ("no instance is left on the new revision", true),
        (Command::Pause | Command::Resume, false) => ("there is nothing to go on with", false),
    };
    Answer { message: format!("{by} has ended the rollout meanwhile: {how}"), as_asked }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_ends_a_rollout_never_has_it_go_on_and_none_changes_what_is_not_there() {
        for state in STATES {
            for command in Command::ALL {
                let effect = effect(command, state);
                let what = format!("{command:?} {state:?}: {effect:?}");
                let goes = matches!(effect, Effect::GoOn | Effect::RollBack);
                assert!(!goes || matches!(command, Command::Resume | Command::Rollback), "{what}");
                assert_eq!(effect == Effect::Absent, state == State::Absent, "{what}");
                if let Effect::Halt(ending) = effect {
                    // What it does, it has done: said once more it changes nothing.
                    let again = self::effect(command, State::Halting(ending));
                    assert!(!again.changes() || command == Command::Rollback, "{what}");
                }
            }
        }
    }

    #[test]
    fn what_an_engine_that_has_ended_was_about_to_do_is_not_pointless() {
        for phase in [Phase::Rolling, Phase::Halting(Ending::Failed)] {
            let record = Record { phase, ..Record::example() };
            for command in Command::ALL {
                assert_eq!(no_op(command, Some(&record), false), None, "{command:?} {phase:?}");
            }
        }
        let ended = Record { phase: Phase::Halted(Ending::Aborted), ..Record::example() };
        assert!(no_op(Command::Abort, Some(&ended), false).is_some_and(|told| told.as_asked));
        assert!(no_op(Command::Resume, Some(&ended), false).is_some_and(|told| !told.as_asked));
        // Somebody who holds the lease may be about to begin another one.
        assert_eq!(no_op(Command::Abort, Some(&ended), true), None);
    }
}
