//! Opens Kubernetes Deployments.

use std::path::PathBuf;
use std::sync::Arc;

use rolling_kubernetes::{DeploymentTarget, Kubernetes, KubernetesConfig};
use rolling_provider::{Clock, Fleet, ProviderError};
use serde_json::{Value, json};

use crate::document::config::{KubernetesDeploymentConfig, KubernetesProviderConfig};

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

/// Opens a Deployment.
pub(super) fn open(
    kubernetes: &Kubernetes,
    config: &KubernetesDeploymentConfig,
    clock: Arc<dyn Clock>,
) -> Arc<dyn Fleet> {
    let target = DeploymentTarget {
        namespace: config.namespace.clone(),
        name: config.name.clone(),
        images: config.images.clone().unwrap_or_default(),
        annotations: config.annotations.clone().unwrap_or_default(),
    };
    Arc::new(kubernetes.deployment(target, clock))
}

/// Returns the configuration of the Deployment `name` as it is, in the namespace that its name may
/// begin with: `shop/web`.
///
/// # Errors
/// When there is no such Deployment.
pub(super) async fn import(
    kubernetes: &Kubernetes,
    name: &str,
    clock: Arc<dyn Clock>,
) -> Result<Value, ProviderError> {
    let (namespace, name) = match name.split_once('/') {
        Some((namespace, name)) => (Some(namespace.to_owned()), name),
        None => (None, name),
    };
    let target = DeploymentTarget {
        namespace: namespace.clone(),
        name: name.to_owned(),
        ..DeploymentTarget::default()
    };
    let images = kubernetes.deployment(target, clock).images().await?;
    Ok(json!({ "kubernetes_deployment": {
        "namespace": namespace, "name": name, "images": images,
    } }))
}
