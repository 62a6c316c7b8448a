//! The engine's clock on top of tokio's: real time, or scaled time for tests on an emulator that
//! scales its own. People who watch a simulation use the [`SimulationClock`]. (Virtual time for
//! tests comes with the simulator.)
#![expect(clippy::disallowed_methods, reason = "this is the clock that all others must use")]

mod simulation;

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use rolling_provider::{Clock, Timestamp};
use rustix::time::{ClockId, clock_gettime};

pub use self::simulation::SimulationClock;
use crate::rollout::ownership::Moment;

/// The clock that never steps back and continues while the machine sleeps.
#[cfg(any(target_os = "linux", target_os = "android"))]
const COUNTS_SLEEP: ClockId = ClockId::Boottime;
/// The clock that never steps back and continues while the machine sleeps: on macOS, this one does.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const COUNTS_SLEEP: ClockId = ClockId::Monotonic;

/// The environment variable that scales the time of a process; only for tests on an emulator.
pub const TEST_CLOCK: &str = "ROLLING_TEST_CLOCK";

/// The value of [`TEST_CLOCK`] that names no time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockSettingError(pub(crate) String);

impl fmt::Display for ClockSettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{TEST_CLOCK} is {:?}, but must have the form START:SPEED", self.0)
    }
}

impl std::error::Error for ClockSettingError {}

/// Time that runs `speed` times as fast as the machine's, from a given moment on.
#[derive(Debug)]
pub struct TokioClock {
    epoch: Timestamp,
    /// What the clock that counts sleep showed at `epoch`.
    start: Duration,
    /// What the wall clock showed at `epoch`.
    wall: Duration,
    speed: f64,
}

impl TokioClock {
    /// Returns a clock that shows `epoch` now. `speed` must be above zero.
    pub fn new(epoch: Timestamp, speed: f64) -> Self {
        Self { epoch, start: running(), wall: wall(), speed }
    }

    /// Returns the clock of a process that begins when the wall clock shows `wall`: real time,
    /// unless `setting` names another. A `setting` of `START:SPEED` names the time that equalled
    /// the wall clock at START (in milliseconds since 1970) and has run SPEED times as fast since,
    /// so that every process and the emulator that tests run against agree on it.
    ///
    /// # Errors
    /// When `setting` is not of that form, START lies ahead, or SPEED is not from 1 to 1000.
    pub fn of_process(wall: Timestamp, setting: Option<&str>) -> Result<Self, ClockSettingError> {
        let Some(setting) = setting else { return Ok(Self::new(wall, 1.0)) };
        let parsed = setting.split_once(':').and_then(|(start, speed)| {
            Some((start.parse().map(Timestamp).ok()?, speed.parse::<f64>().ok()?))
        });
        match parsed {
            Some((start, speed)) if start <= wall && (1.0..=1000.0).contains(&speed) => {
                Ok(Self::new(start + wall.since(start).mul_f64(speed), speed))
            }
            _ => Err(ClockSettingError(setting.to_owned())),
        }
    }

    /// Whether this is anything but real time.
    pub fn is_scaled(&self) -> bool {
        self.speed != 1.0
    }
}

/// Returns the current moment, by both clocks.
pub(super) fn moment(clock: &dyn Clock) -> Moment {
    Moment { now: clock.now(), wall: clock.wall() }
}

fn running() -> Duration {
    let now = clock_gettime(COUNTS_SLEEP);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or_default())
}

fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[async_trait]
impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        self.epoch + running().saturating_sub(self.start).mul_f64(self.speed)
    }

    fn wall(&self) -> Timestamp {
        let now = wall();
        let set_back = self.wall.saturating_sub(now).mul_f64(self.speed);
        let millis = u64::try_from(set_back.as_millis()).unwrap_or(u64::MAX);
        let before = Timestamp(self.epoch.0.saturating_sub(millis));
        before + now.saturating_sub(self.wall).mul_f64(self.speed)
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration.div_f64(self.speed)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: Timestamp = Timestamp(1_000_000);

    #[test]
    fn a_process_lives_by_the_wall_clock_or_by_the_time_that_its_setting_names() {
        let shown = |setting| TokioClock::of_process(WALL, setting).map(|clock| clock.epoch);
        assert_eq!(shown(None), Ok(WALL));
        assert_eq!(shown(Some("940000:8")), Ok(Timestamp(940_000 + 8 * 60_000)));
        assert!(!TokioClock::of_process(WALL, Some("940000:1")).expect("a clock").is_scaled());
        for wrong in ["", "8", "940000:", "940000:0", "940000:NaN", "1000001:8", "940000:1001"] {
            assert_eq!(shown(Some(wrong)), Err(ClockSettingError(wrong.to_owned())));
        }
    }
}
