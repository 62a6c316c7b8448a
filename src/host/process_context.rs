//! What the program takes from its surroundings.

use std::ffi::OsString;
use std::sync::Arc;

use super::handshake::Host;
use crate::engine::Caller;
use crate::engine::clock::TokioClock;

/// What the program takes from its surroundings.
#[derive(Clone, Debug)]
pub struct ProcessContext {
    /// The clock of everything but simulated fleets.
    pub clock: Arc<TokioClock>,
    /// Names rollouts that begin in this process.
    pub rollout_id: String,
    /// Names this process to others; see [`crate::engine::owner`].
    pub owner: String,
    /// Whether an owner is known to be dead.
    pub is_gone: fn(&str) -> bool,
    /// Whether a variable of the environment is set.
    pub is_set: fn(&str) -> bool,
    /// The folders in which programs are looked for: the variable `PATH`.
    pub search_path: Option<OsString>,
    /// Whether a terminal, where there is one, can redraw lines.
    pub redraws: bool,
    /// What Terraform sets in the environment.
    pub host: Host,
}

impl ProcessContext {
    /// Returns a caller that names its rollouts `rollout_id`.
    pub(crate) fn caller(&self, rollout_id: &str) -> Caller {
        Caller {
            is_gone: self.is_gone,
            jitter: JITTER,
            search_path: self.search_path.clone(),
            tell: |message| tracing::info!("{message}"),
            ..Caller::new(rollout_id, self.owner.clone())
        }
    }
}

/// Whether a terminal that the variable `TERM` describes so can redraw lines.
pub fn can_redraw(term: Option<&str>) -> bool {
    !matches!(term, None | Some("" | "dumb"))
}

/// How far polls of several engines are spread in time.
const JITTER: f64 = 0.1;
