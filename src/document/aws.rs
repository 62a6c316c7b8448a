//! Rules of the provider's configuration that span attributes.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::config::{AwsProviderConfig, DurationText};
use super::diagnostic::Diagnostic;

/// How long a session of a role may last
/// (<https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>).
const SESSIONS: RangeInclusive<Duration> = Duration::from_secs(900)..=Duration::from_secs(43_200);

/// Checks the configuration of AWS at `pointer`.
pub(crate) fn check(aws: &AwsProviderConfig, pointer: &str, found: &mut Vec<Diagnostic>) {
    let given = [
        ("access_key", aws.access_key.is_some()),
        ("secret_key", aws.secret_key.is_some()),
        ("token", aws.token.is_some()),
    ];
    let has = |name: &str| given.iter().any(|(given, is)| *given == name && *is);
    for (needed, by) in
        [("access_key", "secret_key"), ("secret_key", "access_key"), ("access_key", "token")]
    {
        if has(by) && !has(needed) && !(by == "token" && has("secret_key")) {
            let message = format!("{by} is given without {needed}");
            let remedy = "give both access_key and secret_key, or neither";
            found.push(Diagnostic::error(format!("{pointer}/{by}"), message).with_remedy(remedy));
        }
    }
    if aws.allowed_account_ids.is_some() && aws.forbidden_account_ids.is_some() {
        let message = "allowed_account_ids is set: all other accounts are forbidden already";
        let place = format!("{pointer}/forbidden_account_ids");
        found.push(Diagnostic::error(place, message).with_remedy("remove one of the two"));
    }
    for (index, role) in aws.assume_role.iter().flatten().enumerate() {
        let place = format!("{pointer}/assume_role/{index}/duration");
        check_duration(role.duration.as_ref(), place, found);
    }
    let Some(identity) = &aws.assume_role_with_web_identity else { return };
    let place = format!("{pointer}/assume_role_with_web_identity");
    check_duration(identity.duration.as_ref(), format!("{place}/duration"), found);
    let message = match (&identity.web_identity_token, &identity.web_identity_token_file) {
        (Some(_), Some(_)) => "both web_identity_token and web_identity_token_file are set",
        (None, None) => "neither web_identity_token nor web_identity_token_file is set",
        _ => return,
    };
    let remedy = "give one of web_identity_token and web_identity_token_file";
    found.push(Diagnostic::error(place, message).with_remedy(remedy));
}

fn check_duration(given: Option<&DurationText>, place: String, found: &mut Vec<Diagnostic>) {
    if given.is_some_and(|duration| !SESSIONS.contains(&duration.get())) {
        found.push(Diagnostic::error(place, "a session lasts from 15m to 12h"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::document::provider;

    fn found(aws: &Value) -> Vec<(String, String)> {
        let found = provider(&json!({ "aws": aws }), "").err().unwrap_or_default().into_iter();
        found.map(|found| (found.pointer, found.summary)).collect()
    }

    #[test]
    fn what_does_not_go_together_is_named_and_no_secret_is() {
        let role = "arn:aws:iam::123456789012:role/x";
        for (aws, place) in [
            (json!({ "access_key": "AKIASECRET" }), "/aws/access_key"),
            (json!({ "secret_key": "AKIASECRET" }), "/aws/secret_key"),
            (json!({ "token": "AKIASECRET" }), "/aws/token"),
            (json!({ "secret_key": 1_234_567 }), "/aws/secret_key"),
            (json!({ "secret_key": "${AKIASECRET}" }), "/aws/secret_key"),
            (
                json!({ "allowed_account_ids": ["123456789012"],
                        "forbidden_account_ids": ["123456789012"] }),
                "/aws/forbidden_account_ids",
            ),
            (json!({ "allowed_account_ids": ["12345"] }), "/aws/allowed_account_ids/0"),
            (json!({ "assume_role": [{ "role_arn": "x" }] }), "/aws/assume_role/0/role_arn"),
            (
                json!({ "assume_role": [{ "role_arn": role }, { "role_arn": role, "duration": "1m" }] }),
                "/aws/assume_role/1/duration",
            ),
            (
                json!({ "assume_role_with_web_identity": { "role_arn": role } }),
                "/aws/assume_role_with_web_identity",
            ),
        ] {
            let found = found(&aws);
            assert_eq!(found.len(), 1, "{aws}: {found:?}");
            assert_eq!(found[0].0, place);
            let printed = format!("{found:?}");
            assert!(!printed.contains("AKIASECRET") && !printed.contains("1234567"), "{printed}");
        }
        let whole = json!({ "access_key": "a", "secret_key": "AKIASECRET", "token": "t" });
        assert_eq!(found(&whole), []);
        let config = provider(&json!({ "aws": whole }), "").expect("a configuration");
        assert!(!format!("{config:?}").contains("AKIASECRET"), "{config:?}");
    }
}
