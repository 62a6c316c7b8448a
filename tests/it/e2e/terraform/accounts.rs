//! Two accounts in one apply, and what keeps an apply from the wrong one.

use serde_json::{Value, json};

use super::workspace::{Workspace, terraform};
use crate::emulator::{Account, account};
use crate::lab::localstack::{resource, ten, times};
use crate::process::{Ran, run, write};

/// Two accounts with a fleet each, and a third whose keys may assume a role in both.
struct Accounts {
    base: Account,
    fleets: [(Account, String); 2],
}

const SECRET: &str = "a-secret-key-that-nobody-may-see";

impl Accounts {
    fn new() -> Option<Accounts> {
        let fleet = || {
            let account = account()?;
            let template = account.fleet(ten(), times());
            Some((account, template))
        };
        let base = account()?;
        // Assuming a role is not in the policy of a rollout.
        base.shared();
        Some(Accounts { base, fleets: [fleet()?, fleet()?] })
    }

    fn aws(&self, account: &Account) -> Value {
        json!({
            "region": "us-east-1", "access_key": self.base.id, "secret_key": "${var.secret}",
            "assume_role": { "role_arn": role(account) },
            "allowed_account_ids": [account.id],
        })
    }

    /// Returns an empty workspace on the lab's time, without credentials in its environment.
    fn workspace(&self) -> Workspace {
        let mut workspace = Workspace::new(terraform(), None);
        let around = self.base.environment().into_iter();
        let around =
            around.filter(|(name, _)| ["AWS_ENDPOINT_URL", "ROLLING_TEST_CLOCK"].contains(name));
        workspace.variables.push(("TF_VAR_secret".into(), SECRET.into()));
        workspace.variables.extend(around.map(|(name, value)| (name.into(), value)));
        workspace
    }

    /// Returns the calls that changed something in the accounts with the fleets.
    fn mutations(&self) -> Vec<String> {
        self.fleets.iter().flat_map(|(account, _)| account.mutations()).collect()
    }
}

fn role(account: &Account) -> String {
    format!("arn:aws:iam::{}:role/deploy", account.id)
}

/// Adds the variable of the secret, and breaks the text into lines: Terraform shows lines.
fn in_terraform(mut text: Value) -> String {
    text["variable"] = json!({ "secret": { "type": "string", "sensitive": true } });
    serde_json::to_string_pretty(&text).expect("JSON")
}

fn reply(ran: &Ran) -> String {
    let message = ran.stderr.split_whitespace().filter(|word| *word != "│");
    message.collect::<Vec<_>>().join(" ")
}

