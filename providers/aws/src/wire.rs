//! Tests the adapter against canned answers on a real socket: what it asks, and what it makes of
//! the answers and of their absence.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_ec2::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use rolling_provider::{Action, Clock, Effect, ErrorKind, Fleet as _, InstanceId, Timestamp};

use crate::connect::ec2_config;
use crate::emulator::Reached;
use crate::skew::Skew;
use crate::{AutoScalingGroup, AutoScalingGroupFleet, Aws, LaunchTemplate};

/// What the server answers to a request with this body: a status and a body, or `None`, which cuts
/// the connection.
pub(crate) type Answer = fn(&str) -> Option<(u16, String)>;

/// The adapter asks this of every host that is not AWS.
const REFRESHES: &str = "Action=DescribeInstanceRefreshes";
const NO_REFRESHES: &str = "<DescribeInstanceRefreshesResponse><DescribeInstanceRefreshesResult/>\
     </DescribeInstanceRefreshesResponse>";

struct Zero;

#[async_trait]
impl Clock for Zero {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }

    async fn sleep(&self, _: Duration) {}
}

/// Returns a fleet whose calls all go to `endpoint`.
fn fleet_at(
    endpoint: &str,
    credentials: Option<SharedCredentialsProvider>,
) -> AutoScalingGroupFleet {
    let fixed = || SharedCredentialsProvider::new(Credentials::new("a", "b", None, None, "test"));
    let shared = aws_config::SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(endpoint)
        .retry_config(aws_config::retry::RetryConfig::disabled())
        .credentials_provider(credentials.unwrap_or_else(fixed))
        .build();
    let (skew, reached) = (Skew::default(), Reached::default());
    let watch = reached.watch("autoscaling");
    let autoscaling = aws_sdk_autoscaling::config::Builder::from(&shared).interceptor(watch);
    let aws = Aws {
        autoscaling: aws_sdk_autoscaling::Client::from_conf(autoscaling.build()),
        ec2: aws_sdk_ec2::Client::from_conf(ec2_config(&shared, &skew).build()),
        #[cfg(feature = "cloudwatch")]
        cloudwatch: aws_sdk_cloudwatch::Client::new(&shared),
        elb: aws_sdk_elasticloadbalancingv2::Client::new(&shared),
        #[cfg(feature = "ssm")]
        ssm: aws_sdk_ssm::Client::new(&shared),
        #[cfg(feature = "s3")]
        s3: aws_sdk_s3::Client::new(&shared),
        region: "eu-west-1".into(),
        skew,
        reached,
        ends: crate::session::Ends::Never,
        default_tags: Arc::default(),
    };
    let launch_template =
        Some(LaunchTemplate { id: Some("lt-1".into()), name: None, version: "2".into() });
    let group = AutoScalingGroup {
        name: "web".into(),
        launch_template,
        target_group_arns: None,
        image_id: None,
        in_place: None,
        refreshes: false,
        traffic: None,
    };
    aws.auto_scaling_group(group, Arc::new(Zero))
}

/// Returns a fleet on a server that answers by `answer`, and the bodies of the requests it got.
pub(crate) fn fleet(answer: Answer) -> (AutoScalingGroupFleet, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut bytes = Vec::new();
            let body = loop {
                let mut some = [0; 4096];
                let count = stream.read(&mut some).expect("a request");
                if count == 0 {
                    break None;
                }
                bytes.extend_from_slice(&some[..count]);
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.lines().find_map(|line| {
                    line.to_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok()
                });
                if body.len() >= length.unwrap_or_default() {
                    break Some(body.to_owned());
                }
            };
            let Some(body) = body else { continue };
            log.lock().expect("the log").push(body.clone());
            let Some((status, text)) = answer(&body) else { continue };
            let length = text.len();
            let head = format!(
                "HTTP/1.1 {status} X\r\nContent-Type: text/xml\r\nContent-Length: {length}\r\n\
                 Date: Thu, 01 Jan 1970 00:10:00 GMT\r\nConnection: close\r\n\r\n"
            );
            stream.write_all(format!("{head}{text}").as_bytes()).expect("an answer sent");
        }
    });
    (fleet_at(&endpoint, None), asked)
}

