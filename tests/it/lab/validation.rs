//! The lab refuses requests that AWS would refuse, and a test that makes one fails.

use serde_json::json;

use crate::emulator::account;
use crate::lab::localstack::times;

#[test]
fn what_aws_would_refuse_is_refused_and_told() {
    let Some(account) = account() else { return };
    account.fleet(json!({ "name": "web", "size": 1 }), times());
    account.shared();
    let arn = "arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/web/1";
    let elb =
        |form: &str| account.query("elasticloadbalancing", &format!("Version=2015-12-01&{form}"));
    let group = |form: &str| account.query("autoscaling", &format!("Version=2011-01-01&{form}"));
    let many = |name: &str, count: usize| -> String {
        (1..=count).map(|n| name.replace("{}", &n.to_string())).collect()
    };
    let taken = |count| {
        elb(&format!("Action=DescribeTargetGroups{}", many("&TargetGroupArns.member.{}=a", count)));
    };
    let put_in = |count| {
        let targets = many("&Targets.member.{}.Id=i-1", count);
        elb(&format!("Action=DeregisterTargets&TargetGroupArn={arn}{targets}"));
    };
    taken(20);
    put_in(100);
    assert_eq!(account.violations(), Vec::<String>::new());
    taken(21);
    put_in(101);
    elb("Action=DescribeTargetHealth");
    group("Action=UpdateAutoScalingGroup&AutoScalingGroupName=web&MaxSize=three");
    group("Action=SetInstanceHealth&InstanceId=i-1234567890123456789012345&HealthStatus=Healthy");
    account.query("monitoring", "Version=2010-08-01&Action=DescribeAlarms&StateValue=RED");
    // A complete request that is not JSON, unlike that of a client that was killed while sending
    // it.
    let target = ("X-Amz-Target", "AmazonSSM.ListCommands");
    account.post("ssm", target, "{\"CommandId\": ");
    let violations = account.violations();
    for (violations, message) in violations.iter().zip([
        "21 TargetGroupArns, of which DescribeTargetGroups takes 20 at most",
        "101 Targets, of which DeregisterTargets takes 100 at most",
        "Missing required parameter in input: \"TargetGroupArn\"",
        "UpdateAutoScalingGroup: cannot be read: ",
        "InstanceId is or has 27, the most is 19",
        "StateValue is 'RED', none of OK",
        "AmazonSSM.ListCommands: cannot be read: ",
    ]) {
        assert!(violations.contains(message), "{violations} {message}");
    }
    assert_eq!(violations.len(), 7, "{violations:#?}");
    assert_eq!(account.violations(), Vec::<String>::new());
}
