//! What goes wrong between a client and the cluster, and what others do to it.
//!
//! A test sets the door while the cluster runs.

use std::time::Duration;

use serde_json::Value;

use super::object_kind::ObjectKind;

/// One request, as faults and the log of calls see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiCall {
    /// When it came.
    pub at: Duration,
    /// Its number, from 1.
    pub number: usize,
    /// The verb of authorization: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`.
    pub verb: &'static str,
    /// What it is about: `deployments`, or the path for what is no resource.
    pub resource: String,
    /// `status`, `scale`, or the empty text.
    pub subresource: String,
    /// The namespace.
    pub namespace: String,
    /// The name; empty for lists.
    pub name: String,
    /// Whether it is a dry run.
    pub dry_run: bool,
    /// The status code of the answer.
    pub status: u16,
}

impl ApiCall {
    /// Returns whether the call may change something.
    pub fn is_write(&self) -> bool {
        !self.dry_run && matches!(self.verb, "create" | "update" | "patch" | "delete")
    }
}

/// Which requests. What is left out is any.
#[derive(Clone, Debug, Default)]
pub struct Matching {
    /// The number of the request, from 1.
    pub number: Option<usize>,
    /// The verb.
    pub verb: Option<&'static str>,
    /// The resource: `deployments`.
    pub resource: Option<&'static str>,
    /// The name.
    pub name: Option<String>,
    /// Whether it is a dry run.
    pub dry_run: Option<bool>,
    /// From this time on.
    pub from: Option<Duration>,
    /// Until before this time.
    pub until: Option<Duration>,
}

impl Matching {
    /// Those of a verb on a resource.
    pub fn of(verb: &'static str, resource: &'static str) -> Self {
        Self { verb: Some(verb), resource: Some(resource), ..Self::default() }
    }

    /// The request of a number.
    pub fn number(number: usize) -> Self {
        Self { number: Some(number), ..Self::default() }
    }

    /// Returns whether a call is one of them.
    pub fn matches(&self, call: &ApiCall) -> bool {
        self.number.is_none_or(|number| number == call.number)
            && self.verb.is_none_or(|verb| verb == call.verb)
            && self.resource.is_none_or(|resource| resource == call.resource)
            && self.name.as_ref().is_none_or(|name| *name == call.name)
            && self.dry_run.is_none_or(|dry_run| dry_run == call.dry_run)
            && self.from.is_none_or(|from| from <= call.at)
            && self.until.is_none_or(|until| call.at < until)
    }
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq)]
pub enum ApiFault {
    /// 429 with `Retry-After` in seconds.
    TooManyRequests(u64),
    /// 500, without an effect.
    InternalError,
    /// 503, without an effect.
    Unavailable,
    /// 504 after the effect.
    Timeout,
    /// The connection is closed before the effect.
    DroppedBefore,
    /// The connection is closed after the effect.
    DroppedAfter,
    /// The answer comes late. The effect does not.
    Slow(Duration),
    /// Lists and gets are answered as of so long ago.
    Stale(Duration),
    /// 410 for a watch, or for a list that is continued.
    Gone,
    /// An admission webhook refuses: its name and its sentence.
    Webhook(String, String),
    /// Any refusal: code, reason and message.
    ApiResponse(u16, &'static str, String),
}

/// A fault and the requests that have it.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Which requests.
    pub matching: Matching,
    /// How often, at most.
    pub times: usize,
    /// What happens.
    pub fault: ApiFault,
}

impl Rule {
    /// A fault of all matching requests.
    pub fn always(matching: Matching, fault: ApiFault) -> Self {
        Self { matching, times: usize::MAX, fault }
    }

    /// A fault of the first matching request only.
    pub fn once(matching: Matching, fault: ApiFault) -> Self {
        Self { matching, times: 1, fault }
    }
}

/// A resource quota on the pods of a namespace.
#[derive(Clone, Debug)]
pub struct Quota {
    /// Its name.
    pub name: String,
    /// The namespace.
    pub namespace: String,
    /// How many pods there may be, those that end included.
    pub pods: usize,
}

/// What somebody else does at a time.
#[derive(Clone, Debug)]
pub struct ThirdPartyWrite {
    /// When.
    pub at: Duration,
    /// Who, as in `managedFields`.
    pub manager: String,
    /// To an object of this kind.
    pub kind: ObjectKind,
    /// In this namespace.
    pub namespace: String,
    /// Of this name.
    pub name: String,
    /// By this strategic merge patch; null deletes the object.
    pub patch: Value,
}

impl ThirdPartyWrite {
    /// An autoscaler that sets the number of replicas.
    pub fn scale(at: Duration, namespace: &str, name: &str, replicas: i64) -> Self {
        let patch = serde_json::json!({"spec": {"replicas": replicas}});
        let manager = "kube-controller-manager";
        Self::patch(at, manager, namespace, name, patch)
    }

    /// Another manager that sets the image of a container.
    pub fn image(
        at: Duration,
        manager: &str,
        namespace: &str,
        name: &str,
        container: &str,
        image: &str,
    ) -> Self {
        let containers = serde_json::json!([{"name": container, "image": image}]);
        let patch = serde_json::json!({"spec": {"template": {"spec": {"containers": containers}}}});
        Self::patch(at, manager, namespace, name, patch)
    }

    /// A manager that patches a Deployment.
    pub fn patch(at: Duration, manager: &str, namespace: &str, name: &str, patch: Value) -> Self {
        Self {
            at,
            manager: manager.to_owned(),
            kind: ObjectKind::Deployment,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            patch,
        }
    }
}

/// What goes wrong, who may do what, and what others do.
#[derive(Clone, Debug, Default)]
pub struct Door {
    /// The faults; of several that match, all happen, as far as they go together.
    pub rules: Vec<Rule>,
    /// What is forbidden.
    pub denied: Vec<Matching>,
    /// The quota on pods.
    pub quota: Option<Quota>,
    /// Readiness gates that are held: their pods do not become ready.
    pub held_gates: bool,
    /// The readiness gate that is put into pods with an image `gate` (as the webhook of the AWS
    /// Load Balancer Controller does).
    pub readiness_gate: Option<String>,
    /// Nothing that terminates goes: nodes do not answer.
    pub stuck_pods: bool,
}

impl Door {
    /// Returns the faults of a call, each counted.
    pub fn faults(&mut self, call: &ApiCall) -> Vec<ApiFault> {
        let mut faults = Vec::new();
        for rule in &mut self.rules {
            if rule.times > 0 && rule.matching.matches(call) {
                rule.times -= 1;
                faults.push(rule.fault.clone());
            }
        }
        faults
    }

    /// Returns whether a call is forbidden.
    pub fn denies(&self, call: &ApiCall) -> bool {
        self.denied.iter().any(|matching| matching.matches(call))
    }
}