fn refusal(status: u16, code: &str, message: &str) -> Option<(u16, String)> {
    let message = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message>\
         </Error><RequestId>r</RequestId></ErrorResponse>"
    );
    Some((status, message))
}

fn group_of(ids: &[&str]) -> String {
    let members: String = ids
        .iter()
        .map(|id| {
            format!(
                "<member><InstanceId>{id}</InstanceId><LifecycleState>InService</LifecycleState>\
                 <HealthStatus>Healthy</HealthStatus><AvailabilityZone>eu-west-1a\
                 </AvailabilityZone></member>"
            )
        })
        .collect();
    format!(
        "<DescribeAutoScalingGroupsResponse><DescribeAutoScalingGroupsResult><AutoScalingGroups>\
         <member><AutoScalingGroupName>web</AutoScalingGroupName><Instances>{members}</Instances>\
         </member></AutoScalingGroups></DescribeAutoScalingGroupsResult>\
         </DescribeAutoScalingGroupsResponse>"
    )
}

fn terminate() -> Action {
    Action::Terminate { instance: "i-1".into(), decrement: false }
}

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
        let told = fleet.aws.reached.warnings().join("; ");
        assert_eq!((checked.is_ok(), told.is_empty()), (is_left_out, !is_left_out), "{message}");
        let text = checked.err().map_or(told, |error| error.to_string());
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

fn put_in(count: usize) -> Action {
    let instances = (0..count).map(|number| InstanceId::new(format!("i-{number}"))).collect();
    Action::Register { target_group: "tg".into(), instances }
}

fn targets(body: &str) -> usize {
    body.matches("Targets.member.").count()
}

#[tokio::test]
async fn targets_go_in_and_out_by_the_hundred() {
    let (fleet, asked) = fleet(|_| Some((200, "<RegisterTargetsResponse/>".into())));
    fleet.act(&put_in(201)).await.expect("all of them");
    let out = match put_in(101) {
        Action::Register { target_group, instances } => {
            Action::Deregister { target_group, instances }
        }
        other => other,
    };
    fleet.act(&out).await.expect("all of them");
    let sizes: Vec<usize> =
        asked.lock().expect("the log").iter().map(|body| targets(body)).collect();
    assert_eq!(sizes, [100, 100, 1, 100, 1]);
}

#[tokio::test]
async fn target_groups_are_described_by_twenty() {
    let (fleet, asked) = fleet(|_| {
        let result = "<DescribeTargetGroupsResult></DescribeTargetGroupsResult>";
        Some((
            200,
            format!("<DescribeTargetGroupsResponse>{result}</DescribeTargetGroupsResponse>"),
        ))
    });
    let arns: Vec<String> = (0..41).map(|number| format!("arn{number}")).collect();
    fleet.look_up_target_groups(&arns).await.expect("none of them");
    let asked = asked.lock().expect("the log");
    let sizes = asked.iter().map(|body| body.matches("TargetGroupArns.member.").count());
    assert_eq!(sizes.collect::<Vec<_>>(), [20, 20, 1]);
}

#[tokio::test]
async fn one_target_that_does_not_run_keeps_no_other_out_and_is_tried_again() {
    let (fleet, asked) = fleet(|body| {
        // `i-1` is one of several targets, or the only one.
        if body.contains("=i-1&") || body.ends_with("=i-1") {
            return refusal(400, "InvalidTarget", "'i-1' is not in a running state");
        }
        Some((200, "<RegisterTargetsResponse/>".into()))
    });
    let error = fleet.act(&put_in(3)).await.expect_err("i-1 does not run");
    assert_eq!((error.kind, error.effect), (ErrorKind::Transient, Effect::NotApplied));
    let asked = asked.lock().expect("the log");
    let sizes: Vec<usize> = asked.iter().map(|body| targets(body)).collect();
    assert_eq!(sizes, [3, 1, 1, 1]);
}

