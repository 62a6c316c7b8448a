//! The one place that passes the calls of the port through.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use rolling_provider::{
    Action, Activity, Alarm, Clock, Done, Examination, Fleet, InstanceId, Observation,
    ProviderError, Revision, RolloutController, Target, TerminatedInstance, Timestamp,
};

/// A fleet around another one: every call of the port passes through to [`Wrapper::inner`], but for
/// those that an implementation has of its own. [`impl_fleet!`](crate::impl_fleet) makes it a
/// [`Fleet`].
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use async_trait::async_trait;
/// use rolling_provider::{Fleet, Observation, ProviderError};
/// use rolling_testing::{Wrapper, impl_fleet};
///
/// /// A fleet whose looks take a minute.
/// struct Slow(Arc<dyn Fleet>);
///
/// #[async_trait]
/// impl Wrapper for Slow {
///     fn inner(&self) -> &dyn Fleet {
///         &*self.0
///     }
///
///     async fn observe(&self) -> Result<Observation, ProviderError> {
///         self.inner().clock().sleep(Duration::from_secs(60)).await;
///         self.inner().observe().await
///     }
/// }
///
/// impl_fleet!(Slow);
/// ```
#[async_trait]
pub trait Wrapper: Send + Sync {
    /// Returns the fleet that calls pass through to.
    fn inner(&self) -> &dyn Fleet;

    /// See [`Fleet::resolve`].
    async fn resolve(&self) -> Result<Target, ProviderError> {
        self.inner().resolve().await
    }

    /// See [`Fleet::observe`].
    async fn observe(&self) -> Result<Observation, ProviderError> {
        self.inner().observe().await
    }

    /// See [`Fleet::activities`].
    async fn activities(&self, since: Timestamp) -> Result<Vec<Activity>, ProviderError> {
        self.inner().activities(since).await
    }

    /// See [`Fleet::examine`].
    async fn examine(&self) -> Examination {
        self.inner().examine().await
    }

    /// See [`Fleet::alarms`].
    async fn alarms(&self, names: &BTreeSet<String>) -> Result<Vec<Alarm>, ProviderError> {
        self.inner().alarms(names).await
    }

    /// See [`Fleet::addresses`].
    async fn addresses(
        &self,
        instances: &BTreeSet<InstanceId>,
    ) -> Result<BTreeMap<InstanceId, String>, ProviderError> {
        self.inner().addresses(instances).await
    }

    /// See [`Fleet::terminated`].
    async fn terminated(&self) -> Result<Vec<TerminatedInstance>, ProviderError> {
        self.inner().terminated().await
    }

    /// See [`Fleet::guards_record`].
    fn guards_record(&self) -> bool {
        self.inner().guards_record()
    }

    /// See [`Fleet::may_roll`].
    async fn may_roll(&self, begins: bool) -> Result<(), ProviderError> {
        self.inner().may_roll(begins).await
    }

    /// See [`Fleet::make_revision`].
    async fn make_revision(&self, wanted: &Revision) -> Result<Revision, ProviderError> {
        self.inner().make_revision(wanted).await
    }

    /// See [`Fleet::act`].
    async fn act(&self, action: &Action) -> Result<Done, ProviderError> {
        self.inner().act(action).await
    }

    /// See [`Fleet::rollout_controller`].
    fn rollout_controller(&self) -> Option<&dyn RolloutController> {
        self.inner().rollout_controller()
    }

    /// See [`Fleet::clock`].
    fn clock(&self) -> Arc<dyn Clock> {
        self.inner().clock()
    }
}

/// Makes a [`Wrapper`] a [`Fleet`](rolling_provider::Fleet).
///
/// Rust allows no implementation for all wrappers at once outside the crate of `Fleet`. Within a
/// wrapper, call `self.inner()` and not the wrapper itself, where both traits are in scope.
#[macro_export]
macro_rules! impl_fleet {
    ($wrapper:ty) => {
        #[$crate::port::async_trait]
        impl $crate::port::Fleet for $wrapper {
            async fn resolve(&self) -> Result<$crate::port::Target, $crate::port::ProviderError> {
                $crate::Wrapper::resolve(self).await
            }

            async fn observe(
                &self,
            ) -> Result<$crate::port::Observation, $crate::port::ProviderError> {
                $crate::Wrapper::observe(self).await
            }

            async fn activities(
                &self,
                since: $crate::port::Timestamp,
            ) -> Result<Vec<$crate::port::Activity>, $crate::port::ProviderError> {
                $crate::Wrapper::activities(self, since).await
            }

            async fn examine(&self) -> $crate::port::Examination {
                $crate::Wrapper::examine(self).await
            }

            async fn alarms(
                &self,
                names: &$crate::port::BTreeSet<String>,
            ) -> Result<Vec<$crate::port::Alarm>, $crate::port::ProviderError> {
                $crate::Wrapper::alarms(self, names).await
            }

            async fn addresses(
                &self,
                instances: &$crate::port::BTreeSet<$crate::port::InstanceId>,
            ) -> Result<
                $crate::port::BTreeMap<$crate::port::InstanceId, String>,
                $crate::port::ProviderError,
            > {
                $crate::Wrapper::addresses(self, instances).await
            }

            async fn terminated(
                &self,
            ) -> Result<Vec<$crate::port::TerminatedInstance>, $crate::port::ProviderError> {
                $crate::Wrapper::terminated(self).await
            }

            fn guards_record(&self) -> bool {
                $crate::Wrapper::guards_record(self)
            }

            async fn may_roll(&self, begins: bool) -> Result<(), $crate::port::ProviderError> {
                $crate::Wrapper::may_roll(self, begins).await
            }

            async fn make_revision(
                &self,
                wanted: &$crate::port::Revision,
            ) -> Result<$crate::port::Revision, $crate::port::ProviderError> {
                $crate::Wrapper::make_revision(self, wanted).await
            }

            async fn act(
                &self,
                action: &$crate::port::Action,
            ) -> Result<$crate::port::Done, $crate::port::ProviderError> {
                $crate::Wrapper::act(self, action).await
            }

            fn rollout_controller(&self) -> Option<&dyn $crate::port::RolloutController> {
                $crate::Wrapper::rollout_controller(self)
            }

            fn clock(&self) -> $crate::port::Arc<dyn $crate::port::Clock> {
                $crate::Wrapper::clock(self)
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    /// Names of the functions that `text` has between these two.
    fn functions<'t>(text: &'t str, from: &str, to: &str) -> BTreeSet<&'t str> {
        let (_, text) = text.split_once(from).expect("a beginning");
        let (text, _) = text.split_once(to).expect("an end");
        text.split("fn ").skip(1).filter_map(|text| text.split('(').next()).collect()
    }

    /// A call with an answer of its own in the port would not pass through, and nobody would notice.
    #[test]
    fn every_call_of_the_port_passes_through() {
        let port = include_str!("../../api/src/fleet.rs");
        let port = functions(port, "pub trait Fleet", "\n}\n");
        assert!(port.len() > 10, "{port:?}");
        let here = include_str!("wrapper.rs");
        let mut wrapper = functions(here, "pub trait Wrapper", "\n}\n");
        assert!(wrapper.remove("inner"));
        assert_eq!(wrapper, port);
        assert_eq!(functions(here, "macro_rules! impl_fleet", "\n}\n"), port);
    }
}
