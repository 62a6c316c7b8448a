//! A control node of Ansible with the module installed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::process::{Ran, run};

pub(super) const COLLECTION: &str = "collections/ansible_collections/rolling/rolling";
pub(super) const MODULE: &str = "rolling.rolling.rolling_deployment";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(super) fn example(path: &str) -> PathBuf {
    root().join("examples/ansible").join(path)
}

/// Returns the folder of Ansible's programs, which are installed if they are missing.
pub(super) fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let done = Command::new("python3")
            .arg(root().join("tests/localstack/environment.py"))
            .arg("Ansible")
            .arg(root().join("tests/ansible/requirements.txt"))
            .arg(root().join("target/ansible"))
            .stderr(std::process::Stdio::inherit())
            .output()
            .unwrap_or_else(|error| {
                panic!(
                    "these tests need Python 3.11 or newer as `python3`, with its venv module, to \
                     install Ansible: {error}"
                )
            });
        let python = String::from_utf8(done.stdout).expect("UTF-8");
        let python = Path::new(python.trim());
        assert!(python.is_file(), "Ansible was not installed; the reason is above");
        python.parent().expect("a folder").to_owned()
    })
}

/// A control node: a folder with the collection and the program in it.
pub struct Node {
    folder: tempfile::TempDir,
    pub(super) environment: Vec<(String, String)>,
}

impl Node {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        copy(&example("collections"), &folder.path().join("collections"));
        std::fs::copy(example("ansible.cfg"), folder.path().join("ansible.cfg")).expect("a copy");
        let place = folder.path().join(COLLECTION).join("plugins/modules/rolling_deployment");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_rolling"), place).expect("a link");
        Self { folder, environment: Vec::new() }
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Returns one of Ansible's programs, without the surrounding configuration.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(programs().join(program));
        for (name, _) in std::env::vars() {
            let foreign = ["AWS_", "ANSIBLE_", "PYTHON"];
            if name == "RUST_LOG" || foreign.iter().any(|start| name.starts_with(start)) {
                command.env_remove(name);
            }
        }
        let home = self.path().join("home");
        command
            .current_dir(self.path())
            .env("ANSIBLE_HOME", &home)
            .env("ANSIBLE_LOCAL_TEMP", home.join("local"))
            .env("ANSIBLE_REMOTE_TEMP", home.join("remote"))
            .env("ANSIBLE_NOCOLOR", "1")
            .env("LC_ALL", "C.UTF-8")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", "/nonexistent")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
            .envs(self.environment.clone())
            .stdin(std::process::Stdio::null());
        command
    }

    /// Runs `ansible-playbook`. Each task's answer is one line of JSON on standard output.
    pub(super) fn play(&self, playbook: &Path, options: &[&str]) -> Ran {
        let mut command = self.command("ansible-playbook");
        command
            .env("ANSIBLE_CALLBACK_PLUGINS", root().join("tests/ansible/callback"))
            .env("ANSIBLE_STDOUT_CALLBACK", "answers");
        run(command.arg(playbook).args(options))
    }

    /// Runs the module in a playbook of one task.
    pub fn task(&self, arguments: &Value, options: &[&str]) -> Value {
        let file = self.path().join("task.yml");
        // JSON is YAML.
        let play = json!([{
            "hosts": "localhost", "gather_facts": false, "tasks": [{ MODULE: arguments }],
        }]);
        std::fs::write(&file, play.to_string()).expect("a playbook");
        result(&self.play(&file, options), 0)
    }

    /// Runs the module ad hoc, with its arguments on the command line.
    pub(super) fn adhoc(&self, arguments: &str) -> Ran {
        run(self.command("ansible").args(["localhost", "-m", MODULE, "-a", arguments]))
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else if !path.ends_with("plugins/modules/rolling_deployment") {
            std::fs::copy(&path, target).expect("a copy");
        }
    }
}

/// Returns the answer of the task with this number.
pub(super) fn result(ran: &Ran, task: usize) -> Value {
    ran.lines().get(task).unwrap_or_else(|| panic!("{ran:?}")).clone()
}
