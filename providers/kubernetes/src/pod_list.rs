//! The pods of a namespace, without what no look uses: of a thousand pods that is most of the memory.

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use kube::Resource as _;
use kube::api::ListParams;
use kube::core::Request;
use serde::{Deserialize, Deserializer};

use crate::namespace::NamespaceApi;

/// The answer to a list of pods. Each pod is made smaller before the next one is read.
#[derive(Deserialize)]
struct PodList {
    #[serde(deserialize_with = "small_pods")]
    items: Vec<Pod>,
}

/// A pod without what no look uses.
struct SmallPod(Pod);

impl<'de> Deserialize<'de> for SmallPod {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut pod = Pod::deserialize(deserializer)?;
        pod.metadata.managed_fields = None;
        pod.spec = pod.spec.map(|spec| PodSpec {
            node_name: spec.node_name,
            readiness_gates: spec.readiness_gates,
            ..PodSpec::default()
        });
        Ok(Self(pod))
    }
}

fn small_pods<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Pod>, D::Error> {
    let pods = Vec::<SmallPod>::deserialize(deserializer)?;
    Ok(pods.into_iter().map(|pod| pod.0).collect())
}

impl NamespaceApi {
    /// Lists the pods that `parameters` choose.
    pub async fn list_pods(&self, parameters: &ListParams) -> Result<Vec<Pod>, kube::Error> {
        let request = Request::new(Pod::url_path(&(), Some(&self.namespace))).list(parameters);
        let request = request.map_err(kube::Error::BuildRequest)?;
        Ok(self.client.request::<PodList>(request).await?.items)
    }
}
