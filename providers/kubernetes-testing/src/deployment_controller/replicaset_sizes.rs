//! The ReplicaSets of a Deployment, and its arithmetic
//! (`pkg/controller/deployment/util/deployment_util.go`, `pkg/controller/controller_utils.go`).

use std::time::Duration;

use serde_json::Value;

use crate::json_pointer::{at, int, member, text};
use crate::object_kind::ObjectKind;
use crate::object_store::Key;
use crate::workload::{created, replicas};

/// The component that events name.
pub const COMPONENT: &str = "deployment-controller";
/// The annotation with the revision.
pub const REVISION: &str = "deployment.kubernetes.io/revision";
/// The annotation with the revisions that a set had before.
pub const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// The annotation with the replicas that the Deployment asked for when the set was sized.
pub const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
/// The annotation with those and the surge.
pub const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";

/// A ReplicaSet, as far as the controller counts with it.
#[derive(Clone, Debug)]
pub struct Set {
    /// Its key.
    pub key: Key,
    /// Its UID.
    pub uid: String,
    /// When it was made.
    pub created: Duration,
    /// How many pods it is asked for.
    pub asked: i64,
    /// How many pods its status has.
    pub pods: i64,
    /// How many of them are ready.
    pub ready: i64,
    /// How many of them are available.
    pub available: i64,
    /// How many end, where the status says that.
    pub terminating: Option<i64>,
    /// The annotation `desired-replicas`.
    pub desired: Option<i64>,
    /// The annotation `max-replicas`.
    pub max: Option<i64>,
    /// The annotation `revision`, or 0.
    pub revision: i64,
}

impl Set {
    /// Reads a ReplicaSet.
    pub fn read(set: &Value) -> Self {
        let annotation = |key| member(set, "/metadata/annotations", key)?.parse().ok();
        Self {
            key: Key::of(ObjectKind::ReplicaSet, set),
            uid: text(set, "/metadata/uid").to_owned(),
            created: created(set),
            asked: replicas(set),
            pods: int(set, "/status/replicas", 0),
            ready: int(set, "/status/readyReplicas", 0),
            available: int(set, "/status/availableReplicas", 0),
            terminating: at(set, "/status/terminatingReplicas").as_i64(),
            desired: annotation(DESIRED_REPLICAS),
            max: annotation(MAX_REPLICAS),
            revision: annotation(REVISION).unwrap_or(0),
        }
    }
}

/// The sets of a Deployment: the one of its template, if it is there, and the others.
#[derive(Clone, Debug, Default)]
pub struct Sets {
    /// The set of the template.
    pub new: Option<Set>,
    /// All others.
    pub old: Vec<Set>,
}

impl Sets {
    /// Returns all of them.
    pub fn all(&self) -> impl Iterator<Item = &Set> {
        self.old.iter().chain(&self.new)
    }

    /// Returns the sum of a number over all of them.
    pub fn sum(&self, number: impl Fn(&Set) -> i64) -> i64 {
        self.all().map(number).sum()
    }

    /// Returns those that are asked for pods.
    pub fn active(&self) -> Vec<Set> {
        self.all().filter(|set| set.asked > 0).cloned().collect()
    }

    /// Sorts the old ones from oldest to newest (`ReplicaSetsByCreationTimestamp`).
    pub fn sort_old(&mut self) {
        self.old.sort_by_key(older);
    }
}

/// The order of age: by creation, then by name.
pub fn older(set: &Set) -> (Duration, String) {
    (set.created, set.key.name.clone())
}

/// What a Deployment asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// `spec.replicas`.
    pub replicas: i64,
    /// How many pods there may be more (`MaxSurge`).
    pub surge: i64,
    /// How many may be unavailable (`MaxUnavailable`).
    pub unavailable: i64,
    /// Whether the strategy is RollingUpdate.
    pub rolling: bool,
}

impl Wanted {
    /// Reads a Deployment.
    pub fn read(deployment: &Value) -> Self {
        let replicas = replicas(deployment);
        let rolling = text(deployment, "/spec/strategy/type") != "Recreate";
        if !rolling {
            return Self { replicas, surge: 0, unavailable: 0, rolling };
        }
        let strategy = at(deployment, "/spec/strategy/rollingUpdate");
        let surge = scaled(at(strategy, "/maxSurge"), replicas, true);
        let mut unavailable = scaled(at(strategy, "/maxUnavailable"), replicas, false);
        // ResolveFenceposts: both nothing by rounding would go nowhere.
        if surge == 0 && unavailable == 0 {
            unavailable = 1;
        }
        Self { replicas, surge, unavailable: unavailable.min(replicas), rolling }
    }

    /// The most pods.
    pub fn most(self) -> i64 {
        self.replicas + self.surge
    }

    /// The least available pods.
    pub fn least(self) -> i64 {
        self.replicas - self.unavailable
    }
}

/// A number, or a percentage of a total (`GetScaledValueFromIntOrPercent`).
fn scaled(value: &Value, total: i64, up: bool) -> i64 {
    match value {
        Value::String(text) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
            let product = percent * total;
            if up { (product + 99) / 100 } else { product / 100 }
        }
        other => other.as_i64().unwrap_or(0),
    }
}

/// How large the new set is to be (`NewRSNewReplicas`).
pub fn new_size(wanted: Wanted, total: i64, new: i64) -> i64 {
    if !wanted.rolling {
        return wanted.replicas;
    }
    if total >= wanted.most() {
        return new;
    }
    new + (wanted.most() - total).min(wanted.replicas - new)
}

/// How much of a change of the total a set gets (`GetProportion`). `known` is what stands for the
/// total at which the set was sized, where its annotation is missing.
pub fn proportion(set: &Set, wanted: Wanted, to_add: i64, added: i64, known: i64) -> i64 {
    if set.asked == 0 || to_add == 0 || to_add == added {
        return 0;
    }
    let fraction = if wanted.replicas == 0 {
        -set.asked
    } else {
        let before = set.max.unwrap_or(known).max(1);
        let size = (set.asked * wanted.most()) as f64 / before as f64;
        (size + 0.5) as i64 - set.asked
    };
    let allowed = to_add - added;
    if to_add > 0 { fraction.min(allowed) } else { fraction.max(allowed) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wanted(replicas: i64, surge: Value, unavailable: Value) -> Wanted {
        Wanted::read(&json!({"spec": {"replicas": replicas, "strategy": {"type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}}}))
    }

    #[test]
    fn percentages_round_up_and_down() {
        let cases = [
            (wanted(5, json!("30%"), json!(0)), (2, 0)),
            (wanted(5, json!(0), json!("30%")), (0, 1)),
            (wanted(3, json!("0%"), json!("10%")), (0, 1)),
            (wanted(4, json!("25%"), json!("25%")), (1, 1)),
            (wanted(3, json!(0), json!(9)), (0, 3)),
            (wanted(0, json!(1), json!(1)), (1, 0)),
        ];
        for (wanted, expected) in cases {
            assert_eq!((wanted.surge, wanted.unavailable), expected, "{wanted:?}");
        }
    }

    #[test]
    fn a_set_grows_within_the_surge() {
        let wanted = wanted(6, json!(2), json!(0));
        assert_eq!(new_size(wanted, 6, 0), 2);
        assert_eq!(new_size(wanted, 8, 2), 2);
        assert_eq!(new_size(wanted, 6, 2), 4);
        assert_eq!(new_size(wanted, 4, 5), 6);
    }
}
