//! Tests what the adapter makes of refusals, and of answers that do not come.

use aws_sdk_ec2::config::SharedCredentialsProvider;
use rolling_provider::{Action, Effect, ErrorKind, Fleet as _};

use super::{Answer, fleet, fleet_at, group_of, refusal, terminate};

#[tokio::test]
async fn what_only_checks_is_left_out_where_an_emulator_does_not_know_it() {
    let answers: [(Answer, bool, &str); 6] = [
        (|_| Some((501, "<html>soon</html>".into())), true, "HTTP 501: <html>soon</html>"),
        (|_| Some((404, String::new())), true, "HTTP 404"),
        (|_| Some((500, "<!doctype html> <title>500".into())), true, "HTTP 500: <!doctype html>"),
        (|_| refusal(400, "InvalidAction", "no such action"), true, "InvalidAction"),
        (|_| refusal(403, "AccessDenied", "you may not"), false, "you may not"),
        (|_| refusal(500, "InternalFailure", "later"), false, "later"),
    ];
    for (answer, is_left_out, message) in answers {
        let (fleet, _) = fleet(answer);
        let group = aws_sdk_autoscaling::types::AutoScalingGroup::builder().build();
        let checked = fleet.refuse_now(&group).await;
        let warnings = fleet.aws.reached.warnings().join("; ");
        assert_eq!(
            (checked.is_ok(), warnings.is_empty()),
            (is_left_out, !is_left_out),
            "{message}"
        );
        let text = checked.err().map_or(warnings, |error| error.to_string());
        assert!(text.contains(message) && text.contains("DescribeInstanceRefreshes"), "{text}");
        // Calls that a rollout is made of still fail.
        let error = fleet.observe().await.expect_err("nobody answers");
        assert!(error.to_string().contains("DescribeAutoScalingGroups"), "{error}");
    }
}

#[tokio::test]
async fn a_profile_that_is_not_seen_yet_is_waited_for_and_another_refusal_is_not() {
    let profile: Answer =
        |_| refusal(400, "ValidationError", "... Invalid IAM Instance Profile name (Service: ...)");
    let other: Answer = |_| refusal(400, "ValidationError", "You must use a valid template");
    for (answer, kind) in [(profile, ErrorKind::Transient), (other, ErrorKind::Refused)] {
        let (fleet, _) = fleet(answer);
        let error = fleet.act(&Action::MoveTemplate { to: "lt-1:2".into() }).await.expect_err("it");
        assert_eq!((error.kind, error.effect), (kind, Effect::NotApplied), "{error}");
    }
}

#[tokio::test]
async fn what_an_error_left_behind_is_told_from_how_far_the_call_came() {
    let cases: [(Answer, ErrorKind, Effect); 7] = [
        (|_| None, ErrorKind::Transient, Effect::Unknown),
        (|_| refusal(400, "Throttling", "Rate exceeded"), ErrorKind::Throttled, Effect::NotApplied),
        (
            |_| refusal(503, "PriorRequestNotComplete", "Wait"),
            ErrorKind::Throttled,
            Effect::NotApplied,
        ),
        (|_| refusal(500, "InternalFailure", "Sorry"), ErrorKind::Transient, Effect::Unknown),
        (
            |_| refusal(400, "ScalingActivityInProgress", "Busy"),
            ErrorKind::Transient,
            Effect::NotApplied,
        ),
        (|_| refusal(400, "ValidationError", "No"), ErrorKind::Refused, Effect::NotApplied),
        (
            |_| refusal(501, "InternalFailure", "No such API"),
            ErrorKind::Refused,
            Effect::NotApplied,
        ),
    ];
    for (index, (answer, kind, effect)) in cases.into_iter().enumerate() {
        let error = fleet(answer).0.act(&terminate()).await.expect_err("an error");
        assert_eq!((error.kind, error.effect), (kind, effect), "case {index}: {error:?}");
    }
    // Nothing listens on this port.
    let error = fleet_at("http://127.0.0.1:1", None).act(&terminate()).await.expect_err("refused");
    assert_eq!((error.kind, error.effect), (ErrorKind::Transient, Effect::NotApplied), "{error:?}");
}

