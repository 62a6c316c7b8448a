//! The kinds of objects that are served.

use serde_json::Value;

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObjectKind {
    /// A pod.
    Pod,
    /// An event of `v1`.
    Event,
    /// A namespace.
    Namespace,
    /// A node.
    Node,
    /// A Deployment.
    Deployment,
    /// A ReplicaSet.
    ReplicaSet,
    /// A StatefulSet.
    StatefulSet,
    /// A revision of a StatefulSet.
    ControllerRevision,
    /// A lease.
    Lease,
    /// A horizontal pod autoscaler.
    HorizontalPodAutoscaler,
    /// A target group binding of the AWS Load Balancer Controller: served once there is one.
    TargetGroupBinding,
}

/// What discovery says of a kind.
#[derive(Debug)]
pub struct ObjectKindInfo {
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The version that is served.
    pub version: &'static str,
    /// The name in paths.
    pub plural: &'static str,
    /// The name in documents.
    pub name: &'static str,
    /// The short name for kubectl, if there is one.
    pub short: &'static str,
    /// Whether objects are in a namespace.
    pub namespaced: bool,
    /// The subresources.
    pub subresources: &'static [&'static str],
}

macro_rules! info {
    ($group:literal, $version:literal, $plural:literal, $name:literal, $short:literal, $namespaced:literal, $sub:expr) => {
        ObjectKindInfo {
            group: $group,
            version: $version,
            plural: $plural,
            name: $name,
            short: $short,
            namespaced: $namespaced,
            subresources: $sub,
        }
    };
}

static INFO: [ObjectKindInfo; 11] = [
    info!("", "v1", "pods", "Pod", "po", true, &["status", "binding"]),
    info!("", "v1", "events", "Event", "ev", true, &[]),
    info!("", "v1", "namespaces", "Namespace", "ns", false, &[]),
    info!("", "v1", "nodes", "Node", "no", false, &[]),
    info!("apps", "v1", "deployments", "Deployment", "deploy", true, &["status", "scale"]),
    info!("apps", "v1", "replicasets", "ReplicaSet", "rs", true, &["status"]),
    info!("apps", "v1", "statefulsets", "StatefulSet", "sts", true, &["status", "scale"]),
    info!("apps", "v1", "controllerrevisions", "ControllerRevision", "", true, &[]),
    info!("coordination.k8s.io", "v1", "leases", "Lease", "", true, &[]),
    info!(
        "autoscaling",
        "v2",
        "horizontalpodautoscalers",
        "HorizontalPodAutoscaler",
        "hpa",
        true,
        &[]
    ),
    info!("elbv2.k8s.aws", "v1beta1", "targetgroupbindings", "TargetGroupBinding", "", true, &[]),
];

impl ObjectKind {
    /// All kinds.
    pub const ALL: [Self; 11] = [
        Self::Pod,
        Self::Event,
        Self::Namespace,
        Self::Node,
        Self::Deployment,
        Self::ReplicaSet,
        Self::StatefulSet,
        Self::ControllerRevision,
        Self::Lease,
        Self::HorizontalPodAutoscaler,
        Self::TargetGroupBinding,
    ];

    /// Returns what discovery says of the kind.
    pub fn info(self) -> &'static ObjectKindInfo {
        &INFO[self as usize]
    }

    /// Returns the kind of a path.
    pub fn of_path(group: &str, version: &str, plural: &str) -> Option<Self> {
        let same = |kind: &Self| {
            let info = kind.info();
            info.group == group && info.version == version && info.plural == plural
        };
        Self::ALL.into_iter().find(same)
    }

    /// Returns the kind of a document, by its `apiVersion` and `kind`.
    pub fn of_document(document: &Value) -> Option<Self> {
        let version = document.get("apiVersion")?.as_str()?;
        let name = document.get("kind")?.as_str()?;
        Self::ALL.into_iter().find(|kind| kind.api_version() == version && kind.info().name == name)
    }

    /// Returns `apiVersion`: `apps/v1`.
    pub fn api_version(self) -> String {
        let ObjectKindInfo { group, version, .. } = self.info();
        if group.is_empty() { (*version).to_owned() } else { format!("{group}/{version}") }
    }

    /// Returns the qualified resource, as in messages: `deployments.apps`.
    pub fn qualified(self) -> String {
        Self::qualify(self.info().plural, self.info().group)
    }

    /// Returns the qualified kind, as in messages of validation: `Deployment.apps`.
    pub fn qualified_kind(self) -> String {
        Self::qualify(self.info().name, self.info().group)
    }

    fn qualify(name: &str, group: &str) -> String {
        if group.is_empty() { name.to_owned() } else { format!("{name}.{group}") }
    }
}
