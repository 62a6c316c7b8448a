//! How AWS is reached, in the terms of the AWS provider for Terraform.

use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::DurationText;

/// How AWS is reached, and in which account.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AwsProviderConfig {
    /// The region, for instance `eu-west-1`.
    pub(crate) region: Option<String>,
    /// A profile of the shared configuration files.
    pub(crate) profile: Option<String>,
    /// Another endpoint for every service, for instance LocalStack's.
    pub(crate) endpoint_url: Option<String>,
    /// An access key, with `secret_key`. It takes precedence over `profile` and over the SDK's
    /// default chain.
    pub(crate) access_key: Option<SecretText>,
    /// The secret of `access_key`.
    pub(crate) secret_key: Option<SecretText>,
    /// The session token of `access_key`, if that is a temporary key.
    pub(crate) token: Option<SecretText>,
    /// Shared configuration files, instead of `~/.aws/config`.
    pub(crate) shared_config_files: Option<Vec<String>>,
    /// Shared credentials files, instead of `~/.aws/credentials`.
    pub(crate) shared_credentials_files: Option<Vec<String>>,
    /// A role to assume with these credentials; several are assumed one after the other, each with
    /// the credentials of the previous one.
    pub(crate) assume_role: Option<Vec<AssumeRoleConfig>>,
    /// A role to assume with a token of an identity provider, instead of credentials. The roles in
    /// `assume_role` are assumed after it.
    pub(crate) assume_role_with_web_identity: Option<AssumeRoleWithWebIdentityConfig>,
    /// Accounts that may be used. In any other account nothing is done.
    pub(crate) allowed_account_ids: Option<Vec<AccountId>>,
    /// Accounts that may not be used.
    pub(crate) forbidden_account_ids: Option<Vec<AccountId>>,
    /// Tags of the instances that this program launches itself: those of a `target_group`.
    pub(crate) default_tags: Option<DefaultTagsConfig>,
}

/// A role.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssumeRoleConfig {
    /// Its ARN.
    #[schemars(regex(pattern = "^arn:[^:]+:iam::[0-9]{12}:role/.+$"))]
    pub(crate) role_arn: String,
    /// How CloudTrail names the session. Default `rolling`.
    #[schemars(regex(pattern = "^[A-Za-z0-9_=,.@-]{2,64}$"))]
    pub(crate) session_name: Option<String>,
    /// The external id that the role's owner requires.
    pub(crate) external_id: Option<SecretText>,
    /// How long a session lasts before it is renewed, from 15m to 12h. Default: as the role says.
    pub(crate) duration: Option<DurationText>,
    /// Policies that narrow what the session may do.
    pub(crate) policy_arns: Option<Vec<String>>,
    /// Tags of the session.
    pub(crate) tags: Option<BTreeMap<String, String>>,
}

/// A role that trusts an identity provider.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssumeRoleWithWebIdentityConfig {
    /// Its ARN.
    #[schemars(regex(pattern = "^arn:[^:]+:iam::[0-9]{12}:role/.+$"))]
    pub(crate) role_arn: String,
    /// How CloudTrail names the session. Default `rolling`.
    #[schemars(regex(pattern = "^[A-Za-z0-9_=,.@-]{2,64}$"))]
    pub(crate) session_name: Option<String>,
    /// The token. Either this or `web_identity_token_file`.
    pub(crate) web_identity_token: Option<SecretText>,
    /// A file with the token, read again for each session.
    pub(crate) web_identity_token_file: Option<String>,
    /// How long a session lasts before it is renewed, from 15m to 12h. Default: as the role says.
    pub(crate) duration: Option<DurationText>,
    /// Policies that narrow what the session may do.
    pub(crate) policy_arns: Option<Vec<String>>,
}

/// Tags for the instances that are launched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DefaultTagsConfig {
    /// The tags. Tags of the launch template, or of the instance that is replaced, take precedence.
    pub(crate) tags: Option<BTreeMap<String, String>>,
}

/// The id of an account: twelve digits.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub(crate) struct AccountId(pub(crate) String);

impl JsonSchema for AccountId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "AccountId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]{12}$" })
    }
}

/// Text that neither this program nor Terraform shows.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub(crate) struct SecretText(pub(crate) String);

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(sensitive)")
    }
}

impl JsonSchema for SecretText {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SecretText".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "x-sensitive": true })
    }
}
