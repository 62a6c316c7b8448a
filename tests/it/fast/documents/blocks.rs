//! Blocks as Terraform's JSON syntax has them: comments, lists, several configurations.

use serde_json::{Value, json};

use super::{document, group, refused, simulated, validated};
use crate::process::{rolling, run_with};

/// Every way to write blocks with labels: each object as it is, or in a list of its own.
fn ways_of(deployments: &[(&str, Value)]) -> Vec<Value> {
    let named = |(name, deployment): &(&str, Value)| json!({ *name: deployment });
    let together: Value = deployments.iter().map(|(name, of)| (*name, of.clone())).collect();
    let apart: Value = deployments.iter().map(named).collect();
    let of_kind = |deployments: &Value| json!({ "rolling_deployment": deployments });
    let kinds_apart: Value =
        deployments.iter().map(named).map(|deployment| of_kind(&deployment)).collect();
    let resources = [of_kind(&together), of_kind(&apart), json!([of_kind(&together)]), kinds_apart];
    resources.iter().map(|resources| json!({ "resource": resources })).collect()
}

/// Adds a comment to every object, apart from those whose keys are the user's own.
fn commented(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut all: serde_json::Map<_, _> =
                object.iter().map(|(key, value)| (key.clone(), commented(value))).collect();
            all.insert("//".into(), json!(["why", { "it": "is so" }]));
            all.into()
        }
        Value::Array(items) => items.iter().map(commented).collect(),
        other => other.clone(),
    }
}

#[test]
fn a_comment_may_stand_in_every_block_and_blocks_may_be_lists() {
    let mut other = simulated();
    other["simulated_fleet"]["name"] = json!("db");
    for mut written in ways_of(&[("db", other), ("web", simulated())]) {
        for provider in [
            json!({ "rolling": { "simulator": { "speed": 2 } } }),
            json!({ "rolling": [{ "simulator": [{ "speed": 2 }] }] }),
            json!([{ "aws": {} }, { "rolling": { "simulator": { "speed": 2 } } }]),
            json!([{ "rolling": [] }, { "rolling": [{ "simulator": {} }] }]),
        ] {
            written["provider"] = provider;
            assert_eq!(validated(&written), (0, "valid: db, web\n".into()), "{written}");
            let written = commented(&written);
            assert_eq!(validated(&written), (0, "valid: db, web\n".into()), "{written}");
        }
    }
}

#[test]
fn one_name_in_two_objects_of_a_list_is_refused_with_both_places() {
    for (list, first, second) in [
        (
            json!([{ "rolling_deployment": { "web": simulated() } },
                   { "rolling_deployment": { "web": simulated() } }]),
            "/resource/0/rolling_deployment/web",
            "/resource/1/rolling_deployment/web",
        ),
        (
            json!({ "rolling_deployment": [{ "web": simulated() }, { "web": simulated() }] }),
            "/resource/rolling_deployment/0/web",
            "/resource/rolling_deployment/1/web",
        ),
    ] {
        let reply = refused(&json!({ "resource": list }).to_string());
        let message = format!("there is a rolling_deployment \"web\" already, at {first}");
        assert!(reply.contains(&format!("error at {second} (")) && reply.contains(&message));
    }
}

#[test]
fn only_one_configuration_of_the_provider_has_no_alias() {
    let mut written = document(&simulated());
    let (default, aliased) = (json!({ "simulator": {} }), json!({ "alias": "eu", "anything": 1 }));
    for (provider, place) in [
        (json!({ "rolling": [default, default] }), "/provider/rolling/1"),
        (json!({ "rolling": [aliased, default, default] }), "/provider/rolling/2"),
        (json!([{ "rolling": default }, { "rolling": default }]), "/provider/1/rolling"),
        (json!([{ "rolling": [default] }, { "rolling": [default] }]), "/provider/1/rolling/0"),
    ] {
        written["provider"] = provider;
        let reply = refused(&written.to_string());
        assert!(reply.contains(&format!("error at {place} (")), "{reply}");
        assert!(reply.contains("is configured without an alias at /provider/"), "{reply}");
    }
    for provider in [json!({ "rolling": [aliased, default] }), json!({ "rolling": aliased })] {
        written["provider"] = provider;
        let (code, output) = validated(&written);
        assert!(
            code == 0 && output.contains("\"eu\" is ignored: only Terraform uses it"),
            "{output}"
        );
    }
    written["provider"] = json!({ "rolling": [default, { "simulator": { "sped": 1 } }] });
    assert_eq!(validated(&written).0, 2);
    written["provider"] = json!([1]);
    assert!(refused(&written.to_string()).contains("error at /provider/0 ("));
}

/// Every single slip of a finger is noticed; names of others' providers are not.
#[test]
fn a_misspelt_provider_is_told_from_one_of_others() {
    let slips = [
        "rolling", "Rolling", "ROLLING", "roling", "rollling", "rollign", "rollin", "rolings",
        "polling",
    ];
    for (name, is_ours) in slips.into_iter().zip([true].into_iter().chain(std::iter::repeat(false)))
    {
        let mut written = document(&simulated());
        written["provider"] = json!({ name: {} });
        let (code, output) = validated(&written);
        assert_eq!(code, if is_ours { 0 } else { 2 }, "{name}: {output}");
        assert!(is_ours || output.contains("did you mean \"rolling\"?"), "{name}: {output}");
    }
    for other in ["aws", "google", "random", "null", "rancher2"] {
        let mut written = document(&simulated());
        written["provider"] = json!({ other: {} });
        assert_eq!(validated(&written).0, 0, "{other}");
    }
}

#[test]
fn a_document_for_aws_without_a_provider_is_warned_of() {
    let on_aws = json!({ "policy": "immutable", "auto_scaling_group": group() });
    let message =
        "warning: there is no block provider.rolling: the region and the account come from";
    for (provider, warns) in [
        (json!({}), true),
        (json!({ "aws": { "region": "eu-central-1" } }), true),
        (json!({ "rolling": { "alias": "eu" } }), true),
        (json!({ "rolling": {} }), false),
        (json!([{ "rolling": { "aws": { "region": "eu-central-1" } } }]), false),
    ] {
        let mut written = document(&on_aws);
        written["provider"] = provider;
        let (code, output) = validated(&written);
        assert_eq!((code, output.contains(message)), (0, warns), "{written}: {output}");
    }
    assert!(!validated(&document(&simulated())).1.contains("warning"));

    // It is told before a target is opened: where that fails, the provider is what is wrong.
    let nowhere = [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ];
    let mut plan = rolling();
    let ran = run_with(plan.args(["plan", "-"]).envs(nowhere), &document(&on_aws).to_string());
    assert!(ran.code != 0 && ran.stderr.contains(message), "{ran:?}");
}
