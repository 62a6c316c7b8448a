//! Which account calls are made on. LocalStack tells its accounts apart by keys and roles.

use serde_json::{Value, json};

use crate::emulator::{Account, account};
use crate::lab::localstack::{resource, ten, times};
use crate::process::{Ran, run, write};

/// Keys that have no fleet, an account on the way, and an account with a fleet.
struct Accounts {
    base: Account,
    way: Account,
    fleet: Account,
    template: String,
}

fn accounts() -> Option<Accounts> {
    let (base, way, fleet) = (account()?, account()?, account()?);
    // Roles are not in the policy of a rollout.
    base.shared();
    way.shared();
    let template = fleet.fleet(ten(), times());
    Some(Accounts { base, way, fleet, template })
}

fn role(account: &Account) -> String {
    format!("arn:aws:iam::{}:role/deploy", account.id)
}

impl Accounts {
    /// Plans the fleet with `aws` as the provider's configuration, and only `around` in the
    /// environment.
    fn plan(&self, aws: &Value, around: &[(&str, &str)]) -> Ran {
        let document = json!({
            "provider": { "rolling": { "aws": aws } },
            "resource": { "rolling_deployment": { "web": resource(&self.template, "2") } },
        });
        let mut command = self.base.rolling();
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        for (name, value) in around {
            match value.is_empty() {
                true => command.env_remove(name),
                false => command.env(name, value),
            };
        }
        run(command.arg("plan").arg(write(self.base.folder.path(), &document)))
    }
}

#[test]
fn each_way_to_an_account_leads_there() {
    let Some(accounts) = accounts() else { return };
    let Accounts { base, way, fleet, .. } = &accounts;
    let folder = base.folder.path();
    let keys = |account: &Account| {
        format!("aws_access_key_id = {}\naws_secret_access_key = x\n", account.id)
    };
    let (credentials, config, token) =
        (folder.join("credentials"), folder.join("config"), folder.join("token"));
    std::fs::write(&credentials, format!("[default]\n{}[there]\n{}", keys(base), keys(fleet)))
        .expect("a file");
    let assumed =
        format!("[profile assumed]\nrole_arn = {}\nsource_profile = default\n", role(fleet));
    std::fs::write(&config, assumed).expect("a file");
    std::fs::write(&token, "a.b.c\n").expect("a file");
    let base_keys = json!({ "access_key": base.id, "secret_key": "x" });
    let with = |mut aws: Value, more: Value| {
        for (name, value) in more.as_object().expect("attributes") {
            aws[name] = value.clone();
        }
        aws
    };
    let roles = json!({ "assume_role": [
        { "role_arn": role(way) },
        { "role_arn": role(fleet), "session_name": "deploy", "external_id": "e-1", "duration": "30m",
          "policy_arns": ["arn:aws:iam::aws:policy/ReadOnlyAccess"], "tags": { "team": "web" } },
    ] });
    let files =
        json!({ "shared_credentials_files": [credentials], "shared_config_files": [config] });
    let by_token = json!({ "role_arn": role(fleet), "web_identity_token": "a.b.c" });
    let by_file = json!({ "role_arn": role(way), "web_identity_token_file": token });
    for (aws, around) in [
        (json!({ "access_key": fleet.id, "secret_key": "x" }), vec![]),
        // Keys take precedence over the environment and over a profile.
        (
            json!({ "access_key": fleet.id, "secret_key": "x", "profile": "nobody" }),
            vec![("AWS_ACCESS_KEY_ID", base.id.as_str()), ("AWS_SECRET_ACCESS_KEY", "x")],
        ),
        (with(base_keys.clone(), roles.clone()), vec![]),
        (with(files.clone(), json!({ "profile": "there" })), vec![]),
        (with(files.clone(), json!({ "profile": "assumed" })), vec![]),
        (with(files, json!({ "assume_role": [{ "role_arn": role(fleet) }] })), vec![]),
        (json!({ "assume_role_with_web_identity": by_token }), vec![]),
        (
            json!({ "assume_role_with_web_identity": by_file,
                    "assume_role": [{ "role_arn": role(fleet) }] }),
            vec![],
        ),
    ] {
        let there = with(aws, json!({ "allowed_account_ids": [fleet.id] }));
        let ran = accounts.plan(&there, &around);
        assert_eq!(ran.code, 0, "{there}: {ran:?}");
        assert!(ran.stdout.contains("roll auto scaling group web"), "{there}: {ran:?}");
    }
    // Each role is assumed with the credentials of the one before, and with its own settings.
    let asked = way.parameters("AssumeRole");
    let asked = asked.iter().find(|asked| asked["ExternalId"] == "e-1").expect("the last role");
    assert_eq!(asked["RoleArn"], role(fleet));
    assert_eq!(asked["RoleSessionName"], "deploy");
    assert_eq!(asked["DurationSeconds"], 1800);
    assert_eq!(asked["PolicyArns"][0]["arn"], "arn:aws:iam::aws:policy/ReadOnlyAccess");
    assert_eq!(asked["Tags"][0], json!({ "Key": "team", "Value": "web" }));
    let named = base.parameters("AssumeRole");
    assert_eq!(named[0]["RoleSessionName"], "rolling");
}

