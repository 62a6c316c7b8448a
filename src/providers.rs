//! The registry of clouds: the only module that names adapters.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rolling_provider::{Clock, ErrorKind, Fleet, Observation, ProviderError, Revision};
use rolling_simulator::Simulator;
use serde_json::{Value, json};

use crate::document;
#[cfg(feature = "aws")]
use crate::document::config::PolicyName;
use crate::document::config::{ProviderConfig, RollingDeploymentConfig, TARGET_KINDS};
use crate::engine::clock::{SimulationClock, TokioClock};

#[cfg(feature = "aws")]
use crate::document::config::target::LaunchTemplateConfig;
#[cfg(feature = "aws")]
use crate::document::config::{EngineName, ReplacementConfig};
#[cfg(feature = "aws")]
use crate::document::convert::command_timeout;
#[cfg(feature = "aws")]
use crate::document::traffic_steps;

#[cfg(feature = "aws")]
mod aws;
#[cfg(feature = "kubernetes")]
mod kubernetes;
mod simulated;

pub use self::simulated::fleet_config;

/// The default speed of a simulated fleet, as a multiple of real time.
const SPEED: f64 = 20.0;

/// Opens fleets as the provider's configuration says.
pub(crate) struct Providers {
    config: ProviderConfig,
    #[cfg_attr(
        not(any(feature = "aws", feature = "kubernetes")),
        expect(dead_code, reason = "only real clouds run on it")
    )]
    clock: Arc<TokioClock>,
    #[cfg(feature = "aws")]
    aws: tokio::sync::OnceCell<rolling_aws::Aws>,
    #[cfg(feature = "kubernetes")]
    kubernetes: tokio::sync::OnceCell<rolling_kubernetes::Kubernetes>,
    /// Parameters that earlier commands ran with, for rollbacks.
    earlier: Mutex<Vec<BTreeMap<String, Vec<String>>>>,
}

impl Providers {
    /// Creates the registry. Real clouds run on `clock`.
    pub(crate) fn new(config: ProviderConfig, clock: &Arc<TokioClock>) -> Self {
        Self {
            config,
            clock: Arc::clone(clock),
            #[cfg(feature = "aws")]
            aws: tokio::sync::OnceCell::new(),
            #[cfg(feature = "kubernetes")]
            kubernetes: tokio::sync::OnceCell::new(),
            earlier: Mutex::default(),
        }
    }

    /// Remembers the command parameters of a state, for rollbacks: a revision contains only a hash
    /// of them.
    pub(crate) fn keep_in_mind(&self, state: &Value) {
        let parameters = state.pointer("/replacement/run_command/parameters");
        let Some(parameters) = parameters.and_then(Value::as_object) else { return };
        let texts = |(name, values): (&String, &Value)| {
            let values = values.as_array()?.iter().map(|value| value.as_str().map(str::to_owned));
            values.collect::<Option<_>>().map(|values| (name.clone(), values))
        };
        let parameters = parameters.iter().filter_map(texts).collect();
        let mut earlier = self.earlier.lock().unwrap_or_else(PoisonError::into_inner);
        if !earlier.contains(&parameters) {
            earlier.push(parameters);
        }
    }

    /// Opens the fleet of `deployment`.
    ///
    /// # Errors
    /// When its cloud cannot be reached as configured, or is not part of this build.
    pub(crate) async fn open(
        &self,
        deployment: &RollingDeploymentConfig,
    ) -> Result<Arc<dyn Fleet>, ProviderError> {
        if let Some(fleet) = &deployment.simulated_fleet {
            let speed = self.config.simulator.as_ref().and_then(|settings| settings.speed);
            let file = self.simulator_file(&fleet.name);
            let shifts = deployment.policy.shifts();
            let speed = speed.unwrap_or(SPEED);
            let simulator = Simulator::in_file(fleet_config(fleet, shifts), file, |epoch| {
                Arc::new(SimulationClock::new(epoch, speed)) as Arc<dyn Clock>
            });
            return Ok(Arc::new(simulator?));
        }
        if deployment.workload().is_some() {
            return self.open_kubernetes(deployment).await;
        }
        self.open_cloud(deployment).await
    }

