//! Commands, somebody else's updates, and followers that are killed.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use super::commands::rolling;
use super::{UPDATE, environment, events, steps, thirty_percent, times, versions, wanted, why};
use crate::emulator::{Account, account, three_at_once};
use crate::process::{self, Ran};

const COMMAND: &str = "aws:elasticbeanstalk:command";

/// Slow enough for programs to be started meanwhile, until [`hurry`].
pub(super) fn slow(account: &Account) {
    let mut slow = times();
    slow["eb_deploy"] = json!(12);
    slow["eb_settings"] = json!(10);
    account.put("times", slow);
}

/// What begins from here on is quick again.
pub(super) fn hurry(account: &Account) {
    account.put("times", times());
}

pub(super) fn status(account: &Account) -> String {
    account.get("environments/web-prod")["status"].as_str().unwrap_or_default().to_owned()
}

/// Writes a document beside those that the test runs meanwhile.
fn document(account: &Account, wanted: &Value) -> PathBuf {
    let provider = json!({ "rolling": { "aws": { "region": "us-east-1" } } });
    let deployment = json!({ "rolling_deployment": { "web": wanted } });
    let document = json!({ "provider": provider, "resource": deployment });
    // Several may read their documents at the same time.
    let folder = tempfile::tempdir_in(account.folder.path()).expect("a folder").keep();
    process::write(&folder, &document)
}

/// Starts an apply beside what the test runs meanwhile.
pub(super) fn spawn(account: &Account, wanted: &Value) -> Child {
    start(account, "apply", wanted)
}

/// Starts a subcommand, with its options, beside what the test runs meanwhile.
pub(super) fn start(account: &Account, subcommand: &str, wanted: &Value) -> Child {
    let mut command = account.rolling();
    command.args(subcommand.split(' ')).args(["--output", "json"]).arg(document(account, wanted));
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the program starts")
}

/// How the run came to its end: a command's own answer follows the report.
pub(super) fn outcome(ran: &Ran) -> Value {
    let ended = events(ran, "finished");
    let [ended] = &ended[..] else { panic!("one end: {ran:?}") };
    ended["report"]["outcome"].clone()
}

/// Returns the calls for an environment whose update is aborted, and deployed again.
pub fn called() -> BTreeSet<String> {
    let Some(account) = account() else { return BTreeSet::new() };
    // Batches enough for a program that starts slowly, on a machine busy with other tests.
    environment(&account, 8, &json!([]));
    let v2 = wanted(&rolling(1), "v2");
    slow(&account);
    let first = spawn(&account, &v2);
    process::until("one runs it", || versions(&account).contains_key("v2"));
    let aborted = account.run("abort", &v2);
    assert_eq!(aborted.code, 0, "{aborted:?}");
    process::end(first);
    account.called()
}

/// Killed while options are set, while each of the batches is deployed, or right after a call: another
/// one joins, and nothing is started twice.
#[test]
fn a_follower_that_is_killed_is_followed_by_another() {
    if account().is_none() {
        return;
    }
    three_at_once(0..6, killed);
}

fn killed(moment: u32) {
    let Some(account) = account() else { return };
    let as_it_is = json!([
        { "Namespace": COMMAND, "OptionName": "DeploymentPolicy", "Value": "Rolling" },
        { "Namespace": COMMAND, "OptionName": "BatchSizeType", "Value": "Fixed" },
        { "Namespace": COMMAND, "OptionName": "BatchSize", "Value": "2" },
    ]);
    // Only the first one has to set options.
    environment(&account, 4, &if moment == 0 { json!([]) } else { as_it_is });
    slow(&account);
    let wanted = wanted(&rolling(2), "v2");
    let mut first = spawn(&account, &wanted);
    process::until("the moment is reached", || match moment {
        0 | 1 => account.count(UPDATE) > 0,
        2 => status(&account) == "Updating",
        3 => versions(&account).contains_key("v2"),
        4 => account.get("environments/web-prod")["batches"].as_array().map(Vec::len) == Some(2),
        _ => {
            account.count("elasticbeanstalk.DescribeInstancesHealth") > 0
                && status(&account) == "Updating"
        }
    });
    first.kill().expect("it is killed");
    hurry(&account);
    process::end(first);
    let second = account.run("apply", &wanted);
    assert_eq!(second.code, 0, "moment {moment}: {second:?}");
    assert_eq!(versions(&account), [("v2".to_owned(), 4)].into(), "moment {moment}");
    let options = u64::from(moment == 0);
    assert_eq!(account.count(UPDATE), 1 + options, "moment {moment}");
    assert_eq!(account.violations(), Vec::<String>::new());
}

