//! What subcommands print with `--output json`. Their schemas are in `schemas/cli_*.json`; what
//! `apply` prints are events.

use std::borrow::Cow;

use rolling_provider::{InstanceId, Revision, Tags, Timestamp};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

use crate::document::{Diagnostic, Position};
use crate::model::event::{DelegatedRolloutReport, Envelope, InstanceReport};
use crate::model::preview::Preview;
use crate::model::wait::Wait;
use crate::record::command::Command;

/// A finding, with its place in the file where it has one.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Located {
    #[serde(flatten)]
    pub(crate) finding: Diagnostic,
    /// Its line in the file, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default)]
    pub(crate) line: Option<usize>,
    /// Its column, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default)]
    pub(crate) column: Option<usize>,
}

impl Located {
    /// Returns `finding` at `position`.
    pub(crate) fn new(finding: Diagnostic, position: Option<Position>) -> Self {
        let (line, column) = (position.map(|at| at.line), position.map(|at| at.column));
        Self { finding, line, column }
    }
}

/// What `validate` prints, and every subcommand that cannot begin.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ValidateAnswer {
    /// Whether the document can be used.
    pub(crate) valid: bool,
    /// Errors and warnings, each with its place.
    pub(crate) diagnostics: Vec<Located>,
}

/// What `plan` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PlanAnswer {
    /// Whether an apply would do anything.
    pub(crate) changes: bool,
    /// The plan of each deployment.
    pub(crate) resources: Vec<PlannedDeployment>,
}

/// The plan of one deployment.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PlannedDeployment {
    /// Its name in the document.
    pub(crate) resource: String,
    /// What an apply would do.
    pub(crate) plan: Preview,
}

/// What `status` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct StatusAnswer {
    /// The status of each deployment.
    pub(crate) resources: Vec<DeploymentStatus>,
}

/// The status of one deployment.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DeploymentStatus {
    /// Its name in the document.
    pub(crate) resource: String,
    /// The revision that the document wants.
    pub(crate) to: Revision,
    /// The last revision that the whole fleet is known to have run.
    pub(crate) completed: Option<Revision>,
    /// How far the rollout on the target is, or how it ended; null when the fleet itself shows it.
    pub(crate) status: Option<&'static str>,
    /// The engine at work.
    pub(crate) owner: Option<String>,
    /// When that engine last renewed its lease, in milliseconds since the Unix epoch.
    pub(crate) last_sign_of_life: Option<Timestamp>,
    /// The tags of the record on the target.
    pub(crate) record: Option<Tags>,
    /// The latest instance refresh, where EC2 Auto Scaling replaces the instances.
    pub(crate) delegated_rollout: Option<DelegatedRolloutReport>,
    /// Every instance, with the revision that it runs.
    pub(crate) instances: Vec<InstanceReport>,
    /// Instances that a rollout leaves as they are.
    pub(crate) left_alone: Vec<InstanceId>,
    /// What the rollout waits for, by the engine at work. With none at work: what the next apply
    /// would wait for.
    pub(crate) waiting_on: Vec<Wait>,
}

/// What `doctor` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DoctorAnswer {
    /// Whether nothing blocks a rollout.
    pub(crate) healthy: bool,
    /// The findings about each deployment.
    pub(crate) resources: Vec<ExaminedDeployment>,
}

/// The findings about one deployment.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ExaminedDeployment {
    /// Its name in the document.
    pub(crate) resource: String,
    /// Errors and warnings, each with its place.
    pub(crate) diagnostics: Vec<Located>,
    /// Calls that nothing can try without doing them.
    pub(crate) untried: Vec<&'static str>,
}

/// What `convert` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ConvertAnswer {
    /// The document, in Terraform's JSON syntax.
    pub(crate) document: serde_json::Value,
    /// What has no equivalent in it, and what is to be filled in; each with its place in the input.
    pub(crate) warnings: Vec<Located>,
}

/// What `pause`, `resume`, `abort` and `rollback` print for each deployment, after the events of
/// what they carry out themselves.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CommandAnswer {
    /// The deployment's name in the document.
    pub(crate) resource: String,
    /// The command.
    pub(crate) command: Command,
    /// What became of it, as sentences.
    pub(crate) message: String,
    /// Whether it had its effect.
    pub(crate) as_asked: bool,
}

/// What `apply` prints of a deployment that it does not begin since one before did not succeed.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct NotBegun {
    /// Its name in the document.
    pub(crate) resource: String,
    /// `not_begun`.
    pub(crate) status: &'static str,
}

/// The schema of each line that `apply` prints: an event with the name of its deployment, or the
/// end of what is not begun.
pub(crate) struct ApplyLine;

impl JsonSchema for ApplyLine {
    fn schema_name() -> Cow<'static, str> {
        "ApplyLine".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let event = generator.subschema_for::<Envelope>();
        let resource = generator.subschema_for::<String>();
        schemars::json_schema!({ "anyOf": [
            { "allOf": [event], "properties": { "resource": resource }, "required": ["resource"] },
            generator.subschema_for::<NotBegun>(),
        ] })
    }
}

/// The schema of what a subcommand prints: a `T`, or what it prints when it cannot begin.
pub(crate) struct OrRefused<T>(std::marker::PhantomData<T>);

impl<T: JsonSchema> JsonSchema for OrRefused<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("{}OrRefused", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let either = [generator.subschema_for::<T>(), generator.subschema_for::<ValidateAnswer>()];
        schemars::json_schema!({ "anyOf": either })
    }
}
