//! How the adapter connects to AWS.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How the adapter connects to AWS.
///
/// The SDK finds what is left out in the environment and the shared configuration files.
/// Credentials come from the SDK's default chain or, if a profile is named, from that profile
/// alone.
#[derive(Clone, Debug, Default)]
pub struct AwsConfig {
    /// The region.
    pub region: Option<String>,
    /// A profile of the shared configuration files.
    pub profile: Option<String>,
    /// An endpoint for every service, instead of those of AWS.
    pub endpoint_url: Option<String>,
    /// An access key. It takes precedence over a profile.
    pub keys: Option<Keys>,
    /// Files to read instead of `~/.aws/config`, if any.
    pub shared_config_files: Vec<String>,
    /// Files to read instead of `~/.aws/credentials`, if any.
    pub shared_credentials_files: Vec<String>,
    /// A role to assume with a token, instead of credentials.
    pub web_identity: Option<WebIdentity>,
    /// Roles to assume in this order, each with the credentials of the previous step.
    pub assume_roles: Vec<AssumedRole>,
    /// The allowed accounts. An empty list allows every account.
    pub allowed_account_ids: Vec<String>,
    /// The forbidden accounts.
    pub forbidden_account_ids: Vec<String>,
    /// Tags of the instances that this provider launches.
    pub default_tags: BTreeMap<String, String>,
}

/// An access key.
#[derive(Clone)]
pub struct Keys {
    /// The id of the key.
    pub access_key: String,
    /// The secret of the key.
    pub secret_key: String,
    /// The session token of a temporary key.
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
    /// The role's ARN.
    pub role_arn: String,
    /// The name of the session.
    pub session_name: Option<String>,
    /// The external id that the role's owner asks for.
    pub external_id: Option<String>,
    /// The duration of a session.
    pub duration: Option<Duration>,
    /// ARNs of the policies that restrict the session.
    pub policy_arns: Vec<String>,
    /// The session's tags.
    pub tags: BTreeMap<String, String>,
}

/// The source of an identity provider's token.
#[derive(Clone)]
pub enum Token {
    /// The token itself.
    Text(String),
    /// A file that holds the token. It is read for each session.
    File(String),
}

/// A role to assume with a token of an identity provider.
#[derive(Clone)]
pub struct WebIdentity {
    /// The role's ARN.
    pub role_arn: String,
    /// The name of the session.
    pub session_name: Option<String>,
    /// The token.
    pub token: Token,
    /// The duration of a session.
    pub duration: Option<Duration>,
    /// ARNs of the policies that restrict the session.
    pub policy_arns: Vec<String>,
}

impl fmt::Debug for WebIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebIdentity({})", self.role_arn)
    }
}
