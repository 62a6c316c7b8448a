//! Values that a document may choose among.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// How the fleet is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PolicyName {
    /// Every instance in one batch: an outage.
    #[serde(alias = "AllAtOnce")]
    AllAtOnce,
    /// Batch by batch, with that much less capacity meanwhile.
    #[serde(alias = "Rolling")]
    Rolling,
    /// Batch by batch with one batch launched beforehand: capacity never drops.
    #[serde(alias = "RollingWithAdditionalBatch")]
    RollingWithAdditionalBatch,
    /// A whole new set beside the old.
    #[serde(alias = "Immutable")]
    Immutable,
    /// A whole new set, which gets a share of the requests first.
    #[serde(alias = "TrafficSplitting")]
    TrafficSplitting,
    /// A whole new set, to which all requests move at once.
    #[serde(alias = "BlueGreen")]
    BlueGreen,
}

impl PolicyName {
    /// Whether requests are shifted from one target group to a second one.
    pub(crate) fn shifts(self) -> bool {
        matches!(self, PolicyName::TrafficSplitting | PolicyName::BlueGreen)
    }
}

impl JsonSchema for PolicyName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PolicyName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "enum": [
                "all_at_once", "rolling", "rolling_with_additional_batch", "immutable",
                "traffic_splitting", "blue_green", "AllAtOnce", "Rolling",
                "RollingWithAdditionalBatch", "Immutable", "TrafficSplitting", "BlueGreen",
            ],
            "description": "How the fleet is replaced. `all_at_once`: every instance in one \
                batch, an outage. `rolling`: batch by batch, with the capacity of one batch \
                less meanwhile. `rolling_with_additional_batch`: batch by batch with one batch \
                launched beforehand, so that capacity never drops. `immutable`: one new instance, \
                then a whole new set beside the old set, which is terminated when all new \
                instances serve. `traffic_splitting`: a whole new set in a second target group, \
                which gets a share of the requests for a while, then all. `blue_green`: the same, \
                but all requests move at once and the old set is kept for a while. Elastic \
                Beanstalk's spellings are accepted as written.",
        })
    }
}

/// Who replaces the instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EngineName {
    /// This program.
    Rolling,
    /// EC2 Auto Scaling.
    InstanceRefresh,
}

impl JsonSchema for EngineName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "EngineName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": ["rolling", "instance_refresh"] })
    }
}

/// How `batch_size` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BatchSizeType {
    /// Percent of the fleet.
    #[serde(alias = "Percentage")]
    Percentage,
    /// Instances.
    #[serde(alias = "Fixed")]
    Fixed,
}

impl JsonSchema for BatchSizeType {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "BatchSizeType".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "enum": ["percentage", "fixed", "Percentage", "Fixed"],
            "description": "`percentage` of the fleet, or a `fixed` number of instances.",
        })
    }
}

/// What to do when an instance of the new revision fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnFailureName {
    /// Roll back to the last completed revision.
    Rollback,
    /// Wait for a decision.
    Pause,
    /// Restore what the rollout borrowed and leave the instances as they are.
    Stop,
}

impl JsonSchema for OnFailureName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OnFailureName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": ["rollback", "pause", "stop"] })
    }
}

/// What happens at a checkpoint where nobody has decided in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CheckpointDefaultName {
    /// Go on.
    Resume,
    /// Go back to the last completed revision.
    Rollback,
}

impl JsonSchema for CheckpointDefaultName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CheckpointDefaultName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": ["resume", "rollback"] })
    }
}

/// A number of instances, or a percentage of the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub(crate) enum BoundConfig {
    /// Instances.
    Count(u32),
    /// `"25%"`.
    Percentage(String),
}

impl JsonSchema for BoundConfig {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Bound".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["integer", "string"],
            "minimum": 0,
            "pattern": "^[0-9]+%$",
            "description": "A number of instances, or a percentage of the fleet such as `25%`.",
        })
    }
}

/// When a free place is taken again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PacingName {
    /// When the whole batch is done.
    Batch,
    /// At once.
    Continuous,
}

impl JsonSchema for PacingName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PacingName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": ["batch", "continuous"] })
    }
}

/// How a rollout goes through the zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ZonesName {
    /// All at a time.
    Spread,
    /// One after the other.
    OneByOne,
}

impl JsonSchema for ZonesName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ZonesName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": ["spread", "one_by_one"] })
    }
}

/// What to do about instances that are set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SetAsideName {
    /// Replace them anyway.
    Refresh,
    /// Leave them as they are.
    Ignore,
    /// Wait for an hour.
    Wait,
}

impl JsonSchema for SetAsideName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SetAsideName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": ["refresh", "ignore", "wait"] })
    }
}

/// What to do about lifecycle hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LifecycleHooksName {
    /// The recipient of their notification completes them.
    Wait,
    /// The rollout completes them.
    Complete,
}

impl JsonSchema for LifecycleHooksName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "LifecycleHooksName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": ["wait", "complete"] })
    }
}

/// A process of an Auto Scaling group that may be suspended during a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub(crate) enum ProcessName {
    /// Balances the zones by replacing good instances.
    #[serde(rename = "AZRebalance")]
    AzRebalance,
    /// Scaling policies.
    AlarmNotification,
    /// Scheduled scaling. AWS drops actions that fall due while it is suspended.
    ScheduledActions,
    /// Instance refreshes. A refresh that is started meanwhile continues once the rollout is over.
    InstanceRefresh,
}

impl ProcessName {
    /// The processes that are suspended unless the document sets others.
    pub(crate) const ALL: [ProcessName; 4] = [
        ProcessName::AzRebalance,
        ProcessName::AlarmNotification,
        ProcessName::InstanceRefresh,
        ProcessName::ScheduledActions,
    ];

    /// Returns the name that AWS uses.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            ProcessName::AzRebalance => "AZRebalance",
            ProcessName::AlarmNotification => "AlarmNotification",
            ProcessName::InstanceRefresh => "InstanceRefresh",
            ProcessName::ScheduledActions => "ScheduledActions",
        }
    }
}

impl JsonSchema for ProcessName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ProcessName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "enum": ProcessName::ALL.map(ProcessName::as_str),
        })
    }
}