#[tokio::test]
async fn an_id_that_ec2_does_not_know_hides_nothing_about_the_others() {
    let (fleet, asked) = fleet(|body| {
        if body.contains("Action=DescribeAutoScalingGroups") {
            return Some((200, group_of(&["i-known", "i-unknown"])));
        }
        if body.contains(REFRESHES) {
            return Some((200, NO_REFRESHES.into()));
        }
        // As on EC2: ids in a request must exist, while a filter finds those that do.
        if body.contains("InstanceId.2=") {
            return Some((
                400,
                "<Response><Errors><Error><Code>InvalidInstanceID.NotFound</Code><Message>The \
                 instance ID 'i-unknown' does not exist</Message></Error></Errors></Response>"
                    .into(),
            ));
        }
        Some((
            200,
            "<DescribeInstancesResponse><reservationSet><item><instancesSet><item><instanceId>\
             i-known</instanceId><launchTime>2026-01-01T00:00:00.000Z</launchTime><tagSet><item>\
             <key>rolling:ignore</key><value></value></item></tagSet></item></instancesSet></item>\
             </reservationSet></DescribeInstancesResponse>"
                .into(),
        ))
    });
    let look = fleet.observe().await.expect("a look");
    let known = &look.instances[&"i-known".into()];
    assert!(known.ignored && known.launched_at.is_some(), "{known:?}");
    assert_eq!(look.instances[&"i-unknown".into()].launched_at, None);

    fleet.observe().await.expect("a second look");
    let asked = asked.lock().expect("the log");
    let last = asked.iter().rfind(|body| body.contains("Action=DescribeInstances"));
    let last = last.expect("asked again");
    assert!(last.contains("i-unknown") && !last.contains("i-known"), "{last}");
}

/// The server's answers are dated more than fifty years behind the host's clock.
#[tokio::test]
async fn launches_are_dated_by_our_clock_however_far_off_the_cloud_s_is() {
    let (fleet, _) = fleet(|body| {
        if body.contains("Action=DescribeAutoScalingGroups") {
            return Some((200, group_of(&["i-1"])));
        }
        if body.contains(REFRESHES) {
            return Some((200, NO_REFRESHES.into()));
        }
        Some((
            200,
            "<DescribeInstancesResponse><reservationSet><item><instancesSet><item><instanceId>i-1\
             </instanceId><launchTime>1970-01-01T00:09:20.000Z</launchTime></item></instancesSet>\
             </item></reservationSet></DescribeInstancesResponse>"
                .into(),
        ))
    });
    let look = fleet.observe().await.expect("a look");
    let launched = look.instances[&"i-1".into()].launched_at.expect("a launch time");
    #[expect(clippy::disallowed_methods, reason = "the SDK's clock, which it compares with")]
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("now");
    let now = i64::try_from(now.as_millis()).expect("now");
    let ago = now - i64::try_from(launched.0).expect("then");
    assert!(
        (30_000..60_000).contains(&ago),
        "launched {ago} ms ago, and 40 s by the cloud's clock"
    );
}

