//! A secret from a sensitive variable, in a command's parameters and in a gate's environment.

use serde_json::{Value, json};

use super::workspace::{Workspace, terraform};
use crate::lab::updates::{base, fleet};
use crate::process::run;

const SECRET: &str = "hunter2-hunter2-hunter2";

#[test]
fn a_secret_is_in_the_states_own_attribute_and_nowhere_else() {
    let Some(fleet) = fleet(false, &[None, None]) else { return };
    let mut workspace = Workspace::new(terraform(), None);
    let of_account = fleet.account.environment().into_iter();
    workspace.variables.extend(of_account.map(|(name, value)| (name.into(), value)));
    let files = workspace.path().join("files");
    std::fs::create_dir(&files).expect("a folder");
    for (name, value) in [
        ("TF_VAR_secret", SECRET.to_owned()),
        ("TF_LOG", "TRACE".into()),
        ("TF_LOG_PATH", files.join("log").to_string_lossy().into_owned()),
        ("ROLLING_PROGRESS_DIR", files.to_string_lossy().into_owned()),
    ] {
        workspace.variables.push((name.into(), value));
    }
    let mut resource = fleet.of(base("1"));
    resource["replacement"]["run_command"]["parameters"]["Release"] = json!(["${var.secret}"]);
    let check = format!("test \"$TOKEN\" = {SECRET} && echo \"the token is right\"");
    let script = files.join("check.sh");
    std::fs::write(&script, check).expect("a script");
    resource["gates"] = json!({
        "command": {
            "run": ["sh", script], "environment": { "TOKEN": "${var.secret}" }, "timeout": "3s",
        },
    });
    let text = json!({
        "terraform": { "required_providers": { "rolling": { "source": "rolling/rolling" } } },
        "variable": { "secret": { "type": "string", "sensitive": true } },
        "resource": { "rolling_deployment": { "web": resource } },
    });
    workspace.write("main.tf.json", &text.to_string());
    workspace.init();
    let plan = workspace.plan(&[]);
    let ran = workspace.apply(&[]);
    assert_eq!((plan.code, ran.code), (2, 0), "{plan:?} {ran:?}");
    let again = workspace.plan(&["-refresh-only"]);
    // The exit code does not tell: with two sensitive values, of any provider, Terraform keeps
    // their paths in random order and takes another order for a change.
    assert!(again.stdout.contains("No changes."), "{again:?}");
    // The command gets it.
    let sent = fleet.account.parameters("SendCommand");
    assert!(sent.iter().all(|call| call["Parameters"]["Release"] == json!([SECRET])), "{sent:?}");
    // A gate that fails, and a configuration with another secret, do not show it either.
    std::fs::write(&script, "echo nothing; exit 1").expect("a script");
    workspace.variables.push(("TF_VAR_secret".into(), format!("{SECRET}-2")));
    let failed = workspace.apply(&[]);
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(failed.stderr.contains("was rolled back"), "{failed:?}");

    // Every call but the command itself; above all those that write tags.
    let calls = fleet.account.calls().into_iter().filter(|call| call["action"] != "SendCommand");
    let calls: Vec<String> = calls.map(|call| call.to_string()).collect();
    assert!(calls.iter().any(|call| call.contains("CreateTags")), "{calls:?}");
    for (what, text) in [
        ("plan", format!("{plan:?}")),
        ("apply", format!("{ran:?}")),
        ("refresh", format!("{again:?}")),
        ("failed apply", format!("{failed:?}")),
        ("calls", calls.join("\n")),
    ] {
        assert!(!text.contains(SECRET), "{what}: {text}");
    }
    let found =
        run(std::process::Command::new("grep").args(["-rlF", SECRET]).arg(workspace.path()));
    let mut found: Vec<String> = found.stdout.lines().map(str::to_owned).collect();
    found.sort();
    let states = ["terraform.tfstate", "terraform.tfstate.backup"];
    let states = states.map(|name| workspace.path().join(name).to_string_lossy().into_owned());
    assert_eq!(found, states);
    for state in &states {
        let text = std::fs::read_to_string(state).expect("a state");
        let mut state: Value = serde_json::from_str(&text).expect("JSON");
        let attributes = &mut state["resources"][0]["instances"][0]["attributes"];
        attributes["replacement"]["run_command"]["parameters"].take();
        attributes["gates"]["command"]["environment"].take();
        assert!(!state.to_string().contains(SECRET), "{state}");
    }
}
