//! One look at a workload: four calls whatever its size, and one more for what pods that are not
//! ready say.

use k8s_openapi::api::core::v1::{Event, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::ListParams;
use rolling_provider::ProviderError;

use crate::error::from_kube;
use crate::fleet::WorkloadFleet;
use crate::lease_record;
use crate::pods::{is_ready, owner};
use crate::stored_template::StoredTemplate;
use crate::workload_kind::WorkloadKind;
use crate::workload_look::WorkloadLook;
use crate::workload_object::Workload;

impl WorkloadFleet {
    /// Reads the workload and what belongs to it.
    pub(crate) async fn look(&self) -> Result<WorkloadLook, ProviderError> {
        let workload = self.get().await?;
        let parameters = ListParams::default().labels(&selector(&workload.selector()));
        let templates = self.templates(&workload, &parameters);
        let pods = async {
            let listed = self.api.list_pods(&parameters).await;
            listed.map_err(|error| from_kube("LIST pods", &error, false))
        };
        let record = lease_record::read(&self.api, &self.lease);
        let (templates, pods, record) = tokio::try_join!(templates, pods, record)?;
        let is_own = |pod: &Pod| match &workload {
            Workload::Deployment(_) => templates.iter().any(|set| set.has(pod)),
            Workload::StatefulSet(set) => owner(&pod.metadata) == set.metadata.uid.as_deref(),
        };
        let pods: Vec<Pod> = pods.into_iter().filter(is_own).collect();
        let are_all_ready = pods.iter().all(is_ready) && pods.len() >= workload.size() as usize;
        let events = if are_all_ready { Vec::new() } else { self.warnings().await };
        Ok(WorkloadLook { workload, templates, pods, events, record })
    }

    /// Returns the templates of the revisions of `workload`.
    async fn templates(
        &self,
        workload: &Workload,
        parameters: &ListParams,
    ) -> Result<Vec<StoredTemplate>, ProviderError> {
        let uid = workload.metadata().uid.as_deref();
        match self.target.kind {
            WorkloadKind::Deployment => {
                let listed = self.api.replica_sets.list(parameters).await;
                let listed =
                    listed.map_err(|error| from_kube("LIST replicasets", &error, false))?;
                let own = listed.items.into_iter().filter(|set| owner(&set.metadata) == uid);
                Ok(own.filter_map(StoredTemplate::of_replica_set).collect())
            }
            WorkloadKind::StatefulSet => {
                let listed = self.api.controller_revisions.list(parameters).await;
                let listed =
                    listed.map_err(|error| from_kube("LIST controllerrevisions", &error, false))?;
                let own = listed.items.into_iter().filter(|it| owner(&it.metadata) == uid);
                Ok(own.filter_map(StoredTemplate::of_controller_revision).collect())
            }
        }
    }

    /// Returns what Kubernetes warns of. Without the permission there is nothing: it only explains.
    async fn warnings(&self) -> Vec<Event> {
        let of = match self.target.kind {
            WorkloadKind::Deployment => "involvedObject.kind=Pod,type=Warning",
            // The controller says only by an event that it cannot create a pod.
            WorkloadKind::StatefulSet => "type=Warning",
        };
        match self.api.events.list(&ListParams::default().fields(of)).await {
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
