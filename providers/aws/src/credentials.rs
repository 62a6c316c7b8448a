//! The credentials of calls: keys, a profile or the SDK's default chain; then roles.

use aws_config::SdkConfig;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_sdk_sts::config::http::HttpResponse;
use aws_sdk_sts::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError;
use aws_sdk_sts::types::PolicyDescriptorType;
use aws_types::os_shim_internal::Env;
use rolling_provider::ProviderError;

use crate::config::AwsConfig;
use crate::error::{PROVIDER, SIGN_IN, from_sdk};
use crate::expiration::{self, Ends};
use crate::{AssumedRole, Keys, Token, WebIdentity};

/// The default name of a session.
const SESSION: &str = "rolling";
/// How many attempts a call to STS has before it counts as failed.
const TRIES: u32 = 3;

/// Returns the shared configuration files that `config` names, or `None` for those of the SDK.
pub(crate) fn files(config: &AwsConfig) -> Option<EnvConfigFiles> {
    let (configs, credentials) = (&config.shared_config_files, &config.shared_credentials_files);
    if configs.is_empty() && credentials.is_empty() {
        return None;
    }
    let mut files = EnvConfigFiles::builder()
        .include_default_config_file(configs.is_empty())
        .include_default_credentials_file(credentials.is_empty());
    for path in configs {
        files = files.with_file(EnvConfigFileKind::Config, path);
    }
    for path in credentials {
        files = files.with_file(EnvConfigFileKind::Credentials, path);
    }
    Some(files.build())
}

/// Returns `shared` with the credentials of `config`, and when these expire. Tries each step.
///
/// # Errors
/// [`rolling_provider::ErrorKind::Invalid`] with the attribute of the step without credentials.
pub(crate) async fn with_credentials(
    config: &AwsConfig,
    shared: SdkConfig,
) -> Result<(SdkConfig, Ends), ProviderError> {
    let (mut provider, first) = base(config, &shared).await?;
    // The SDK assumes the roles again as long as these last.
    let ends = match (&config.web_identity, first.expiry()) {
        (Some(WebIdentity { token: Token::Text(_), .. }), Some(expiry)) => Ends::by(expiry),
        _ => expiration::ends(&first, |name| Env::real().get(name).ok()),
    };
    for (index, role) in config.assume_roles.iter().enumerate() {
        provider = assume(role, &shared, provider).await;
        let place = format!("{PROVIDER}/assume_role/{index}/role_arn");
        let remedy = "allow sts:AssumeRole on the role to the credentials before it, have the \
                      role's trust policy name them, and give the external_id that it asks for";
        let what = format!("the role {} cannot be assumed", role.role_arn);
        try_out(&provider, &place, &what, remedy).await?;
    }
    Ok((shared.into_builder().credentials_provider(provider).build(), ends))
}

