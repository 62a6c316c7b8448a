//! Tests what the adapter asks AWS, and in how many requests.

use std::collections::BTreeSet;

use rolling_provider::{Action, Effect, ErrorKind, Fleet as _, InstanceId};

use super::{Answer, DESCRIBE_INSTANCE_REFRESHES, NO_INSTANCE_REFRESHES, fleet, group_of, refusal};

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
        if body.contains(DESCRIBE_INSTANCE_REFRESHES) {
            return Some((200, NO_INSTANCE_REFRESHES.into()));
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
        if body.contains(DESCRIBE_INSTANCE_REFRESHES) {
            return Some((200, NO_INSTANCE_REFRESHES.into()));
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
    let error = fleet.aws.may_launch(&"lt-1:3".into(), Some("subnet-1")).await.expect("an error");
    assert_eq!(error.code.as_deref(), Some("InvalidKeyPair.NotFound"));
    assert!(error.remedy.is_some());
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
    fleet.group.is_instance_refresh = true;
    assert_eq!(fleet.no_auto_rollback(&"lt-1:2".into()).await.expect("an answer"), None);
    let why = fleet.no_auto_rollback(&"lt-1:3".into()).await.expect("an answer");
    assert_eq!(why.as_deref(), Some("lt-1:3 names its image as resolve:ssm:/golden/image"));
}