    #[cfg(feature = "kubernetes")]
    async fn open_kubernetes(
        &self,
        deployment: &RollingDeploymentConfig,
    ) -> Result<Arc<dyn Fleet>, ProviderError> {
        let clock: Arc<dyn Clock> = Arc::<TokioClock>::clone(&self.clock);
        let fleet = kubernetes::open(self.cluster().await?, deployment, clock);
        fleet.ok_or_else(|| ProviderError::invalid("open the fleet", "", "it names no workload"))
    }

    #[cfg(feature = "kubernetes")]
    async fn cluster(&self) -> Result<&rolling_kubernetes::Kubernetes, ProviderError> {
        let settings = self.config.kubernetes.as_ref();
        self.kubernetes.get_or_try_init(|| kubernetes::connect(settings)).await
    }

    #[cfg(not(feature = "kubernetes"))]
    #[expect(clippy::unused_async, reason = "as in a build with it")]
    async fn open_kubernetes(
        &self,
        deployment: &RollingDeploymentConfig,
    ) -> Result<Arc<dyn Fleet>, ProviderError> {
        let message = "this build of rolling does not include Kubernetes";
        let attribute = deployment.workload().map_or("", |(attribute, _)| attribute);
        let error = ProviderError::invalid("open the fleet", attribute, message);
        Err(error.with_remedy("build it with the feature `kubernetes`, which is on by default"))
    }

    /// Returns a configuration of the target named `id` as it is. The revision is what the target
    /// launches, or what all its instances run. `id` is `auto_scaling_group/NAME`,
    /// `target_group/ARN`, the ARN of either, `kubernetes_deployment/NAMESPACE/NAME`,
    /// `kubernetes_stateful_set/NAMESPACE/NAME`, `elastic_beanstalk_environment/NAME`, or
    /// `simulated_fleet/NAME`.
    ///
    /// # Errors
    /// When `id` names no target, or a target that does not exist.
    pub(crate) async fn import(&self, id: &str) -> Result<Value, ProviderError> {
        let wrong = |message: String| {
            let error = ProviderError::invalid("import", "", message);
            error.with_remedy(
                "write auto_scaling_group/NAME, target_group/ARN, the ARN of either, \
                 kubernetes_deployment/NAMESPACE/NAME, kubernetes_stateful_set/NAMESPACE/NAME, \
                 elastic_beanstalk_environment/NAME, or simulated_fleet/NAME",
            )
        };
        #[cfg(feature = "kubernetes")]
        if let Some((attribute, name)) = kubernetes::named(id) {
            let clock: Arc<dyn Clock> = Arc::<TokioClock>::clone(&self.clock);
            return kubernetes::import(self.cluster().await?, attribute, name, clock).await;
        }
        let Some(target) = placeholder(id) else {
            return Err(wrong(format!("{id:?} names no target")));
        };
        let mut config = target.clone();
        config["policy"] = json!("all_at_once");
        let (deployment, _) = document::deployment(&config, "").map_err(|found| {
            wrong(found.into_iter().map(|finding| finding.summary).collect::<Vec<_>>().join("; "))
        })?;
        if let Some(fleet) = &deployment.simulated_fleet
            && !self.simulator_file(&fleet.name).exists()
        {
            let message = format!("simulated fleet {:?} does not exist", fleet.name);
            let error = ProviderError::invalid("import", "", message);
            return Err(ProviderError { kind: ErrorKind::Missing, ..error });
        }
        let look = self.open(&deployment).await?.observe().await?;
        let Some(revision) = look.template.clone().or_else(|| only_revision(&look)) else {
            let message = match look.is_unmanaged() {
                true => format!("the instances of {id} do not all run one launch template version"),
                false => format!("{id} has no launch template, so no revision"),
            };
            return Err(ProviderError::invalid("import", "", message));
        };
        let mut target = target;
        if let Some(template) = document::launch_template(&target)
            && let Some(template) = target.pointer_mut(template)
        {
            let (id, version) = revision.as_str().rsplit_once(':').unwrap_or_default();
            *template = json!({ "id": id, "version": version });
        } else {
            let kind = TARGET_KINDS.iter().find(|kind| kind.is_given(&target));
            let place = kind.and_then(|kind| kind.revision.first());
            if let Some(named) = place.and_then(|place| target.pointer_mut(place)) {
                *named = json!(revision);
            }
        }
        Ok(target)
    }

