//! Begins, follows and confirms updates in place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use aws_sdk_ec2::types::Tag;
use rolling_provider::{
    Action, Effect, InstanceId, Lifecycle, Observation, ProviderError, Revision, Update,
    UpdateState,
};
use tokio::sync::OnceCell;

use crate::InPlaceMethod;
use crate::connect::Aws;
use crate::error::from_sdk;
use crate::in_place::{InstanceDescription, REVISION, UPDATING, Updates, run_command, ssm, volume};
use crate::keys::FAILED;

impl Updates {
    pub(crate) fn new(method: InPlaceMethod) -> Self {
        Updates {
            method,
            wanted: OnceCell::new(),
            commands: Mutex::default(),
            at_work: Mutex::default(),
        }
    }

    /// Returns the wanted revision, by number.
    ///
    /// # Errors
    /// When it does not exist, at its attribute.
    pub(crate) async fn wanted(&self, aws: &Aws) -> Result<Revision, ProviderError> {
        let look = || async {
            match &self.method {
                InPlaceMethod::RunCommand(command) => command.resolve(aws).await,
                InPlaceMethod::ReplaceRootVolume { image_id } => {
                    aws.usable_image(image_id, volume::IMAGE).await?;
                    Ok(Revision::new(image_id.as_str()))
                }
            }
        };
        self.wanted.get_or_try_init(look).await.cloned()
    }

    /// # Errors
    /// When one of the instances in `look` cannot be updated.
    pub(crate) async fn refuse(&self, aws: &Aws, look: &Observation) -> Result<(), ProviderError> {
        let run = look.instances.iter().filter(|(_, instance)| {
            instance.lifecycle == Lifecycle::InService && !instance.ignored
        });
        let ids: Vec<String> = run.map(|(id, _)| id.to_string()).collect();
        match &self.method {
            InPlaceMethod::RunCommand(_) => ssm::refuse_unmanaged(aws, &ids).await,
            InPlaceMethod::ReplaceRootVolume { image_id } => {
                volume::refuse_other_kinds(aws, &ids, image_id).await
            }
        }
    }

