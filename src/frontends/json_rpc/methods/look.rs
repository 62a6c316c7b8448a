//! Methods that only look: `resource.plan`, `resource.read`, `resource.import` and
//! `resource.status`.

use std::collections::BTreeSet;

use rolling_provider::{DelegatedRollout, ErrorKind, Tags};
use serde_json::Value;

use super::super::messages as m;
use super::super::wire::RpcError;
use super::{
    PeerSettings, check_state, check_target_of, check_type, check_unknown, replaced_paths, write,
};
use crate::deployment::resource_state::{self, KnownBy};
use crate::deployment::schema::DeploymentState;
use crate::deployment::{OpenError, config_to_look_with};
use crate::document::{self, Diagnostic, normalised};
use crate::engine::{Caller, Rollout};
use crate::record::Record;

impl PeerSettings {
    pub(super) async fn plan(&self, params: m::PlanParams) -> Result<Value, RpcError> {
        check_type(&params.kind)?;
        check_state::<DeploymentState>("prior", &params.prior)?;
        check_unknown(&params.unknown)?;
        let (config, prior) = (Value::Object(params.config), &params.prior);
        let unknown: BTreeSet<&str> = params.unknown.iter().map(String::as_str).collect();
        if !unknown.is_empty() {
            let found = document::partial(&config, &params.unknown);
            return write(&match found.is_empty() {
                true => all_unknown(&config, prior, &unknown),
                false => refused(found),
            });
        }
        let replaces = replaced_paths(prior, &config, &BTreeSet::new());
        // The state of one target says nothing about another.
        let known = if replaces.is_empty() { prior } else { &Value::Null };
        let rollout = match self.prepare(&config, &self.looker(known)).await {
            Ok(rollout) => rollout,
            Err(looked) => return write(&refused(looked.into_diagnostics())),
        };
        let preview = rollout.preview();
        let same = !prior.is_null()
            && normalised(&resource_state::config_of(prior)) == normalised(&config);
        let action = match (prior.is_null(), same && !preview.changes) {
            (true, _) => m::PlanAction::Create,
            (false, true) => m::PlanAction::None,
            (false, false) => m::PlanAction::Update,
        };
        let unknown = match preview.changes {
            true => {
                resource_state::computed(KnownBy::Outcome).map(|name| format!("/{name}")).collect()
            }
            false => Vec::new(),
        };
        let hash = resource_state::plan_hash(&config, rollout.wanted());
        let warnings = preview.warnings.iter().map(|message| Diagnostic::warning("", message));
        write(&m::PlanResult {
            action: Some(action),
            planned: resource_state::planned(&config, &rollout),
            unknown,
            requires_replace: replaces,
            batches: Some(resource_state::sizes(&preview)),
            private: Some(m::Private { plan_hash: Some(hash.clone()) }),
            plan_hash: Some(hash),
            diagnostics: warnings.collect(),
        })
    }

    pub(super) async fn read(&self, params: m::ReadParams) -> Result<Value, RpcError> {
        check_type(&params.kind)?;
        let prior = Value::Object(params.prior);
        let config = config_to_look_with(&resource_state::config_of(&prior));
        check_target_of(&prior)?;
        let answer = match self.look(&config, &self.looker(&prior)).await {
            Ok(rollout) => {
                let state = resource_state::refreshed(&prior, &rollout);
                m::StateResult { state, diagnostics: Vec::new() }
            }
            Err(looked) => unreachable_state(looked, prior),
        };
        write(&answer)
    }

    pub(super) async fn import(&self, params: m::ImportParams) -> Result<Value, RpcError> {
        check_type(&params.kind)?;
        let found = match self.providers.import(&params.id).await {
            Ok(config) => {
                let looked =
                    self.look(&config_to_look_with(&config), &self.looker(&Value::Null)).await;
                looked.map(|rollout| resource_state::current(&config, &rollout))
            }
            Err(error) => Err(OpenError::Provider(error)),
        };
        write(&match found {
            Ok(state) => m::StateResult { state, diagnostics: Vec::new() },
            Err(looked) => {
                m::StateResult { state: Value::Null, diagnostics: looked.into_diagnostics() }
            }
        })
    }

