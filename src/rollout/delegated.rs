//! Rollouts that a platform carries out on its own, as pure functions: instance refreshes of EC2 Auto
//! Scaling, and updates of an environment by Elastic Beanstalk.
//!
//! They translate a deployment into what the platform goes by, and evaluate the rollout that is found
//! on a fleet.
//!
//! Limits of an instance refresh are those of InstanceRefreshPreferences in the API Reference of EC2
//! Auto Scaling.

mod conditions;
mod environment_settings;
#[cfg(test)]
mod example;
mod follow;
mod following;
mod found;
mod instance_refresh;
mod platform_settings;

pub(crate) use conditions::refuse;
pub(crate) use environment_settings::{
    batch_sizes, changed_options, environment_phrases, environment_settings,
};
pub(crate) use follow::{
    DelegatedDecision, Idle, as_rollout_of, cause, is_done, old, status, taken_back, unhealthy,
    verdict,
};
pub(crate) use following::{FollowOutcome, Following, unsettled};
pub(crate) use found::{DelegatedContext, foreign, is_obeyed};
pub(crate) use instance_refresh::{Bounds, bounds, phrases, preferences};
pub(crate) use platform_settings::{
    after_command, can_redeploy, redeploys, rolls_back_here, rolls_back_where_completed, settings,
};