#[test]
fn an_update_of_somebody_else_is_joined_or_left_alone() {
    let Some(account) = account() else { return };
    environment(&account, 4, &json!([]));
    slow(&account);
    account.shared();
    let update = |more: &str| {
        let form =
            format!("Action=UpdateEnvironment&Version=2010-12-01&EnvironmentName=web-prod{more}");
        account.query("elasticbeanstalk", &form);
    };
    update("&VersionLabel=v3");
    process::until("it is Updating", || status(&account) == "Updating");
    let other = account.run("apply", &wanted(&thirty_percent(), "v2"));
    assert_eq!(other.code, 5, "{other:?}");
    assert!(why(&other).contains("to v3 is under way"), "{other:?}");
    let same = account.run("apply", &wanted(&thirty_percent(), "v3"));
    assert_eq!(same.code, 0, "{same:?}");
    assert_eq!(steps(&same), ["joined"]);
    // Options that somebody else changes are neither ours nor a deployment.
    update(
        "&OptionSettings.member.1.Namespace=aws%3Aelasticbeanstalk%3Acommand\
         &OptionSettings.member.1.OptionName=BatchSize&OptionSettings.member.1.Value=50",
    );
    process::until("it is Updating", || status(&account) == "Updating");
    let busy = account.run("apply", &wanted(&thirty_percent(), "v2"));
    assert_eq!(busy.code, 5, "{busy:?}");
    assert!(why(&busy).contains("Updating"), "{busy:?}");
}

/// Side by side, since they mostly wait.
#[test]
fn an_update_under_way_is_aborted_and_rolled_back() {
    if account().is_some() {
        three_at_once(
            [
                abort_leaves_it_mixed as fn(),
                rollback_deploys_the_completed_version_and_pause_and_resume_are_refused,
            ],
            |it| it(),
        );
    }
}

fn abort_leaves_it_mixed() {
    let Some(account) = account() else { return };
    environment(&account, 4, &json!([]));
    let v2 = wanted(&rolling(1), "v2");
    slow(&account);
    let first = spawn(&account, &v2);
    process::until("one runs it", || versions(&account).contains_key("v2"));
    let aborted = account.run("abort", &v2);
    assert_eq!(aborted.code, 0, "{aborted:?}");
    assert_eq!(outcome(&aborted), "aborted");
    process::end(first);
    assert!(versions(&account).len() == 2, "{:?}", versions(&account));
}

fn rollback_deploys_the_completed_version_and_pause_and_resume_are_refused() {
    let Some(account) = account() else { return };
    environment(&account, 4, &json!([]));
    slow(&account);
    let v3 = wanted(&rolling(1), "v3");
    let first = spawn(&account, &v3);
    process::until("one runs it", || versions(&account).contains_key("v3"));
    hurry(&account);
    let back = account.run("rollback", &v3);
    assert_eq!(back.code, 0, "{back:?}");
    process::end(first);
    assert_eq!(versions(&account), [("v1".to_owned(), 4)].into());
    assert_eq!(outcome(&back), "rolled_back");

    for command in ["pause", "resume"] {
        let refused = account.run(command, &v3);
        assert_ne!(refused.code, 0, "{refused:?}");
        assert!(refused.stdout.contains("environment update"), "{refused:?}");
    }
}
