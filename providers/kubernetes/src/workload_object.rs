//! What workloads of all kinds have in common.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

/// A workload as it was read.
#[derive(Clone, Debug)]
pub(crate) enum Workload {
    Deployment(Box<Deployment>),
    StatefulSet(Box<StatefulSet>),
}

impl Workload {
    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            Workload::Deployment(it) => &it.metadata,
            Workload::StatefulSet(it) => &it.metadata,
        }
    }

    /// The template of its pods.
    pub fn template(&self) -> PodTemplateSpec {
        let template = match self {
            Workload::Deployment(it) => it.spec.as_ref().map(|spec| spec.template.clone()),
            Workload::StatefulSet(it) => it.spec.as_ref().map(|spec| spec.template.clone()),
        };
        template.unwrap_or_default()
    }

    pub fn selector(&self) -> LabelSelector {
        let selector = match self {
            Workload::Deployment(it) => it.spec.as_ref().map(|spec| spec.selector.clone()),
            Workload::StatefulSet(it) => it.spec.as_ref().map(|spec| spec.selector.clone()),
        };
        selector.unwrap_or_default()
    }

    /// How many pods are to run.
    pub fn size(&self) -> u32 {
        let replicas = match self {
            Workload::Deployment(it) => it.spec.as_ref().and_then(|spec| spec.replicas),
            Workload::StatefulSet(it) => it.spec.as_ref().and_then(|spec| spec.replicas),
        };
        u32::try_from(replicas.unwrap_or(1)).unwrap_or_default()
    }

    /// How many old templates are kept.
    pub fn history_limit(&self) -> Option<i32> {
        match self {
            Workload::Deployment(it) => it.spec.as_ref()?.revision_history_limit,
            Workload::StatefulSet(it) => it.spec.as_ref()?.revision_history_limit,
        }
    }

    /// How it replaces pods: `RollingUpdate` or another way.
    pub fn strategy(&self) -> Option<&str> {
        match self {
            Workload::Deployment(it) => it.spec.as_ref()?.strategy.as_ref()?.type_.as_deref(),
            Workload::StatefulSet(it) => {
                it.spec.as_ref()?.update_strategy.as_ref()?.type_.as_deref()
            }
        }
    }

    /// Whether its controller has seen what it asks for now.
    pub fn is_observed(&self) -> bool {
        let observed = match self {
            Workload::Deployment(it) => it.status.as_ref().and_then(|it| it.observed_generation),
            Workload::StatefulSet(it) => it.status.as_ref().and_then(|it| it.observed_generation),
        };
        observed >= self.metadata().generation
    }
}
