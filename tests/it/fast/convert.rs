//! `rolling convert` as its users run it: the document on standard output, what has no equivalent on
//! standard error.

use serde_json::{Value, json};

use crate::process::{Ran, rolling, run, run_with};

const OPTIONS: &str = r#"[
  {"Namespace": "aws:elasticbeanstalk:command", "OptionName": "DeploymentPolicy", "Value": "Rolling"},
  {"Namespace": "aws:elasticbeanstalk:command", "OptionName": "BatchSizeType", "Value": "Percentage"},
  {"Namespace": "aws:elasticbeanstalk:command", "OptionName": "BatchSize", "Value": "30"}
]"#;

/// Converts `text` from a file.
fn convert(text: &str, more: &[&str]) -> Ran {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("settings"), text).expect("settings");
    run(rolling().current_dir(folder.path()).args(["convert", "settings"]).args(more))
}

#[test]
fn a_document_is_printed_alone_and_can_be_carried_out() {
    let ran = convert(OPTIONS, &["--target", "simulated_fleet/web"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let place = "/resource/rolling_deployment/web/simulated_fleet/revision";
    assert!(ran.stderr.contains(&format!("help: fill in {place} of the document")), "{ran:?}");
    let document: Value = serde_json::from_str(&ran.stdout).expect("one document");
    assert_eq!(document.pointer(place), Some(&json!("REVISION")));
    let validated = run_with(rolling().args(["validate", "-"]), &ran.stdout);
    assert_eq!((validated.code, validated.stdout.as_str()), (0, "valid: web\n"), "{validated:?}");
    let piped =
        run_with(rolling().args(["convert", "-", "--target", "simulated_fleet/web"]), OPTIONS);
    assert_eq!(piped.stdout, ran.stdout);
    let json = convert(OPTIONS, &["--target", "simulated_fleet/web", "--output", "json"]);
    let answer: Value = serde_json::from_str(&json.stdout).expect("one object");
    assert_eq!((&answer["document"], json.stderr.as_str()), (&document, ""));
    assert_eq!(answer["warnings"].as_array().map(Vec::len), Some(1));
}

#[test]
fn what_cannot_be_converted_is_refused_with_its_place() {
    let bad = OPTIONS.replace("\"30\"", "\"30%\"");
    let ran = convert(&bad, &[]);
    let message =
        "error at /2/Value (settings:4:76): BatchSize must be a whole number from 1 to 100";
    assert!(ran.code == 2 && ran.stdout.is_empty() && ran.stderr.starts_with(message), "{ran:?}");
    let ran = convert(&bad, &["--output", "json"]);
    let answer: Value = serde_json::from_str(&ran.stdout).expect("one object");
    assert_eq!((ran.code, &answer["valid"]), (2, &json!(false)));
    for (text, more, message) in [
        ("a: 1\n", &[][..], "these are no settings that can be converted"),
        ("", &[], "the input is empty"),
        (OPTIONS, &["--target", "web"], "it names no target: write auto_scaling_group/NAME"),
    ] {
        let ran = convert(text, more);
        assert!(ran.code == 2 && ran.stderr.contains(message), "{ran:?}");
    }
    let ran = run(rolling().args(["convert", "/nonexistent"]));
    assert!(ran.code == 2 && ran.stderr.contains("failed to read /nonexistent"), "{ran:?}");
}

/// Settings in the shapes in which projects publish them.
const PUBLISHED: [(&str, &str); 6] = [
    (
        "an .ebextensions file",
        "option_settings:\n  aws:elasticbeanstalk:command:\n    DeploymentPolicy: \
         RollingWithAdditionalBatch\n    BatchSizeType: Fixed\n    BatchSize: 2\n  \
         aws:elasticbeanstalk:application:environment:\n    NODE_ENV: production\n",
    ),
    (
        "an environment in CloudFormation",
        r#"{"Resources": {"Web": {"Type": "AWS::ElasticBeanstalk::Environment", "Properties": {
          "ApplicationName": "shop", "OptionSettings": [
            {"Namespace": "aws:elasticbeanstalk:command", "OptionName": "DeploymentPolicy",
             "Value": "Immutable"},
            {"Namespace": "aws:autoscaling:asg", "OptionName": "MinSize", "Value": "2"}]}}}}"#,
    ),
    (
        "a Deployment",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: nginx\nspec:\n  replicas: 3\n  \
         strategy:\n    type: RollingUpdate\n    rollingUpdate:\n      maxSurge: 1\n      \
         maxUnavailable: 0\n  minReadySeconds: 5\n  selector:\n    matchLabels: {app: nginx}\n  \
         template:\n    metadata:\n      labels: {app: nginx}\n    spec:\n      containers:\n      - \
         name: nginx\n        image: nginx:1.27\n",
    ),
    (
        "a StatefulSet",
        "apiVersion: apps/v1\nkind: StatefulSet\nmetadata:\n  name: db\n  namespace: shop\nspec:\n  \
         serviceName: db\n  replicas: 3\n  updateStrategy:\n    type: RollingUpdate\n  selector:\n    \
         matchLabels: {app: db}\n  template:\n    metadata:\n      labels: {app: db}\n    spec:\n      \
         containers:\n      - name: db\n        image: postgres:17\n",
    ),
    (
        "a group of Terraform",
        r#"{"resource": {"aws_autoscaling_group": {"web": {"instance_refresh": [
          {"strategy": "Rolling", "preferences": [{"min_healthy_percentage": 50}]}]}}}}"#,
    ),
    (
        "a configuration of CodeDeploy",
        r#"{"deploymentConfigName": "half", "minimumHealthyHosts":
          {"type": "FLEET_PERCENT", "value": 50}}"#,
    ),
];

#[test]
fn what_projects_publish_becomes_a_document_that_validates_and_plans() {
    for (name, text) in PUBLISHED {
        let ran = convert(text, &["--target", "simulated_fleet/web"]);
        assert_eq!(ran.code, 0, "{name}: {ran:?}");
        let validated = run_with(rolling().args(["validate", "-"]), &ran.stdout);
        assert_eq!(validated.code, 0, "{name}: {validated:?}");
        let planned = run_with(rolling().args(["plan", "-", "--output", "json"]), &ran.stdout);
        assert_eq!(planned.code, 0, "{name}: {planned:?}");
        let answer: Value = serde_json::from_str(&planned.stdout).expect("one object");
        let plan = &answer["resources"][0]["plan"];
        assert_eq!(plan["changes"], true, "{name}: {plan}");
        assert_ne!(plan["batches"], json!([]), "{name}: {plan}");
    }
}
