//! Every file in `examples/` is run here.

use std::path::{Path, PathBuf};

use crate::process::{rolling, run};

fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(path)
}

#[test]
fn the_quickstart_rolls() {
    let folder = tempfile::tempdir().expect("a folder");
    let ran = run(rolling()
        .current_dir(folder.path())
        .arg("apply")
        .arg(example("quickstart/web.tf.json")));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("batches of 3, 3, 3, 1"), "{}", ran.stdout);
    assert!(ran.stdout.contains("web: succeeded, 10 instances on v2 after 4 batches"));
}

/// The events in it happen, and none of them is charged to the revision.
#[test]
fn the_rehearsal_comes_through() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = example("quickstart/rehearsal.tf.json");
    let ran = run(rolling().current_dir(folder.path()).arg("apply").arg(&file));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("rehearsal: succeeded, 12 instances on v2"), "{}", ran.stdout);
    let text = std::fs::read_to_string(folder.path().join(".rolling/rehearsal.json"));
    let fleet: serde_json::Value = serde_json::from_str(&text.expect("a state")).expect("JSON");
    assert_eq!(fleet["capacity"]["desired"], 12);
    assert_eq!(fleet["template"], "v2");
    // The first ten, and one for each of the twelve at the end; others were reclaimed, or went when
    // the size was set back.
    assert!(fleet["launched"].as_u64() >= Some(10 + 12), "{}", fleet["launched"]);
    assert_eq!(fleet["tags"], serde_json::json!({}));
}

#[test]
fn the_examples_of_platforms_are_valid() {
    for file in
        ["kubernetes/local/web.tf.json", "kubernetes/eks/web.tf.json", "beanstalk/web.tf.json"]
    {
        let ran = run(rolling().arg("validate").arg(example(file)));
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(ran.stderr, "", "{file}");
    }
}

#[cfg(feature = "aws")]
#[test]
fn the_localstack_example_makes_a_fleet_that_rolls_and_leaves_nothing_running() {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("web.tf.json");
    let mut up = Command::new("python3")
        .arg(example("localstack/up.py"))
        .args(["--port", "0", "--document"])
        .arg(&file)
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python 3.11 or newer as `python3`");
    let mut reply = String::new();
    let mut out = BufReader::new(up.stdout.take().expect("a pipe"));
    while !reply.contains("a bad one") {
        assert_ne!(out.read_line(&mut reply).expect("a line"), 0, "LocalStack did not start");
    }
    let message = reply.lines().find(|line| line.contains("export ")).expect("what to export");
    let mut command = rolling();
    for pair in message.split_whitespace().filter_map(|word| word.split_once('=')) {
        command.env(pair.0, pair.1);
    }
    let ran = run(command.arg("apply").arg(&file));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("batches of 2, 2, 2"), "{}", ran.stdout);

    let text = std::fs::read_to_string(&file).expect("the document");
    let document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let endpoint = document["provider"]["rolling"]["aws"]["endpoint_url"].clone();
    let address = endpoint.as_str().and_then(|e| e.strip_prefix("http://")).expect("an address");
    crate::process::signal(up.id(), "-INT");
    assert_eq!(up.wait().expect("an end").code(), Some(0));
    assert!(std::net::TcpStream::connect(address).is_err(), "LocalStack still listens");
}
