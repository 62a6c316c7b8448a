//! Checks whether Kubernetes allows what a rollout does: it says so without trying.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Api;
use kube::api::PostParams;
use rolling_provider::{Effect, ErrorKind, Examination, ProviderError};

use crate::error::from_kube;
use crate::fleet::WorkloadFleet;
use crate::workload_kind::WorkloadKind;

/// When a rollout does something.
#[derive(Clone, Copy)]
enum When {
    Always,
    /// It rolls a workload of this kind.
    Of(WorkloadKind),
    /// It may remove pods.
    Removes,
    /// It may keep pods that fail.
    Keeps,
}

/// What a rollout does: when, verbs, and the group and name of a resource. docs/kubernetes-role.yaml
/// grants the same.
const NEEDED: [(When, &[&str], &str, &str); 9] = [
    (When::Of(WorkloadKind::Deployment), &["get", "patch"], "apps", "deployments"),
    (When::Of(WorkloadKind::Deployment), &["list"], "apps", "replicasets"),
    (When::Of(WorkloadKind::StatefulSet), &["get", "patch"], "apps", "statefulsets"),
    (When::Of(WorkloadKind::StatefulSet), &["list"], "apps", "controllerrevisions"),
    (When::Always, &["list"], "", "pods"),
    (When::Removes, &["delete"], "", "pods"),
    (When::Keeps, &["patch"], "", "pods"),
    (When::Always, &["list"], "", "events"),
    (When::Always, &["get", "create", "patch", "delete"], "coordination.k8s.io", "leases"),
];

impl WorkloadFleet {
    pub(crate) async fn look_for_trouble(&self) -> Examination {
        let mut found = Examination::default();
        for (when, verbs, group, resource) in NEEDED {
            for verb in verbs.iter().filter(|_| self.does(when)) {
                found.errors.extend(self.may(verb, group, resource).await);
            }
        }
        let look = match self.look().await {
            Ok(look) => look,
            Err(error) => {
                found.errors.push(error);
                return found;
            }
        };
        if let Err(error) = self.refuse(&look.workload) {
            found.errors.push(error);
            return found;
        }
        self.saw(|last| *last = Some(look.clone()));
        found.errors.extend(self.refuse_foreign_pause().await.err());
        // Validation and admission speak before anything is touched.
        let to = self.target.revision();
        let tried = match self.spec(&look, Some(&to), None, None) {
            Ok(spec) => self.change(&look, spec, true).await,
            Err(error) => Err(error),
        };
        found.errors.extend(tried.err());
        found
    }

    fn does(&self, when: When) -> bool {
        match when {
            When::Always => true,
            When::Of(kind) => self.target.kind == kind,
            // The controller waits for a pod that never becomes ready until that is removed.
            When::Removes => {
                self.target.removes_failed || self.target.kind == WorkloadKind::StatefulSet
            }
            When::Keeps => self.target.keeps_failed,
        }
    }

    /// Returns the name of the object that `verb` is about, where there is one: a Role may be restricted
    /// to it.
    fn object(&self, verb: &str, resource: &str) -> Option<String> {
        match (verb, resource) {
            ("get" | "patch", of) if of == self.target.kind.resource() => {
                Some(self.target.name.clone())
            }
            ("get" | "patch" | "delete", "leases") => Some(self.lease.clone()),
            _ => None,
        }
    }

    /// Returns what is wrong where the caller may not do this.
    async fn may(&self, verb: &str, group: &str, resource: &str) -> Option<ProviderError> {
        let reviews: Api<SelfSubjectAccessReview> = Api::all(self.api.client.clone());
        let attributes = ResourceAttributes {
            namespace: Some(self.api.namespace.clone()),
            verb: Some(verb.into()),
            group: Some(group.into()),
            resource: Some(resource.into()),
            name: self.object(verb, resource),
            ..ResourceAttributes::default()
        };
        let spec = SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        };
        let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
        match reviews.create(&PostParams::default(), &review).await {
            Ok(answer) if answer.status.as_ref().is_some_and(|status| status.allowed) => None,
            Ok(answer) => {
                let why = answer.status.and_then(|status| status.reason).unwrap_or_default();
                let why = if why.is_empty() { String::new() } else { format!(": {why}") };
                let namespace = &self.api.namespace;
                Some(ProviderError {
                    kind: ErrorKind::Denied,
                    effect: Effect::NotApplied,
                    ..ProviderError::invalid(
                        format!("{} {resource}", verb.to_uppercase()),
                        self.place("namespace"),
                        format!("not allowed in namespace {namespace}{why}"),
                    )
                    .with_remedy("grant what docs/kubernetes-role.yaml lists")
                })
            }
            Err(error) => Some(from_kube("POST selfsubjectaccessreviews", &error, false)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tests on a real control plane roll as a user who has this role and nothing else.
    #[test]
    fn the_role_grants_what_is_asked_for() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/kubernetes-role.yaml");
        let role = std::fs::read_to_string(file).expect("the role");
        for (_, verbs, group, resource) in NEEDED {
            let group = if group.is_empty() { "\"\"" } else { group };
            let rule = format!(
                "- apiGroups: [{group}]\n    resources: [{resource}]\n    verbs: [{}]\n",
                verbs.join(", ")
            );
            assert!(role.contains(&rule), "{rule}");
        }
    }
}
