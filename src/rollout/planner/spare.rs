//! What of the fleet may go out of rotation.

use rolling_provider::Units;

use crate::model::preview::UnitsPreview;
use crate::model::spec::{BatchSize, Bound, Policy, Window};

/// How many units must serve. In a fleet without weights each instance is one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Floor {
    pub(super) least: u64,
    /// The size of the fleet, where its instances count by weights.
    pub(super) desired: Option<u64>,
}

impl Floor {
    /// Returns the floor within `window`.
    ///
    /// Of units, the percentage of the policy may be unavailable, and where it gives a number of
    /// instances, the same share as of the instances.
    pub(super) fn of(policy: Policy, window: Window, units: Option<u32>) -> Floor {
        let Some(desired) = units else {
            return Floor { least: window.floor().into(), desired: None };
        };
        let all = u64::from(desired);
        let share = all * u64::from(window.unavailable);
        let unavailable = match percentage_of(policy, desired) {
            Some(units) => units.into(),
            None => share.div_ceil(window.size.max(1).into()),
        };
        Floor { least: all.saturating_sub(unavailable), desired: Some(all) }
    }
}

/// Returns how many of `desired` units may be unavailable, where the policy gives a percentage.
fn percentage_of(policy: Policy, desired: u32) -> Option<u32> {
    let is_percentage = matches!(
        policy,
        Policy::Rolling(BatchSize::Percentage(_))
            | Policy::RollingWithin { unavailable: Bound::Percent(_), .. }
            | Policy::AllAtOnce
    );
    is_percentage.then(|| Window::resolve(policy, desired).unavailable)
}

/// Returns how many units serve throughout, however many instances the fleet has on the way: one may
/// go whatever its weight.
pub(super) fn preview(
    policy: Policy,
    window: Window,
    units: Option<Units>,
) -> Option<UnitsPreview> {
    let Units { desired, heaviest } = units?;
    let unavailable = percentage_of(policy, desired)
        .unwrap_or_else(|| window.unavailable.saturating_mul(heaviest))
        .max(heaviest);
    Some(UnitsPreview { floor: desired.saturating_sub(unavailable), desired })
}

/// What may go out of rotation, in units.
///
/// Where a fleet with weights serves as a whole, one instance may go whatever its weight: nothing
/// could be replaced otherwise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spare {
    units: u64,
    /// Whether the next one may go whatever its weight.
    one: bool,
}

impl Spare {
    /// Returns what may go of a fleet in which `serving` units serve for sure.
    pub(super) fn of(serving: u64, floor: Floor) -> Spare {
        Spare {
            units: serving.saturating_sub(floor.least),
            one: floor.desired.is_some_and(|desired| serving >= desired),
        }
    }

    /// Returns what may go within both.
    pub(super) fn and(self, other: Option<Spare>) -> Spare {
        let Some(other) = other else { return self };
        Spare { units: self.units.min(other.units), one: self.one && other.one }
    }

    /// Whether an instance of `units` may go.
    pub(super) fn allows(self, units: u32) -> bool {
        self.one || self.units >= units.into()
    }

    /// Takes an instance of `units` off, which goes.
    pub(super) fn take(&mut self, units: u32) {
        self.units = self.units.saturating_sub(units.into());
        self.one = false;
    }

    /// Whether none that serves may go.
    pub(super) fn is_none(self) -> bool {
        !self.one && self.units == 0
    }
}
