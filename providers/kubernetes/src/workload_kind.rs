//! The kinds of workloads that are rolled.

/// A kind of workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WorkloadKind {
    /// A Deployment, whose ReplicaSets have the templates of its revisions.
    #[default]
    Deployment,
    /// A StatefulSet, whose ControllerRevisions have them.
    StatefulSet,
}

impl WorkloadKind {
    /// As Kubernetes writes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            WorkloadKind::Deployment => "Deployment",
            WorkloadKind::StatefulSet => "StatefulSet",
        }
    }

    /// As plans name it.
    pub(crate) fn shown(self) -> &'static str {
        match self {
            WorkloadKind::Deployment => "deployment",
            WorkloadKind::StatefulSet => "stateful set",
        }
    }

    /// As addresses of the API have it.
    pub(crate) fn resource(self) -> &'static str {
        match self {
            WorkloadKind::Deployment => "deployments",
            WorkloadKind::StatefulSet => "statefulsets",
        }
    }

    /// What has the templates of its revisions.
    pub(crate) fn keeper(self) -> &'static str {
        match self {
            WorkloadKind::Deployment => "ReplicaSet",
            WorkloadKind::StatefulSet => "ControllerRevision",
        }
    }

    /// The attribute of a document that names one.
    pub(crate) fn attribute(self) -> &'static str {
        match self {
            WorkloadKind::Deployment => "kubernetes_deployment",
            WorkloadKind::StatefulSet => "kubernetes_stateful_set",
        }
    }

    /// Who replaces its pods.
    pub(crate) fn controller(self) -> &'static str {
        match self {
            WorkloadKind::Deployment => "the Deployment controller",
            WorkloadKind::StatefulSet => "the StatefulSet controller",
        }
    }
}