/// Returns the provider of the first credentials, and what it gives now.
///
/// These assume the first role, or sign the calls where there is no role.
async fn base(
    config: &AwsConfig,
    shared: &SdkConfig,
) -> Result<(SharedCredentialsProvider, Credentials), ProviderError> {
    if let Some(identity) = &config.web_identity {
        let client = aws_sdk_sts::Client::from_conf(sts(shared).build());
        let provider =
            SharedCredentialsProvider::new(ByWebIdentity { identity: identity.clone(), client });
        let place = format!("{PROVIDER}/assume_role_with_web_identity/role_arn");
        let what = format!("the role {} cannot be assumed", identity.role_arn);
        let remedy = "have the role's trust policy name the identity provider and the token's \
                      subject and audience, and give a token that is not over";
        let first = try_out(&provider, &place, &what, remedy).await?;
        return Ok((provider, first));
    }
    if let Some(Keys { access_key, secret_key, token }) = &config.keys {
        let keys = Credentials::new(access_key, secret_key, token.clone(), None, "configuration");
        return Ok((SharedCredentialsProvider::new(keys.clone()), keys));
    }
    let what = "there are no usable credentials";
    let Some(profile) = &config.profile else {
        let none = || {
            let error = ProviderError::invalid("connect to AWS", PROVIDER, what);
            error.with_remedy(SIGN_IN)
        };
        let provider = shared.credentials_provider().ok_or_else(none)?;
        let first = try_out(&provider, PROVIDER, what, SIGN_IN).await?;
        return Ok((provider, first));
    };
    // In the default chain, keys in the environment take precedence over a profile: a document that
    // names a profile would then act on the account of the shell's keys.
    let near = ProviderConfig::without_region().with_region(shared.region().cloned());
    let mut named = ProfileFileCredentialsProvider::builder().configure(&near);
    if let Some(files) = files(config) {
        named = named.profile_files(files);
    }
    let provider = SharedCredentialsProvider::new(named.profile_name(profile).build());
    let what = format!("profile {profile:?} gives no usable credentials");
    let remedy = "define it in ~/.aws/config or ~/.aws/credentials, sign in to it again, or leave \
                  profile out for the AWS SDK's default chain";
    let first = try_out(&provider, &format!("{PROVIDER}/profile"), &what, remedy).await?;
    Ok((provider, first))
}

/// Asks for credentials, so that their lack is reported before anything else.
async fn try_out(
    provider: &SharedCredentialsProvider,
    place: &str,
    what: &str,
    remedy: &str,
) -> Result<Credentials, ProviderError> {
    let error = match provider.provide_credentials().await {
        Ok(found) => return Ok(found),
        Err(error) => error,
    };
    let message = format!("{what}: {}", why(&error));
    Err(ProviderError::invalid("connect to AWS", place, message).with_remedy(remedy))
}

/// Returns why there are no credentials: the answer of STS, or else the SDK's error.
fn why(error: &CredentialsError) -> String {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        let refused = answer::<AssumeRoleError>(error);
        if let Some(message) = refused.or_else(|| answer::<AssumeRoleWithWebIdentityError>(error)) {
            return message;
        }
        next = error.source();
    }
    let causes = DisplayErrorContext(error).to_string();
    // The rest is the debug output.
    causes.split(" (").next().unwrap_or(&causes).to_owned()
}

