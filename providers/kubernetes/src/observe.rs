//! One look at a Deployment: four calls whatever its size, and one more for what pods that are not
//! ready say.

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Event, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::ListParams;
use rolling_provider::ProviderError;

use crate::deployment_look::DeploymentLook;
use crate::error::from_kube;
use crate::fleet::DeploymentFleet;
use crate::lease_record;
use crate::pods::{is_ready, owner};

impl DeploymentFleet {
    /// Reads the Deployment and what belongs to it.
    pub(crate) async fn look(&self) -> Result<DeploymentLook, ProviderError> {
        let deployment = self.get().await?;
        let selector = deployment.spec.as_ref().map(|spec| selector(&spec.selector));
        let parameters = ListParams::default().labels(&selector.unwrap_or_default());
        let sets = async {
            let listed = self.api.replica_sets.list(&parameters).await;
            listed.map_err(|error| from_kube("LIST replicasets", &error, false))
        };
        let pods = async {
            let listed = self.api.pods.list(&parameters).await;
            listed.map_err(|error| from_kube("LIST pods", &error, false))
        };
        let record = lease_record::read(&self.api, &self.lease);
        let (sets, pods, record) = tokio::try_join!(sets, pods, record)?;
        let uid = deployment.metadata.uid.as_deref();
        let sets: Vec<ReplicaSet> =
            sets.items.into_iter().filter(|set| owner(&set.metadata) == uid).collect();
        let is_own = |pod: &Pod| {
            let of = owner(&pod.metadata);
            sets.iter().any(|set| set.metadata.uid.as_deref() == of)
        };
        let pods: Vec<Pod> = pods.items.into_iter().filter(is_own).collect();
        let events = match pods.iter().all(is_ready) {
            true => Vec::new(),
            false => self.warnings().await,
        };
        Ok(DeploymentLook { deployment, sets, pods, events, record })
    }

    /// Returns what Kubernetes warns of about pods. Without the permission there are none: they only
    /// explain.
    async fn warnings(&self) -> Vec<Event> {
        let parameters = ListParams::default().fields("involvedObject.kind=Pod,type=Warning");
        match self.api.events.list(&parameters).await {
            Ok(listed) => listed.items,
            Err(error) => {
                tracing::warn!(%error, "cannot list events");
                Vec::new()
            }
        }
    }
}

/// Returns a selector as a query writes it: `app=web,tier in (a,b)`.
fn selector(selector: &LabelSelector) -> String {
    let labels = selector.match_labels.iter().flatten();
    let labels = labels.map(|(key, value)| format!("{key}={value}"));
    let expressions = selector.match_expressions.iter().flatten().map(|expression| {
        let (key, values) = (&expression.key, expression.values.clone().unwrap_or_default());
        match expression.operator.as_str() {
            "In" => format!("{key} in ({})", values.join(",")),
            "NotIn" => format!("{key} notin ({})", values.join(",")),
            "Exists" => key.clone(),
            _ => format!("!{key}"),
        }
    });
    labels.chain(expressions).collect::<Vec<_>>().join(",")
}