    pub(super) async fn status(&self, params: m::StatusParams) -> Result<Value, RpcError> {
        check_type(&params.kind)?;
        let config = Value::Object(params.config);
        write(&match self.look(&config, &self.looker(&Value::Null)).await {
            Ok(rollout) => m::StatusResult {
                record: view(&rollout),
                instances: Some(rollout.instances()),
                waiting_on: rollout.waits(),
                diagnostics: Vec::new(),
            },
            Err(looked) => m::StatusResult {
                waiting_on: Vec::new(),
                record: None,
                instances: None,
                diagnostics: looked.into_diagnostics(),
            },
        })
    }

    /// Returns a caller that begins no rollout.
    fn looker(&self, prior: &Value) -> Caller {
        let (completed, previous) = resource_state::stored_revisions(prior);
        Caller { completed, previous, ..self.caller.clone() }
    }
}

/// Returns the record, or else the platform's own rollout, that the look found.
pub(super) fn view(rollout: &Rollout) -> Option<m::RecordView> {
    let owner = rollout.lease().map(|lease| lease.owner);
    let of_record = rollout.record().map(|record| view_of(record, owner));
    of_record.or_else(|| {
        rollout.delegated_rollout().map(|delegated| view_of_delegated(rollout, delegated))
    })
}

/// Converts a rollout of the platform's own, which needs no record, for the peer.
fn view_of_delegated(rollout: &Rollout, delegated: &DelegatedRollout) -> m::RecordView {
    m::RecordView {
        rollout: delegated.id.clone(),
        status: crate::rollout::delegated::status(delegated).into(),
        reason: delegated.rollback_reason.clone().or(delegated.reason.clone()),
        to: delegated.to.as_ref().map_or(String::new(), ToString::to_string),
        completed_revision: rollout.completed().map(|revision| revision.to_string()),
        started: delegated.started.0,
        size: rollout.size(),
        failures: 0,
        owner: (!delegated.state.is_over()).then(|| rollout.platform().into()),
        tags: Tags::new(),
    }
}

/// Converts a record for the peer.
pub(super) fn view_of(record: &Record, owner: Option<String>) -> m::RecordView {
    m::RecordView {
        rollout: record.id.clone(),
        status: record.status().into(),
        reason: record.reason.clone(),
        to: record.to.to_string(),
        completed_revision: record.completed.as_ref().map(ToString::to_string),
        started: record.started.0,
        size: record.size,
        failures: record.failures,
        owner,
        tags: record.tags(),
    }
}

/// Returns the answer when the target cannot be looked at: a null state if it is gone.
pub(super) fn unreachable_state(looked: OpenError, prior: Value) -> m::StateResult {
    match looked {
        OpenError::Provider(error) if error.kind == ErrorKind::Missing => {
            m::StateResult { state: Value::Null, diagnostics: Vec::new() }
        }
        looked => m::StateResult { state: prior, diagnostics: looked.into_diagnostics() },
    }
}

fn refused(diagnostics: Vec<Diagnostic>) -> m::PlanResult {
    m::PlanResult {
        action: None,
        planned: Value::Null,
        unknown: Vec::new(),
        requires_replace: Vec::new(),
        batches: Some(Vec::new()),
        private: None,
        plan_hash: None,
        diagnostics,
    }
}

/// Returns a plan for a configuration that is partly unknown, for which no cloud can be asked.
fn all_unknown(config: &Value, prior: &Value, unknown: &BTreeSet<&str>) -> m::PlanResult {
    let computed = resource_state::COMPUTED.iter().map(|name| format!("/{name}"));
    let action = if prior.is_null() { m::PlanAction::Create } else { m::PlanAction::Update };
    m::PlanResult {
        action: Some(action),
        planned: resource_state::unknown(config),
        unknown: unknown.iter().map(|pointer| (*pointer).to_owned()).chain(computed).collect(),
        requires_replace: replaced_paths(prior, config, unknown),
        batches: None,
        private: None,
        plan_hash: None,
        diagnostics: Vec::new(),
    }
}
