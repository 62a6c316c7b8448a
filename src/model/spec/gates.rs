//! Conditions for a rollout to continue, besides the health of its instances.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// Conditions for a rollout to continue, besides the health of its instances. A rollback has no
/// gates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gates {
    /// Alarms of the cloud: none may be raised before a batch begins, nor while the rollout bakes.
    pub alarms: BTreeSet<String>,
    /// Checks after each batch, in order.
    pub probes: Vec<Probe>,
    /// How long everything must stay healthy at the end before the rollout is over.
    pub bake_time: Duration,
}

impl Gates {
    /// How long reading the alarms may take.
    pub(crate) const ALARMS_WITHIN: Duration = Duration::from_secs(60);

    /// Returns how long all gates together may take, with or without the probes.
    pub(crate) fn longest_answer(&self, probes: bool) -> Duration {
        let alarms = if self.alarms.is_empty() { Duration::ZERO } else { Self::ALARMS_WITHIN };
        let probes = self.probes.iter().filter(|_| probes).map(Probe::timeout);
        alarms + probes.sum::<Duration>()
    }

    /// Returns what is checked and when, one phrase each.
    pub(crate) fn phrases(&self) -> Vec<String> {
        let alarms = (!self.alarms.is_empty()).then(|| match self.bake_time.is_zero() {
            true => format!("{} before each batch", self.alarm_names()),
            false => format!("{} before each batch and during the bake time", self.alarm_names()),
        });
        let probes = self.probes.iter().map(|probe| format!("{probe} after each batch"));
        let bake = (!self.bake_time.is_zero())
            .then(|| format!("bakes for {}", humantime::format_duration(self.bake_time)));
        alarms.into_iter().chain(probes).chain(bake).collect()
    }

    /// Returns the alarms as part of a sentence: `alarms web-5xx, web-slow`.
    pub(crate) fn alarm_names(&self) -> String {
        let names: Vec<&str> = self.alarms.iter().map(String::as_str).collect();
        format!("alarms {}", names.join(", "))
    }
}

/// A check after a batch, made by this program and not by the cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A GET request that must be answered with this status; repeated until it is.
    Http {
        /// The address.
        url: String,
        /// The status that passes.
        status: u16,
        /// How long the probe may take until an answer passes.
        timeout: Duration,
    },
    /// A command that must exit with code 0; repeated until it does.
    Command {
        /// The program and its arguments. No shell is involved.
        run: Vec<String>,
        /// Additional environment variables.
        environment: BTreeMap<String, Secret>,
        /// How long the probe may take until the command succeeds.
        timeout: Duration,
    },
}

/// Text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(sensitive)")
    }
}

impl Probe {
    /// Returns how long the probe may take to pass.
    pub(crate) fn timeout(&self) -> Duration {
        match self {
            Probe::Http { timeout, .. } | Probe::Command { timeout, .. } => *timeout,
        }
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Without query and arguments: this text ends up in logs and tags.
            Probe::Http { url, .. } => write!(f, "GET {}", bare_address(url)),
            Probe::Command { run, .. } => {
                write!(f, "command {}", run.first().map_or("", String::as_str))
            }
        }
    }
}

/// Returns an address without what may be a secret in it: credentials, query and fragment.
pub(super) fn bare_address(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let (scheme, remaining) = url.split_once("://").unwrap_or(("http", url));
    let (host, path) = remaining.split_once('/').unwrap_or((remaining, ""));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{scheme}://{host}/{path}")
}
