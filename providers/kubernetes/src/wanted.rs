//! What a document says of a Deployment.

use std::collections::BTreeMap;

/// A Deployment, and what its pods are to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeploymentTarget {
    /// Its namespace; by default that of the context.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// The image of each container, init containers included. Containers that are not named stay as
    /// they are.
    pub images: BTreeMap<String, String>,
    /// Annotations of the pod template, which make a revision, too.
    pub annotations: BTreeMap<String, String>,
}