/// Each account has a provider, both with the same keys.
#[test]
fn two_accounts_are_rolled_in_one_apply_and_nothing_tells_the_keys() {
    let Some(accounts) = Accounts::new() else { return };
    let mut workspace = accounts.workspace();
    let progress = workspace.path().join("progress").to_string_lossy().into_owned();
    workspace.variables.push(("ROLLING_PROGRESS_DIR".into(), progress));
    workspace.variables.push(("TF_LOG".into(), "TRACE".into()));
    let log = workspace.path().join("log").to_string_lossy().into_owned();
    workspace.variables.push(("TF_LOG_PATH".into(), log));
    let [(first, one), (second, two)] = &accounts.fleets;
    let aliased =
        |alias: &str, account: &Account| json!({ "alias": alias, "aws": accounts.aws(account) });
    let of = |alias: &str, template: &str| {
        let mut resource = resource(template, "2");
        resource["provider"] = json!(format!("rolling.{alias}"));
        resource
    };
    let text = json!({
        "terraform": { "required_providers": { "rolling": { "source": "rolling/rolling" } } },
        "provider": { "rolling": [aliased("one", first), aliased("two", second)] },
        "resource": { "rolling_deployment": { "one": of("one", one), "two": of("two", two) } },
    });
    let text = in_terraform(text);
    workspace.write("main.tf.json", &text);
    workspace.init();
    let ran = workspace.run(&["plan", "-no-color", "-out", "plan"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(accounts.mutations(), Vec::<String>::new(), "a plan touches nothing");
    let ran = workspace.run(&["apply", "-no-color", "plan"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("2 added, 0 changed, 0 destroyed"), "{ran:?}");
    for (account, template) in &accounts.fleets {
        let instances = account.get("groups/web")["instances"].clone();
        let live: Vec<Value> =
            instances.as_object().expect("instances").values().cloned().collect();
        let all = live.iter().filter(|one| one["lifecycle"] == "InService");
        let wanted = format!("{template}:2");
        assert_eq!(all.filter(|one| one["revision"] == *wanted).count(), 10, "{live:?}");
    }
    // The rollout's own file, which `rolling status` and others read, does not show them either.
    std::fs::remove_file(workspace.path().join("main.tf.json")).expect("the configuration");
    let ran = run(std::process::Command::new("grep").args(["-rlF", SECRET]).arg(workspace.path()));
    assert_eq!(ran.stdout, "", "this file has the secret");
}

#[test]
fn the_wrong_account_and_a_role_that_is_refused_are_told_and_nothing_is_touched() {
    let Some(accounts) = Accounts::new() else { return };
    let workspace = accounts.workspace();
    let [(first, template), (second, _)] = &accounts.fleets;
    let write_with = |aws: &Value, group: Option<&str>| {
        let mut resource = resource(template, "2");
        if let Some(name) = group {
            resource["auto_scaling_group"]["name"] = json!(name);
        }
        let text = json!({
            "terraform": { "required_providers": { "rolling": { "source": "rolling/rolling" } } },
            "provider": { "rolling": { "aws": aws } },
            "resource": { "rolling_deployment": { "web": resource } },
        });
        workspace.write("main.tf.json", &in_terraform(text.clone()));
        // Only Terraform resolves variables.
        text.to_string().replace("${var.secret}", SECRET)
    };
    // The account of the keys themselves, where that of the role was meant.
    let mut wrong = accounts.aws(first);
    wrong["assume_role"] = Value::Null;
    write_with(&wrong, None);
    workspace.init();
    let allowed = format!(
        "aws.allowed_account_ids: check the account: the credentials are of account {}, and allowed is {}",
        accounts.base.id, first.id
    );
    let mut forbidden = accounts.aws(second);
    forbidden["forbidden_account_ids"] = forbidden["allowed_account_ids"].take();
    let is_forbidden = format!("the credentials are of account {}, which is forbidden", second.id);
    let denied = format!("the role {} cannot be assumed: AccessDenied", role(first));
    for (aws, fault, message) in [
        (wrong, None, allowed),
        (forbidden, None, is_forbidden),
        (accounts.aws(first), Some("sts.AssumeRole"), denied),
        (accounts.aws(first), Some("sts.GetCallerIdentity"), "GetCallerIdentity".into()),
    ] {
        let faults = fault.map(|action| json!({ "kind": "deny", "action": action, "count": null }));
        for (account, _) in &accounts.fleets {
            account.put("faults", json!(faults.as_slice()));
        }
        accounts.base.put("faults", json!(faults.as_slice()));
        let text = write_with(&aws, None);
        let ran = workspace.run(&["plan", "-no-color"]);
        assert_eq!(ran.code, 1, "{message}: {ran:?}");
        assert!(reply(&ran).contains(&message), "{message}: {ran:?}");
        assert!(reply(&ran).contains("in provider.rolling"), "{ran:?}");
        assert!(!ran.stderr.contains(SECRET), "{ran:?}");
        // The command line reports the same.
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = crate::process::rolling();
        for (name, value) in &workspace.variables {
            command.env(name, value);
        }
        let ran = run(command
            .arg("apply")
            .arg(write(folder.path(), &serde_json::from_str(&text).expect("JSON"))));
        assert_eq!(ran.code, 2, "{ran:?}");
        let output = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        let message = message.trim_start_matches("aws.allowed_account_ids: check the account: ");
        assert!(output.contains(message), "{message}: {ran:?}");
        assert_eq!(accounts.mutations(), Vec::<String>::new(), "{message}");
    }
}