/// Credentials that nothing renews may expire before the rollout ends.
#[test]
fn credentials_that_end_too_soon_are_told_of_in_the_plan() {
    let Some(accounts) = accounts() else { return };
    let keys = [("AWS_ACCESS_KEY_ID", accounts.fleet.id.as_str()), ("AWS_SECRET_ACCESS_KEY", "x")];
    let until = |time: &str| {
        let session = [("AWS_SESSION_TOKEN", "x"), ("AWS_CREDENTIAL_EXPIRATION", time)];
        accounts.plan(&json!({}), &[keys, session].concat())
    };
    let ran = until("2026-01-01T00:00:00+00:00");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("the credentials are over, and nothing renews them"), "{ran:?}");
    for time in ["2126-01-01T00:00:00Z", ""] {
        let ran = until(time);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(!ran.stdout.contains("the credentials"), "{ran:?}");
    }
}

/// If STS cannot be reached the rest may work, unless accounts are restricted.
#[test]
fn where_sts_is_out_of_reach_only_a_restriction_is_in_the_way() {
    let Some(accounts) = accounts() else { return };
    let keys = json!({ "access_key": accounts.fleet.id, "secret_key": "x" });
    let away = [("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:9")];
    let around = [away[0], ("ROLLING_TEST_CLOCK", "")];
    let ran = accounts.plan(&keys, &around);
    assert_eq!(ran.code, 0, "{ran:?}");
    let mut restricted = keys;
    restricted["allowed_account_ids"] = json!([accounts.fleet.id]);
    let ran = accounts.plan(&restricted, &around);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("GetCallerIdentity"), "{ran:?}");
    assert!(ran.stderr.contains("Connection refused"), "{ran:?}");
}

/// The tags of the template, and of the instance that is replaced, take precedence.
#[test]
fn what_is_launched_here_has_the_default_tags() {
    let Some(account) = account() else { return };
    let fleet = json!({ "name": "web", "size": 3, "port": 8080, "versions": [null, null] });
    let made = account.make("plain", fleet, times());
    let tags = json!({ "stage": "test", "version": "not this", "team": "nor this" });
    let document = json!({
        "provider": { "rolling": { "aws": { "default_tags": { "tags": tags } } } },
        "resource": { "rolling_deployment": { "web": {
            "policy": "all_at_once", "poll_interval": "500ms",
            "health": { "min_healthy_time": "300ms", "healthy_timeout": "60s" },
            "target_group": {
                "arn": made["target_group_arns"][0],
                "launch_template": { "id": made["launch_template"], "version": "2" },
            },
        } } },
    });
    let ran = run(account.rolling().arg("apply").arg(write(account.folder.path(), &document)));
    assert_eq!(ran.code, 0, "{ran:?}");
    let fleet = account.get("plain/web");
    for instance in fleet["instances"].as_object().expect("instances").values() {
        let tags = &instance["tags"];
        assert_eq!((&tags["stage"], &tags["version"]), (&json!("test"), &json!("2")), "{tags}");
        assert_eq!(tags["team"], "lab", "as the one that it replaced had it: {tags}");
    }
}
