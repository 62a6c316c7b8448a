//! What a document says of a workload.

use std::collections::BTreeMap;

use crate::workload_kind::WorkloadKind;

/// A workload, and what its pods are to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkloadTarget {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its namespace; by default that of the context.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// The image of each container, init containers included. Containers that are not named stay as
    /// they are.
    pub images: BTreeMap<String, String>,
    /// Annotations of the pod template, which make a revision, too.
    pub annotations: BTreeMap<String, String>,
    /// Whether a rollout may remove pods that fail, so that the controller creates others.
    pub removes_failed: bool,
    /// Whether a rollout may keep pods that fail, apart from the others.
    pub keeps_failed: bool,
}
