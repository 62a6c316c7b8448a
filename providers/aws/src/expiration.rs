//! When the credentials behind the calls expire, where nothing renews them. A rollout that outlasts
//! them stops where it is, with what it has borrowed.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sdk_ec2::primitives::{DateTime, DateTimeFormat};
use rolling_provider::Timestamp;

use crate::convert;

/// When temporary credentials from the environment expire. Tools that export them set it
/// (`aws configure export-credentials --format env`, aws-vault).
const EXPIRATION: &str = "AWS_CREDENTIAL_EXPIRATION";

/// How long a session of unknown length probably lasts: roles that are assumed by roles end after
/// an hour, and part of that is over.
const OFTEN: Duration = Duration::from_secs(1800);

/// Expiry of the credentials that sign the calls in the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ends {
    /// They never expire, or are renewed before.
    #[default]
    Never,
    /// They expire at this time.
    At(Timestamp),
    /// They are temporary, and nothing says when they expire.
    Sometime,
}

/// Returns when `credentials` expire; `environment` returns the value of a variable. The source of
/// credentials that state their expiry renews them.
pub(crate) fn ends(
    credentials: &Credentials,
    environment: impl Fn(&str) -> Option<String>,
) -> Ends {
    if credentials.session_token().is_none() || credentials.expiry().is_some() {
        return Ends::Never;
    }
    let is_from_there =
        environment("AWS_ACCESS_KEY_ID").as_deref() == Some(credentials.access_key_id());
    let expiration = environment(EXPIRATION).filter(|_| is_from_there);
    let expiration = expiration.and_then(|expiration| {
        DateTime::from_str(&expiration, DateTimeFormat::DateTimeWithOffset).ok()
    });
    convert::timestamp(expiration.as_ref()).map_or(Ends::Sometime, Ends::At)
}

impl Ends {
    /// Credentials that expire at `time`.
    pub fn by(time: SystemTime) -> Ends {
        convert::timestamp(Some(&time.into())).map_or(Ends::Sometime, Ends::At)
    }

    /// Returns the time that is left at `now` (wall clock), with a warning about longer rollouts.
    pub fn warning(self, now: Timestamp) -> Option<(Duration, String)> {
        let (limit, until) = match self {
            Ends::Never => return None,
            Ends::At(at) => {
                let left = at.since(now);
                let until = match left.as_secs() / 60 {
                    _ if left.is_zero() => "the credentials are over".to_owned(),
                    minutes => format!("the credentials end in {minutes} min"),
                };
                (left, until)
            }
            Ends::Sometime => {
                (OFTEN, "the credentials are temporary, and nothing says until when".to_owned())
            }
        };
        let message = format!(
            "{until}, and nothing renews them: a rollout that is not over by then stops where it is, \
             with what it has borrowed, until it is run again with others. Use a profile or a role \
             that the SDK renews (SSO, assume_role, credential_process)"
        );
        Some((limit, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(token: Option<&str>, expiry: Option<SystemTime>, expiration: Option<&str>) -> Ends {
        let keys = Credentials::new("AKIA", "secret", token.map(Into::into), expiry, "test");
        ends(&keys, |name| match name {
            "AWS_ACCESS_KEY_ID" => Some("AKIA".into()),
            EXPIRATION => expiration.map(Into::into),
            _ => None,
        })
    }

    #[test]
    fn only_what_nothing_renews_ends() {
        let expiration = Some("2026-01-01T01:00:00+00:00");
        let at = Ends::At(Timestamp(1_767_229_200_000));
        assert_eq!(of(None, None, expiration), Ends::Never, "a user's keys");
        assert_eq!(
            of(Some("t"), Some(SystemTime::UNIX_EPOCH), expiration),
            Ends::Never,
            "SSO, a role"
        );
        assert_eq!(of(Some("t"), None, expiration), at);
        assert_eq!(of(Some("t"), None, Some("2026-01-01T01:00:00Z")), at);
        assert_eq!(of(Some("t"), None, Some("soon")), Ends::Sometime);
        assert_eq!(of(Some("t"), None, None), Ends::Sometime);
        let others = Credentials::new("AKIB", "secret", Some("t".into()), None, "test");
        let environment = |name: &str| (name == EXPIRATION).then(|| "2026-01-01T01:00:00Z".into());
        assert_eq!(ends(&others, environment), Ends::Sometime, "it is of the environment's keys");
    }

    #[test]
    fn it_is_told_of_rollouts_that_take_longer() {
        let (limit, message) = Ends::At(Timestamp(90_000)).warning(Timestamp(30_000)).expect("one");
        assert_eq!(limit, Duration::from_secs(60));
        assert!(message.starts_with("the credentials end in 1 min, and nothing renews them"));
        assert_eq!(Ends::At(Timestamp(0)).warning(Timestamp(1)).expect("one").0, Duration::ZERO);
        assert_eq!(Ends::Never.warning(Timestamp(0)), None);
    }
}