    /// Returns the path of the file that keeps a simulated fleet.
    fn simulator_file(&self, name: &str) -> PathBuf {
        let settings = self.config.simulator.as_ref();
        let folder = settings.and_then(|settings| settings.state_directory.as_deref());
        Path::new(folder.unwrap_or(".rolling")).join(format!("{name}.json"))
    }

    #[cfg(feature = "aws")]
    async fn open_cloud(
        &self,
        deployment: &RollingDeploymentConfig,
    ) -> Result<Arc<dyn Fleet>, ProviderError> {
        let traffic = deployment.traffic.clone().unwrap_or_default();
        let percents = match deployment.policy {
            PolicyName::TrafficSplitting => {
                traffic_steps(&traffic).iter().map(|step| step.percent).collect()
            }
            _ => vec![100],
        };
        let clock: Arc<dyn Clock> = Arc::<TokioClock>::clone(&self.clock);
        let scaled = self.clock.is_scaled().then(|| Arc::clone(&clock));
        let aws = self.connected(scaled).await?;
        // There is no template where instances are updated in place.
        let launch_template = |template: &Option<LaunchTemplateConfig>| {
            template.as_ref().map(|template| rolling_aws::LaunchTemplate {
                id: template.id.clone(),
                name: template.name.clone(),
                version: template.version.clone(),
            })
        };
        let earlier = self.earlier.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let in_place = deployment.replacement.as_ref().and_then(|how| in_place(how, &earlier));
        if let Some(group) = &deployment.auto_scaling_group {
            let group = rolling_aws::AutoScalingGroup {
                name: group.name.clone(),
                launch_template: launch_template(&group.launch_template),
                image_id: group.image_id.clone(),
                target_group_arns: group.target_group_arns.clone(),
                in_place,
                is_instance_refresh: deployment.engine == Some(EngineName::InstanceRefresh),
                traffic: traffic.second_target_group_arn.map(|second| rolling_aws::Traffic {
                    second_target_group_arn: second,
                    listener_rule_arns: traffic.listener_rule_arns.unwrap_or_default(),
                    percents,
                }),
            };
            let fleet = Arc::new(aws.auto_scaling_group(group, clock));
            return recorded(aws, fleet, deployment);
        }
        if let Some(environment) = &deployment.elastic_beanstalk_environment {
            return aws::open_environment(aws, environment, clock);
        }
        let Some(group) = &deployment.target_group else {
            return Err(ProviderError::invalid("open the fleet", "", "there is no target"));
        };
        let instances = rolling_aws::TargetGroupInstances {
            arn: group.arn.clone(),
            launch_template: launch_template(&group.launch_template),
            in_place,
        };
        recorded(aws, Arc::new(aws.target_group_instances(instances, clock)), deployment)
    }

    #[cfg(feature = "aws")]
    async fn connected(
        &self,
        scaled: Option<Arc<dyn Clock>>,
    ) -> Result<&rolling_aws::Aws, ProviderError> {
        let settings = self.config.aws.clone().unwrap_or_default();
        self.aws
            .get_or_try_init(|| async {
                rolling_aws::Aws::connect(&aws::config(settings), scaled).await
            })
            .await
    }

    /// Checks that the cloud can be reached as configured, in an allowed account. `deployment` is a
    /// deployment to be rolled there, as far as it is known. A cloud that neither the provider's
    /// configuration nor `deployment` names is not asked.
    ///
    /// # Errors
    /// Why the cloud cannot be reached, or the account is not allowed.
    #[cfg(feature = "aws")]
    pub(crate) async fn check(&self, deployment: Option<&Value>) -> Result<(), ProviderError> {
        let is_there = |name| deployment.is_some_and(|config| config[name].is_object());
        if self.config.aws.is_none() && !is_there("auto_scaling_group") && !is_there("target_group")
        {
            return Ok(());
        }
        let clock: Arc<dyn Clock> = Arc::<TokioClock>::clone(&self.clock);
        let scaled = self.clock.is_scaled().then_some(clock);
        self.connected(scaled).await.map(drop)
    }

