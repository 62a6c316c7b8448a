//! How a cluster is reached.

use std::path::PathBuf;
use std::time::Duration;

use kube::config::{ExecInteractiveMode, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use rolling_provider::{Effect, ErrorKind, ProviderError};

use crate::cluster::Kubernetes;

/// How long one answer may take. A look of a large namespace is a few megabytes.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Where the cluster is, and as whom to ask it.
#[derive(Clone, Debug, Default)]
pub struct KubernetesConfig {
    /// The file that describes clusters and users. By default that of the variable `KUBECONFIG`, else
    /// `~/.kube/config`, else the service account of the pod that this program runs in.
    pub kubeconfig: Option<PathBuf>,
    /// The context in it; by default its current one.
    pub context: Option<String>,
}

impl Kubernetes {
    /// Finds the cluster and credentials. Calls nothing.
    ///
    /// # Errors
    /// When there is no configuration, or none that can be read.
    pub async fn connect(config: &KubernetesConfig) -> Result<Self, ProviderError> {
        let mut found = find(config).await?;
        // A call whose effect is unknown must not be repeated unseen.
        found.default_retry = false;
        found.read_timeout = Some(ANSWER_WITHIN);
        found.reset_reader_on_write = true;
        if let Some(exec) = &mut found.auth_info.exec {
            // A plugin that asks for a password would read the protocol that this program serves.
            exec.interactive_mode = Some(ExecInteractiveMode::Never);
        }
        let namespace = found.default_namespace.clone();
        let client = Client::try_from(found)
            .map_err(|error| unreadable(config, &format!("cannot make a client: {error}")))?;
        Ok(Self::with_client(client, namespace))
    }
}

async fn find(config: &KubernetesConfig) -> Result<Config, ProviderError> {
    let options = KubeConfigOptions { context: config.context.clone(), ..Default::default() };
    let read = match &config.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    match read {
        Ok(kubeconfig) => Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .map_err(|error| unreadable(config, &error.to_string())),
        // A file that was asked for has to be there.
        Err(error) if config.kubeconfig.is_some() || config.context.is_some() => {
            Err(unreadable(config, &error.to_string()))
        }
        Err(error) => Config::incluster().map_err(|inside| {
            let message = format!("{error}; and this is no pod with a service account: {inside}");
            unreadable(config, &message)
        }),
    }
}

fn unreadable(config: &KubernetesConfig, message: &str) -> ProviderError {
    let attribute = if config.context.is_some() { "context" } else { "kubeconfig" };
    ProviderError {
        operation: "connect to Kubernetes".into(),
        kind: ErrorKind::Invalid,
        effect: Effect::NotApplied,
        code: None,
        message: message.to_owned(),
        attribute: Some(format!("provider:kubernetes/{attribute}")),
        remedy: Some("see that `kubectl --context CONTEXT get deployments` works".into()),
    }
}
