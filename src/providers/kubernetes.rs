//! Opens Kubernetes workloads.

use std::path::PathBuf;
use std::sync::Arc;

use rolling_kubernetes::{Kubernetes, KubernetesConfig, WorkloadKind, WorkloadTarget};
use rolling_provider::{Clock, Fleet, ProviderError};
use serde_json::{Value, json};

use crate::document::config::{KubernetesProviderConfig, RollingDeploymentConfig};

/// Reaches the cluster as the provider's configuration says.
///
/// # Errors
/// When there is no configuration of a cluster, or none that can be read.
pub(super) async fn connect(
    settings: Option<&KubernetesProviderConfig>,
) -> Result<Kubernetes, ProviderError> {
    let settings = settings.cloned().unwrap_or_default();
    let kubeconfig = settings.kubeconfig.map(PathBuf::from);
    Kubernetes::connect(&KubernetesConfig { kubeconfig, context: settings.context }).await
}

/// The attributes of the kinds of workloads.
const KINDS: [(&str, WorkloadKind); 2] = [
    ("kubernetes_deployment", WorkloadKind::Deployment),
    ("kubernetes_stateful_set", WorkloadKind::StatefulSet),
];

/// Opens the workload that `config` names; `None` where it names another target.
pub(super) fn open(
    kubernetes: &Kubernetes,
    config: &RollingDeploymentConfig,
    clock: Arc<dyn Clock>,
) -> Option<Arc<dyn Fleet>> {
    let (attribute, workload) = config.workload()?;
    let (_, kind) = KINDS.into_iter().find(|(name, _)| *name == attribute)?;
    let target = WorkloadTarget {
        kind,
        namespace: workload.namespace.clone(),
        name: workload.name.clone(),
        images: workload.images.clone().unwrap_or_default(),
        annotations: workload.annotations.clone().unwrap_or_default(),
        removes_failed: config.failure_threshold.is_some_and(|threshold| threshold > 1),
        keeps_failed: config.keep_failed_instances.is_some_and(|count| count > 0),
    };
    Some(Arc::new(kubernetes.workload(target, clock)))
}

/// Returns the kind and the name of the workload that `id` names: `kubernetes_deployment/shop/web`.
pub(super) fn named(id: &str) -> Option<(&'static str, &str)> {
    KINDS.iter().find_map(|(attribute, _)| {
        Some((*attribute, id.strip_prefix(attribute)?.strip_prefix('/')?))
    })
}

/// Returns the configuration of the workload `name` as it is, in the namespace that its name may begin
/// with: `shop/web`. `attribute` says of which kind it is.
///
/// # Errors
/// When there is no such workload.
pub(super) async fn import(
    kubernetes: &Kubernetes,
    attribute: &str,
    name: &str,
    clock: Arc<dyn Clock>,
) -> Result<Value, ProviderError> {
    let (namespace, name) = match name.split_once('/') {
        Some((namespace, name)) => (Some(namespace.to_owned()), name),
        None => (None, name),
    };
    let kind = KINDS.into_iter().find(|(known, _)| *known == attribute);
    let target = WorkloadTarget {
        kind: kind.map(|(_, kind)| kind).unwrap_or_default(),
        namespace: namespace.clone(),
        name: name.to_owned(),
        ..WorkloadTarget::default()
    };
    let images = kubernetes.workload(target, clock).images().await?;
    Ok(json!({ attribute: {
        "namespace": namespace, "name": name, "images": images,
    } }))
}