#[tokio::test]
async fn credentials_that_aws_does_not_take_are_called_that() {
    for code in ["ExpiredToken", "InvalidClientTokenId", "SignatureDoesNotMatch"] {
        let answer: Answer = match code {
            "ExpiredToken" => |_| refusal(403, "ExpiredToken", "The security token is expired"),
            "InvalidClientTokenId" => |_| refusal(403, "InvalidClientTokenId", "Not known"),
            _ => |_| refusal(403, "SignatureDoesNotMatch", "Not signed by it"),
        };
        let error = fleet(answer).0.observe().await.expect_err("an error");
        assert_eq!(error.kind, ErrorKind::Invalid, "{error:?}");
        assert_eq!(error.attribute.as_deref(), Some("provider:aws"), "{error:?}");
        assert!(error.remedy.is_some_and(|message| message.contains("AWS_PROFILE")));
    }
}

#[tokio::test]
async fn credentials_that_run_out_while_a_rollout_runs_are_called_that_too() {
    #[derive(Debug)]
    struct Gone;
    impl aws_sdk_ec2::config::ProvideCredentials for Gone {
        fn provide_credentials<'a>(
            &'a self,
        ) -> aws_credential_types::provider::future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let gone = aws_credential_types::provider::error::CredentialsError::not_loaded("gone");
            aws_credential_types::provider::future::ProvideCredentials::ready(Err(gone))
        }
    }
    let provider = Some(SharedCredentialsProvider::new(Gone));
    let error = fleet_at("http://127.0.0.1:1", provider).act(&terminate()).await.expect_err("none");
    assert_eq!((error.kind, error.effect), (ErrorKind::Invalid, Effect::NotApplied), "{error:?}");
    assert_eq!(error.attribute.as_deref(), Some("provider:aws"));
}

#[tokio::test]
async fn who_may_not_use_a_launch_template_is_told_what_that_takes() {
    let (fleet, _) = fleet(|_| {
        let message = "You are not authorized to use launch template: lt-1";
        refusal(403, "AccessDenied", message)
    });
    let error = fleet.act(&Action::MoveTemplate { to: "lt-1:2".into() }).await.expect_err("denied");
    let remedy = error.remedy.expect("a remedy");
    for action in ["ec2:RunInstances", "ec2:CreateTags", "iam:PassRole"] {
        assert!(remedy.contains(action), "{remedy}");
    }
    let error = fleet.act(&terminate()).await.expect_err("denied");
    assert!(error.remedy.is_some());
}

#[tokio::test]
async fn a_clock_that_is_off_and_a_lacking_permission_are_found() {
    let (fleet, asked) = fleet(|body| {
        if body.contains("Action=DescribeAutoScalingGroups") {
            return Some((200, group_of(&["i-1"])));
        }
        refusal(403, "AccessDenied", "You may not")
    });
    let found = fleet.examine().await;
    let warning = found.warnings.first().expect("a warning");
    assert!(warning.message.contains("differ by 600 s"), "{warning:?}");
    let denied = found.errors.iter().find(|error| error.operation == "UpdateAutoScalingGroup");
    let denied = denied.expect("the lacking permission");
    let remedy = denied.remedy.as_deref().expect("a remedy");
    assert!(remedy.contains("allow autoscaling:UpdateAutoScalingGroup"), "{remedy}");
    let asked = asked.lock().expect("the log");
    let tries = asked.iter().filter(|body| body.contains("Action=UpdateAutoScalingGroup"));
    for body in tries {
        assert!(!body.contains("Size") && !body.contains("Template"), "a change: {body}");
    }
}