/// Returns the code and message of STS, if `error` is its answer.
fn answer<E>(error: &(dyn std::error::Error + 'static)) -> Option<String>
where
    E: ProvideErrorMetadata + 'static,
    SdkError<E, HttpResponse>: std::error::Error,
{
    let error = error.downcast_ref::<SdkError<E, HttpResponse>>()?;
    let (code, message) = error.code().zip(error.message())?;
    Some(format!("{code}: {message}"))
}

/// Returns the configuration for STS. It retries: a second call does no more than the first.
fn sts(shared: &SdkConfig) -> aws_sdk_sts::config::Builder {
    let retries = RetryConfig::standard().with_max_attempts(TRIES);
    aws_sdk_sts::config::Builder::from(shared).retry_config(retries)
}

async fn assume(
    role: &AssumedRole,
    shared: &SdkConfig,
    by: SharedCredentialsProvider,
) -> SharedCredentialsProvider {
    let name = role.session_name.as_deref().unwrap_or(SESSION);
    let mut assumed =
        AssumeRoleProvider::builder(&role.role_arn).configure(shared).session_name(name);
    if let Some(id) = &role.external_id {
        assumed = assumed.external_id(id);
    }
    if let Some(duration) = role.duration {
        assumed = assumed.session_length(duration);
    }
    if !role.policy_arns.is_empty() {
        assumed = assumed.policy_arns(role.policy_arns.clone());
    }
    if !role.tags.is_empty() {
        assumed = assumed.tags(role.tags.clone());
    }
    SharedCredentialsProvider::new(assumed.build_from_provider(by).await)
}

/// Credentials for a token of an identity provider.
#[derive(Debug)]
struct ByWebIdentity {
    identity: WebIdentity,
    client: aws_sdk_sts::Client,
}

impl ByWebIdentity {
    async fn assume(&self) -> Result<Credentials, CredentialsError> {
        let WebIdentity { role_arn, session_name, token, duration, policy_arns } = &self.identity;
        let token = match token {
            Token::Text(token) => token.clone(),
            Token::File(path) => std::fs::read_to_string(path).map_err(|error| {
                CredentialsError::invalid_configuration(format!("failed to read {path}: {error}"))
            })?,
        };
        let policies =
            policy_arns.iter().map(|arn| PolicyDescriptorType::builder().arn(arn).build());
        let seconds = duration.and_then(|duration| i32::try_from(duration.as_secs()).ok());
        let call = self.client.assume_role_with_web_identity().role_arn(role_arn);
        let call = call
            .role_session_name(session_name.as_deref().unwrap_or(SESSION))
            .web_identity_token(token.trim())
            .set_duration_seconds(seconds)
            .set_policy_arns((!policy_arns.is_empty()).then(|| policies.collect()));
        let answer = call.send().await.map_err(CredentialsError::provider_error)?;
        let given = answer.credentials().ok_or_else(|| {
            CredentialsError::unhandled("AssumeRoleWithWebIdentity gave no credentials")
        })?;
        let until = std::time::SystemTime::try_from(*given.expiration())
            .map_err(CredentialsError::unhandled)?;
        Ok(Credentials::new(
            given.access_key_id(),
            given.secret_access_key(),
            Some(given.session_token().to_owned()),
            Some(until),
            "AssumeRoleWithWebIdentity",
        ))
    }
}

impl ProvideCredentials for ByWebIdentity {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.assume())
    }
}

/// Checks that AWS accepts the credentials of `shared`, and that `config` allows their account.
///
/// # Errors
/// [`rolling_provider::ErrorKind::Invalid`] when either is not the case, or when the account is
/// unknown and `config` restricts accounts. Without restrictions an unreachable STS is no error:
/// the network may still reach the other services.
pub(crate) async fn check_account(
    config: &AwsConfig,
    shared: &SdkConfig,
) -> Result<(), ProviderError> {
    let client = aws_sdk_sts::Client::from_conf(sts(shared).build());
    let is_restricted =
        !config.allowed_account_ids.is_empty() || !config.forbidden_account_ids.is_empty();
    let answer = match client.get_caller_identity().send().await {
        Ok(answer) => answer,
        Err(error) => {
            let is_answered = matches!(error, SdkError::ServiceError(_));
            let error = from_sdk("sts", "GetCallerIdentity", &error);
            let is_refused = error.attribute.is_some();
            if is_refused || is_restricted {
                let attribute = Some(PROVIDER.to_owned());
                let kind = rolling_provider::ErrorKind::Invalid;
                return Err(ProviderError { attribute, kind, ..error });
            }
            tracing::warn!(%error, is_answered, "cannot tell the account of the credentials");
            return Ok(());
        }
    };
    let account = answer.account().unwrap_or_default();
    tracing::debug!(account, "credentials");
    let refuse = |attribute: &str, message: String| {
        let place = format!("{PROVIDER}/{attribute}");
        let remedy = "use credentials, a profile or a role of another account";
        Err(ProviderError::invalid("check the account", place, message).with_remedy(remedy))
    };
    let allowed = &config.allowed_account_ids;
    if !allowed.is_empty() && !allowed.iter().any(|allowed| allowed == account) {
        let message = format!(
            "the credentials are of account {account}, and allowed is {}",
            allowed.join(", ")
        );
        return refuse("allowed_account_ids", message);
    }
    if config.forbidden_account_ids.iter().any(|forbidden| forbidden == account) {
        let message = format!("the credentials are of account {account}, which is forbidden");
        return refuse("forbidden_account_ids", message);
    }
    Ok(())
}
