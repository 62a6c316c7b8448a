//! How AWS is reached.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How AWS is reached. What is left out is as the SDK finds it in the environment and the shared
/// configuration files; credentials come from the SDK's default chain, or, where a profile is
/// named, from that profile alone.
#[derive(Clone, Debug, Default)]
pub struct AwsConfig {
    /// The region.
    pub region: Option<String>,
    /// A profile of the shared configuration files.
    pub profile: Option<String>,
    /// Another endpoint for every service.
    pub endpoint_url: Option<String>,
    /// An access key, which comes before a profile.
    pub keys: Option<Keys>,
    /// Instead of `~/.aws/config`, if any.
    pub shared_config_files: Vec<String>,
    /// Instead of `~/.aws/credentials`, if any.
    pub shared_credentials_files: Vec<String>,
    /// A role to assume with a token, instead of credentials.
    pub web_identity: Option<WebIdentity>,
    /// Roles to assume, each with the credentials of the one before.
    pub assume_roles: Vec<AssumedRole>,
    /// Accounts that may be worked on; any, where there are none.
    pub allowed_account_ids: Vec<String>,
    /// Accounts that may not.
    pub forbidden_account_ids: Vec<String>,
    /// Tags of the instances that are launched here.
    pub default_tags: BTreeMap<String, String>,
}

/// An access key.
#[derive(Clone)]
pub struct Keys {
    /// Its id.
    pub access_key: String,
    /// Its secret.
    pub secret_key: String,
    /// The session's token, of a temporary one.
    pub token: Option<String>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(sensitive)")
    }
}

/// A role to assume.
#[derive(Clone, Debug, Default)]
pub struct AssumedRole {
    /// Its ARN.
    pub role_arn: String,
    /// How the session is named.
    pub session_name: Option<String>,
    /// What the role's owner asks for besides.
    pub external_id: Option<String>,
    /// How long a session lasts.
    pub duration: Option<Duration>,
    /// What narrows the session.
    pub policy_arns: Vec<String>,
    /// The session's tags.
    pub tags: BTreeMap<String, String>,
}

/// Where a token of an identity provider is.
#[derive(Clone)]
pub enum Token {
    /// The token itself.
    Text(String),
    /// A file with it, read for each session.
    File(String),
}

/// A role to assume with a token of an identity provider.
#[derive(Clone)]
pub struct WebIdentity {
    /// Its ARN.
    pub role_arn: String,
    /// How the session is named.
    pub session_name: Option<String>,
    /// The token.
    pub token: Token,
    /// How long a session lasts.
    pub duration: Option<Duration>,
    /// What narrows the session.
    pub policy_arns: Vec<String>,
}

impl fmt::Debug for WebIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebIdentity({})", self.role_arn)
    }
}
