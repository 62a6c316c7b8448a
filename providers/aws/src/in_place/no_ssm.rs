//! Stands in for `ssm.rs` in a build without Systems Manager: no revision is ever resolved, so
//! nothing else is ever called.

use std::collections::{BTreeMap, BTreeSet};

use rolling_provider::{InstanceId, ProviderError, Revision, UpdateState};

use super::Updates;
use super::run_command::{BASE, RunCommand, parse};
use crate::connect::Aws;

fn cannot() -> ProviderError {
    let message = "this build of rolling has no Systems Manager in it";
    let error = ProviderError::invalid("run a command", BASE, message);
    error.with_remedy("build it with the feature `ssm`, which is on by default")
}

impl RunCommand {
    pub(super) async fn resolve(&self, _: &Aws) -> Result<Revision, ProviderError> {
        self.revision(&self.version).and(Err(cannot()))
    }
}

pub(super) async fn refuse_unmanaged(_: &Aws, _: &[String]) -> Result<(), ProviderError> {
    Err(cannot())
}

impl Updates {
    pub(super) async fn send(
        &self,
        _: &Aws,
        command: &RunCommand,
        _: &[String],
        (to, token): (&Revision, &str),
        _: &mut BTreeSet<String>,
    ) -> Result<(), ProviderError> {
        let is_one = parse(to.as_str()).is_some();
        tracing::debug!(timeout = ?command.timeout, is_one, token, "cannot send");
        Err(cannot())
    }

    pub(super) async fn cancel(
        &self,
        _: &Aws,
        _: &BTreeSet<InstanceId>,
        _: &str,
    ) -> Result<(), ProviderError> {
        Err(cannot())
    }

    pub(super) async fn invocations(
        &self,
        _: &Aws,
        _: &BTreeMap<&str, BTreeSet<InstanceId>>,
    ) -> Result<BTreeMap<InstanceId, UpdateState>, ProviderError> {
        Err(cannot())
    }
}