    /// Does nothing in a build without any cloud.
    ///
    /// # Errors
    /// None.
    #[cfg(not(feature = "aws"))]
    #[expect(clippy::unused_async, reason = "as in a build with one")]
    pub(crate) async fn check(&self, _: Option<&Value>) -> Result<(), ProviderError> {
        Ok(())
    }

    #[cfg(not(feature = "aws"))]
    async fn open_cloud(
        &self,
        deployment: &RollingDeploymentConfig,
    ) -> Result<Arc<dyn Fleet>, ProviderError> {
        let message = "this build of rolling does not include AWS";
        let target =
            if deployment.target_group.is_some() { "target_group" } else { "auto_scaling_group" };
        let error = ProviderError::invalid("open the fleet", target, message);
        Err(error.with_remedy("build it with the feature `aws`, which is on by default"))
    }
}

/// Converts how instances are updated to the adapter's types.
#[cfg(feature = "aws")]
fn in_place(
    replacement: &ReplacementConfig,
    earlier: &[BTreeMap<String, Vec<String>>],
) -> Option<rolling_aws::InPlaceMethod> {
    if let Some(command) = &replacement.run_command {
        let parameters = command.parameters.iter().flatten();
        let parameters = parameters.map(|(name, values)| {
            (name.clone(), values.iter().map(|value| value.0.clone()).collect())
        });
        return Some(rolling_aws::InPlaceMethod::RunCommand(rolling_aws::RunCommand {
            document: command.document.clone(),
            version: command.version.clone().unwrap_or_else(|| "$DEFAULT".into()),
            parameters: parameters.collect(),
            earlier: earlier.to_vec(),
            timeout: command_timeout(command),
        }));
    }
    let image_id = replacement.replace_root_volume.as_ref()?.image_id.clone();
    Some(rolling_aws::InPlaceMethod::ReplaceRootVolume { image_id })
}

/// Returns `fleet` with its record in the place that `deployment` sets.
#[cfg(feature = "aws")]
fn recorded(
    aws: &rolling_aws::Aws,
    fleet: Arc<dyn Fleet>,
    deployment: &RollingDeploymentConfig,
) -> Result<Arc<dyn Fleet>, ProviderError> {
    match &deployment.record {
        None => Ok(fleet),
        Some(record) => {
            let (bucket, key) = (record.s3.bucket.clone(), record.s3.key.clone());
            aws.recorded(fleet, rolling_aws::S3Object { bucket, key })
        }
    }
}

/// Returns a configuration of the target named `id`, with a placeholder for what it runs: only what the
/// target has is read. `None` where it names none.
fn placeholder(id: &str) -> Option<Value> {
    let template = json!({ "name": "-", "version": "$Default" });
    let id = id.strip_prefix("target_group/").unwrap_or(id);
    match id.split_once('/')? {
        (kind, _) if kind.starts_with("arn:") && kind.ends_with(":targetgroup") => {
            Some(json!({ "target_group": { "arn": id, "launch_template": template } }))
        }
        (kind, name) if !name.is_empty() && (kind == "auto_scaling_group" || is_arn(kind)) => {
            Some(json!({ "auto_scaling_group": { "name": name, "launch_template": template } }))
        }
        ("elastic_beanstalk_environment", name) if !name.is_empty() => Some(json!({
            "elastic_beanstalk_environment": { "name": name, "version_label": "-" },
        })),
        ("simulated_fleet", name) if !name.is_empty() => {
            Some(json!({ "simulated_fleet": { "name": name, "revision": "v1" } }))
        }
        _ => None,
    }
}

/// Returns the revision that all live instances run.
fn only_revision(look: &Observation) -> Option<Revision> {
    let live = look.instances.values().filter(|instance| instance.lifecycle.is_live());
    let mut revisions = live.map(|instance| instance.revision.as_ref());
    let first = revisions.next()??;
    revisions.all(|revision| revision == Some(first)).then(|| first.clone())
}

/// Whether `text` is the part before the name in the ARN of an Auto Scaling group.
fn is_arn(text: &str) -> bool {
    text.starts_with("arn:")
        && text.contains(":autoscaling:")
        && text.ends_with(":autoScalingGroupName")
}
