//! What the expansion of [`impl_fleet!`](crate::impl_fleet) names.

pub use std::collections::{BTreeMap, BTreeSet};
pub use std::sync::Arc;

pub use async_trait::async_trait;
pub use rolling_provider::{
    Action, Activity, Alarm, Clock, Done, Examination, Fleet, InstanceId, Observation,
    ProviderError, Revision, RolloutController, Target, TerminatedInstance, Timestamp,
};