#[tokio::test]
async fn nothing_to_suspend_resume_write_or_move_is_no_call() {
    let (fleet, asked) = fleet(|_| Some((200, String::new())));
    let none = BTreeSet::new();
    let group = || "arn:tg".into();
    for action in [
        Action::SuspendProcesses { processes: none.clone() },
        Action::ResumeProcesses { processes: none },
        Action::WriteRecord { tags: Default::default() },
        Action::EraseRecord { keys: Default::default() },
        Action::Register { target_group: group(), instances: Default::default() },
        Action::Deregister { target_group: group(), instances: Default::default() },
    ] {
        fleet.act(&action).await.expect("nothing done");
    }
    assert_eq!(*asked.lock().expect("the log"), Vec::<String>::new());
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

#[tokio::test]
async fn an_instance_of_the_reserve_that_is_gone_keeps_no_other_there() {
    let (fleet, asked) = fleet(|body| {
        if body.contains("i-gone") {
            return Some((
                400,
                "<Response><Errors><Error><Code>InvalidInstanceID.NotFound</Code><Message>The \
                 instance ID 'i-gone' does not exist</Message></Error></Errors></Response>"
                    .into(),
            ));
        }
        Some((
            200,
            "<TerminateInstancesResponse><instancesSet/></TerminateInstancesResponse>".into(),
        ))
    });
    let instances = ["i-gone", "i-1", "i-2"].map(InstanceId::new).into();
    fleet.act(&Action::Discard { instances }).await.expect("all of them are gone by now");
    let asked = asked.lock().expect("the log");
    let alone = asked.iter().filter(|body| !body.contains("InstanceId.2="));
    assert_eq!(alone.count(), 3, "each on its own: {asked:?}");
}

/// The version has a network interface, beside which a request cannot name a subnet.
#[tokio::test]
async fn whatever_a_dry_run_says_but_that_it_would_work_is_told() {
    let answer: Answer = |body| {
        if body.contains("Action=DescribeLaunchTemplateVersions") {
            return Some((
                200,
                "<DescribeLaunchTemplateVersionsResponse><launchTemplateVersionSet><item>\
                 <launchTemplateData><networkInterfaceSet><item><deviceIndex>0</deviceIndex></item>\
                 </networkInterfaceSet></launchTemplateData></item></launchTemplateVersionSet>\
                 </DescribeLaunchTemplateVersionsResponse>"
                    .into(),
            ));
        }
        let code = match body.contains("Version=3") {
            true => "InvalidKeyPair.NotFound",
            false => "DryRunOperation",
        };
        let message = format!(
            "<Response><Errors><Error><Code>{code}</Code><Message>m</Message></Error></Errors>\
             </Response>"
        );
        Some((412, message))
    };
    let (fleet, asked) = fleet(answer);
    let told = fleet.aws.may_launch(&"lt-1:3".into(), Some("subnet-1")).await.expect("an error");
    assert_eq!(told.code.as_deref(), Some("InvalidKeyPair.NotFound"));
    assert!(told.remedy.is_some());
    assert!(fleet.aws.may_launch(&"lt-1:2".into(), Some("subnet-1")).await.is_none());
    let asked = asked.lock().expect("the log");
    assert!(!asked.iter().any(|body| body.contains("subnet-1")), "{asked:?}");
}

#[tokio::test]
async fn a_refresh_whose_image_is_a_parameter_cannot_go_back_by_itself() {
    let (mut fleet, _) = fleet(|body| {
        let is_third = body.contains("LaunchTemplateVersion.1=3");
        let image = if is_third { "resolve:ssm:/golden/image" } else { "ami-1" };
        let message = format!(
            "<DescribeLaunchTemplateVersionsResponse><launchTemplateVersionSet><item>\
             <launchTemplateData><imageId>{image}</imageId></launchTemplateData></item>\
             </launchTemplateVersionSet></DescribeLaunchTemplateVersionsResponse>"
        );
        Some((200, message))
    });
    assert_eq!(fleet.no_auto_rollback(&"lt-1:3".into()).await.expect("an answer"), None);
    fleet.group.refreshes = true;
    assert_eq!(fleet.no_auto_rollback(&"lt-1:2".into()).await.expect("an answer"), None);
    let why = fleet.no_auto_rollback(&"lt-1:3".into()).await.expect("an answer");
    assert_eq!(why.as_deref(), Some("lt-1:3 names its image as resolve:ssm:/golden/image"));
}
