//! Why a gate does not pass, or a hook does not succeed.

use std::fmt;
use std::time::Duration;

use rolling_provider::{Alarm, ProviderError};

/// Why a gate does not pass, or a hook does not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GateFailure {
    /// The cloud does not say how the alarms are.
    AlarmsUnreadable(ProviderError),
    /// These alarms are raised.
    AlarmsRaised(Vec<Alarm>),
    /// The address has not answered as expected within its timeout.
    Address {
        /// What was wrong at the last try that had the whole time to answer.
        failure: AddressFailure,
        /// How long it was tried.
        timeout: Duration,
    },
    /// The cloud does not say where the instances of a hook can be reached.
    AddressesUnreadable(ProviderError),
    /// The same at each of several tries.
    EachTime {
        /// What was wrong at the last try that had all of its time.
        last: Box<GateFailure>,
        /// How often it was tried. At least 2.
        tries: u32,
    },
    /// What asked or ran it has ended without saying how: it has a fault of its own.
    NoAnswer,
    /// A hook's driver of the embedding program says so.
    Driver(String),
    /// An address has answered a hook otherwise than it should.
    Answer(AddressFailure),
    /// No program is named.
    NoProgram,
    /// The program cannot be started.
    NotStarted {
        /// The program.
        program: String,
        /// What the operating system says.
        why: String,
    },
    /// Whether the program has ended is not known.
    NotFollowed {
        /// The program.
        program: String,
        /// What the operating system says.
        why: String,
    },
    /// The program has not ended within this time.
    NotEnded(Duration),
    /// The program has ended, and not with success: its status, and the end of what it printed.
    Unsuccessful(String),
}

/// What is wrong with the answer of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AddressFailure {
    /// It is no address.
    Invalid {
        /// What stands in its place.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The system has no certificates to trust.
    NoCertificates(String),
    /// The request failed for this reason.
    Request(String),
    /// No answer came in time.
    NoAnswer,
    /// It answers with a status that is no success.
    NoSuccess(u16),
    /// It answers with another status.
    Status {
        /// The status of the answer.
        found: u16,
        /// The status that passes.
        expected: u16,
    },
}

impl GateFailure {
    /// Returns what `last` is after so many tries.
    pub(crate) fn each_time(last: Option<GateFailure>, tries: u32) -> GateFailure {
        let last = last.unwrap_or(GateFailure::NoProgram);
        match tries {
            0 | 1 => last,
            _ => GateFailure::EachTime { last: Box::new(last), tries },
        }
    }
}

impl fmt::Display for GateFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GateFailure::AlarmsUnreadable(error) => write!(f, "they cannot be read: {error}"),
            GateFailure::AlarmsRaised(alarms) => {
                let raised: Vec<String> = alarms.iter().map(raised).collect();
                f.write_str(&raised.join("; "))
            }
            GateFailure::Address { failure, timeout } => {
                write!(f, "{failure}, for {}", humantime::format_duration(*timeout))
            }
            GateFailure::AddressesUnreadable(error) => {
                write!(f, "the addresses of the instances cannot be read: {error}")
            }
            GateFailure::EachTime { last, tries } => {
                write!(f, "{last}, at the last of {tries} tries")
            }
            GateFailure::NoAnswer => {
                f.write_str("what runs it has ended without an answer: the log may say why")
            }
            GateFailure::Driver(why) => f.write_str(why),
            GateFailure::Answer(failure) => failure.fmt(f),
            GateFailure::NoProgram => f.write_str("the command is empty"),
            GateFailure::NotStarted { program, why } => write!(f, "cannot start {program}: {why}"),
            GateFailure::NotFollowed { program, why } => {
                write!(f, "cannot wait for {program}: {why}")
            }
            GateFailure::NotEnded(timeout) => {
                write!(f, "it did not end within {}", humantime::format_duration(*timeout))
            }
            GateFailure::Unsuccessful(report) => f.write_str(report),
        }
    }
}

impl std::error::Error for GateFailure {}

impl fmt::Display for AddressFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AddressFailure::Invalid { url, why } => write!(f, "{url:?} is not a URL: {why}"),
            AddressFailure::NoCertificates(why) => {
                write!(f, "there are no certificates to trust: {why}")
            }
            AddressFailure::Request(why) => f.write_str(why),
            AddressFailure::NoSuccess(found) => write!(f, "it answers {found}"),
            AddressFailure::NoAnswer => f.write_str("no answer"),
            AddressFailure::Status { found, expected } => {
                write!(f, "it returned status {found}, expected {expected}")
            }
        }
    }
}

impl std::error::Error for AddressFailure {}

/// Says that an alarm is raised.
pub(crate) fn raised(alarm: &Alarm) -> String {
    let reason = alarm.reason.trim();
    if reason.is_empty() {
        format!("{} is in ALARM", alarm.name)
    } else {
        format!("{} is in ALARM: {reason}", alarm.name)
    }
}
