//! A cluster with one Deployment, and short words for what tests do to it.

use std::time::Duration;

use rolling_kubernetes_testing::{ApiResponse, Cluster, ObjectKind, Settings, SizeWitness, Times};
use serde_json::{Value, json};

/// The time at which clusters begin: 2026-11-26T10:00:00.4Z.
pub const BEGIN: Duration = Duration::from_millis(1_795_687_200_400);
pub const STRATEGIC: (&str, &str) = ("content-type", "application/strategic-merge-patch+json");
pub const MERGE: (&str, &str) = ("content-type", "application/merge-patch+json");
pub const JSON: (&str, &str) = ("content-type", "application/json");
pub const WEB: &str = "/apis/apps/v1/namespaces/shop/deployments/web";

pub fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A Deployment `web` in `shop` of an image.
pub fn manifest(replicas: i64, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "replicas": replicas, "minReadySeconds": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "app", "image": image}]},
            },
        },
    })
}

/// A patch of the image of the container `app`.
pub fn image(image: &str) -> Value {
    json!({"spec": {"template": {"spec": {"containers": [{"name": "app", "image": image}]}}}})
}

/// The same with the strategy and `paused: false`.
pub fn roll(to: &str, surge: Value, unavailable: Value) -> Value {
    let mut patch = image(to);
    patch["spec"]["paused"] = false.into();
    patch["spec"]["strategy"] =
        json!({"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}});
    patch
}

pub fn times() -> Times {
    Times { boot: millis(600), ready: millis(200), drain: millis(500), ..Times::default() }
}

/// A cluster with the Deployment `web` in the namespace `shop`.
#[derive(Clone)]
pub struct Lab {
    pub cluster: Cluster,
    /// When the Deployment was complete.
    pub began: Duration,
}

impl Lab {
    /// Six replicas of `web:v1`, complete.
    pub fn new() -> Self {
        Self::of(manifest(6, "web:v1"), 1)
    }

    pub fn seeded(seed: u64) -> Self {
        Self::of(manifest(6, "web:v1"), seed)
    }

    pub fn of(deployment: Value, seed: u64) -> Self {
        let settings = Settings { seed, times: times(), ..Settings::default() };
        let mut cluster = Cluster::new(settings, BEGIN);
        cluster.seed(deployment).expect("a kind that is served");
        let mut lab = Self { cluster, began: BEGIN };
        lab.until(60, Self::is_complete);
        lab.cluster.advance(seconds(5));
        lab.began = lab.cluster.now();
        lab
    }

    pub fn get(&self) -> Value {
        self.web().clone()
    }

    fn web(&self) -> &Value {
        self.cluster.get(ObjectKind::Deployment, "shop", "web").expect("the Deployment")
    }

    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        header: (&str, &str),
        body: &Value,
    ) -> ApiResponse {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        self.cluster.request(method, path, query, &[header], &body)
    }

    pub fn read(&mut self, path: &str) -> Value {
        self.request("GET", path, JSON, &Value::Null).body
    }

    /// Patches the Deployment, and returns the answer's body.
    pub fn patch(&mut self, patch: &Value) -> Value {
        let answer =
            self.request("PATCH", &format!("{WEB}?fieldManager=rolling"), STRATEGIC, patch);
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }

    pub fn refused(&mut self, patch: &Value) -> String {
        let answer = self.request("PATCH", WEB, STRATEGIC, patch);
        assert_eq!(answer.status, 422, "{}", answer.body);
        answer.body["message"].as_str().expect("a message").to_owned()
    }

    /// Lets time pass until something is so, and returns how long that took.
    pub fn until(&mut self, limit: u64, is: impl Fn(&Self) -> bool) -> Duration {
        let begin = self.cluster.now();
        let end = begin + seconds(limit);
        while !is(self) {
            let Some(due) = self.cluster.next_due().filter(|due| *due <= end) else {
                panic!("not within {limit} s: {:#}", self.get()["status"]);
            };
            self.cluster.advance_to(due);
        }
        self.cluster.now() - begin
    }

    pub fn reaches(&mut self, new: i64, old: i64) {
        self.until(60, |lab| lab.sizes() == (new, old));
    }

    /// Holds as soon as the new set is asked for so many and all add up to so many, by looking
    /// every 200 ms.
    pub fn hold_at(&mut self, new: i64, all: i64) {
        for _ in 0..300 {
            self.cluster.advance(millis(200));
            let (found, old) = self.sizes();
            if found == new && found + old == all {
                self.patch(&json!({"spec": {"paused": true}}));
                return;
            }
        }
        panic!("not held: {:?}", self.sizes());
    }

    pub fn settle(&mut self) {
        self.cluster.advance(seconds(10));
    }

    /// What is asked of the set with the template, and of the others.
    pub fn sizes(&self) -> (i64, i64) {
        let last = self.cluster.timeline().of("shop", "web").last().expect("a moment");
        last.new_and_old(|set| set.asked)
    }

    pub fn available_of_new(&self) -> i64 {
        let last = self.cluster.timeline().of("shop", "web").last().expect("a moment");
        last.new_and_old(|set| set.available).0
    }

    pub fn is_complete(&self) -> bool {
        let object = self.web();
        let status = |key: &str| object["status"][key].as_i64().unwrap_or(0);
        let replicas = object["spec"]["replicas"].as_i64().unwrap_or(1);
        object["metadata"]["generation"] == object["status"]["observedGeneration"]
            && ["replicas", "updatedReplicas", "availableReplicas"]
                .iter()
                .all(|key| status(key) == replicas)
    }

    pub fn reason(&self) -> String {
        condition(self.web(), "Progressing")["reason"].as_str().unwrap_or_default().to_owned()
    }

    pub fn witness(&self) -> SizeWitness<'_> {
        SizeWitness::new(self.cluster.timeline(), "shop", "web", self.began)
    }

    pub fn sets(&self) -> Vec<Value> {
        self.cluster.list(ObjectKind::ReplicaSet, "shop")
    }

    pub fn pods(&self) -> Vec<Value> {
        self.cluster.list(ObjectKind::Pod, "shop")
    }

    /// Returns the set of an image.
    pub fn set_of(&self, image: &str) -> Value {
        let is = |set: &Value| set["spec"]["template"]["spec"]["containers"][0]["image"] == image;
        self.sets().into_iter().find(is).expect("a set")
    }

    pub fn pods_of(&self, image: &str) -> Vec<Value> {
        let mut pods = self.pods();
        pods.retain(|pod| pod["spec"]["containers"][0]["image"] == image);
        pods
    }

    /// The messages of Warning events with a reason.
    pub fn warnings(&self, reason: &str) -> Vec<String> {
        let mut events = self.cluster.list(ObjectKind::Event, "shop");
        events.retain(|event| event["type"] == "Warning" && event["reason"] == reason);
        events
            .iter()
            .map(|event| event["message"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// `kubectl rollout undo`: to the second highest revision, by a JSON patch.
    pub fn undo(&mut self) {
        let revision = |set: &Value| -> i64 {
            let text = set["metadata"]["annotations"]["deployment.kubernetes.io/revision"].as_str();
            text.and_then(|text| text.parse().ok()).unwrap_or(0)
        };
        let mut sets = self.sets();
        sets.sort_by_key(revision);
        let before = sets[sets.len() - 2].clone();
        let mut template = before["spec"]["template"].clone();
        template["metadata"]["labels"].as_object_mut().expect("labels").remove("pod-template-hash");
        let patch = json!([{"op": "replace", "path": "/spec/template", "value": template}]);
        let answer =
            self.request("PATCH", WEB, ("content-type", "application/json-patch+json"), &patch);
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
}

pub fn condition(object: &Value, kind: &str) -> Value {
    let none = Vec::new();
    let all = object["status"]["conditions"].as_array().unwrap_or(&none);
    all.iter().find(|condition| condition["type"] == kind).cloned().unwrap_or(Value::Null)
}