    /// Returns the calls that cannot be tried without making them.
    pub(crate) fn untried(&self) -> &'static [&'static str] {
        match &self.method {
            InPlaceMethod::RunCommand(_) => {
                &["ec2:DeleteTags", "ssm:CancelCommand", "ssm:SendCommand"]
            }
            InPlaceMethod::ReplaceRootVolume { .. } => {
                &["ec2:CreateReplaceRootVolumeTask", "ec2:DeleteTags"]
            }
        }
    }

    /// Adds what is known of updates to a look.
    pub(crate) async fn show(
        &self,
        aws: &Aws,
        shown: &BTreeMap<InstanceId, InstanceDescription>,
        look: &mut Observation,
    ) -> Result<(), ProviderError> {
        let mut marked: BTreeMap<&str, BTreeSet<InstanceId>> = BTreeMap::new();
        for (id, instance) in &mut look.instances {
            let Some(shown) = shown.get(id) else { continue };
            instance.revision = self.revision(shown);
            if let Some((token, _)) = shown.update().filter(|_| instance.lifecycle.is_live()) {
                marked.entry(token).or_default().insert(id.clone());
            }
        }
        let states = match &self.method {
            _ if marked.is_empty() => BTreeMap::new(),
            InPlaceMethod::RunCommand(_) => self.invocations(aws, &marked).await?,
            InPlaceMethod::ReplaceRootVolume { .. } => volume::tasks(aws, &marked).await?,
        };
        let mut at_work = BTreeMap::new();
        for (token, ids) in &marked {
            for id in ids {
                let (Some(instance), Some(shown)) = (look.instances.get_mut(id), shown.get(id))
                else {
                    continue;
                };
                let Some((_, to)) = shown.update() else { continue };
                let state = states.get(id).cloned();
                if state.as_ref().is_some_and(|state| *state == UpdateState::Running) {
                    at_work.insert(id.clone(), (*token).to_owned());
                }
                let state = state.unwrap_or(UpdateState::Marked);
                instance.update = Some(Update { to, token: (*token).to_owned(), state });
            }
        }
        *self.at_work.lock().unwrap_or_else(PoisonError::into_inner) = at_work;
        Ok(())
    }

    /// Returns what an instance runs. An image is what it was launched from, unless it got another.
    fn revision(&self, shown: &InstanceDescription) -> Option<Revision> {
        let tagged = shown.revision.as_deref();
        match &self.method {
            // Of any document: a rollback may go back to an earlier one.
            InPlaceMethod::RunCommand(_) => {
                tagged.filter(|tagged| run_command::parse(tagged).is_some()).map(Revision::new)
            }
            InPlaceMethod::ReplaceRootVolume { .. } => {
                let image = tagged.filter(|tagged| tagged.starts_with("ami-"));
                image.or(shown.image.as_deref()).map(Revision::new)
            }
        }
    }

    /// Marks `instances`, then begins their update.
    async fn begin(
        &self,
        aws: &Aws,
        instances: &BTreeSet<InstanceId>,
        to: &Revision,
        token: &str,
    ) -> Result<(), ProviderError> {
        let ids: Vec<String> = instances.iter().map(ToString::to_string).collect();
        if let InPlaceMethod::RunCommand(_) = &self.method {
            self.cancel(aws, instances, token).await?;
        }
        let mark = Tag::builder().key(UPDATING).value(format!("{token} {to}")).build();
        tag(aws, &ids, mark).await?;
        let mut begun = BTreeSet::new();
        let done = match &self.method {
            InPlaceMethod::RunCommand(command) => {
                self.send(aws, command, &ids, (to, token), &mut begun).await
            }
            InPlaceMethod::ReplaceRootVolume { .. } => {
                volume::replace(aws, &ids, (to, token), &mut begun).await
            }
        };
        if let Err(error) = &done
            && error.effect == Effect::NotApplied
            && !error.is_retryable()
        {
            // The engine must not wait for what was refused.
            let remaining: Vec<String> = ids.into_iter().filter(|id| !begun.contains(id)).collect();
            untag(aws, &remaining, &[UPDATING]).await?;
        }
        done
    }

    /// Notes what `instances` run since their update, or that it never took place.
    async fn confirm(
        &self,
        aws: &Aws,
        instances: &BTreeSet<InstanceId>,
        to: Option<&Revision>,
    ) -> Result<(), ProviderError> {
        let ids: Vec<String> = instances.iter().map(ToString::to_string).collect();
        if let Some(to) = to {
            tag(aws, &ids, Tag::builder().key(REVISION).value(to.to_string()).build()).await?;
        }
        // After an update an earlier failure no longer counts.
        let keys: &[&str] = if to.is_some() { &[UPDATING, FAILED] } else { &[UPDATING] };
        untag(aws, &ids, keys).await
    }
}

/// Carries out `action`, an update or its confirmation, where instances are updated in place.
pub(crate) async fn perform(
    aws: &Aws,
    updates: Option<&Updates>,
    action: &Action,
) -> Result<(), ProviderError> {
    match (action, updates) {
        (Action::Update { instances, to, token }, Some(updates)) => {
            updates.begin(aws, instances, to, token).await
        }
        (Action::Confirm { instances, to }, Some(updates)) => {
            updates.confirm(aws, instances, to.as_ref()).await
        }
        _ => {
            let message = format!("no way to update instances is given: cannot {action}");
            Err(ProviderError::invalid("act", "replacement", message))
        }
    }
}

async fn tag(aws: &Aws, ids: &[String], tag: Tag) -> Result<(), ProviderError> {
    let call = aws.ec2.create_tags().set_resources(Some(ids.to_vec())).tags(tag);
    call.send().await.map(drop).map_err(|error| from_sdk("ec2", "CreateTags", &error))
}

async fn untag(aws: &Aws, ids: &[String], keys: &[&str]) -> Result<(), ProviderError> {
    let keys = keys.iter().map(|key| Tag::builder().key(*key).build()).collect();
    let call = aws.ec2.delete_tags().set_resources(Some(ids.to_vec())).set_tags(Some(keys));
    call.send().await.map(drop).map_err(|error| from_sdk("ec2", "DeleteTags", &error))
}
