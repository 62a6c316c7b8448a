//! Terraform as it is installed, and a folder in which it runs with the provider as a user has it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use crate::process::{Ran, rolling, run};

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the Terraform (or OpenTofu) of the machine, or else the current one.
pub fn terraform() -> &'static Path {
    terraforms()[0]
}

/// Returns each Terraform there is: that of the machine, if any, and a current one.
pub fn terraforms() -> Vec<&'static Path> {
    static FOUND: OnceLock<Option<&Path>> = OnceLock::new();
    let of_machine = FOUND.get_or_init(|| {
        let answers = |name: &&Path| Command::new(name).arg("version").output().is_ok();
        ["terraform", "tofu"].map(Path::new).into_iter().find(answers)
    });
    of_machine.iter().copied().chain([current()]).collect()
}

/// Returns a current Terraform, which is installed if it is missing: the shared library of a
/// package of PyPI, made a command. `exec` keeps the process id, for signals.
pub fn current() -> &'static Path {
    static CURRENT: OnceLock<PathBuf> = OnceLock::new();
    CURRENT.get_or_init(|| {
        let done = Command::new("python3")
            .arg(root().join("tests/localstack/environment.py"))
            .arg("Terraform")
            .args(["tests/terraform/requirements.txt", "target/terraform"].map(|p| root().join(p)))
            .stderr(Stdio::inherit())
            .output()
            .expect("Python 3.11 or newer as `python3`, with its venv module");
        let python = String::from_utf8(done.stdout).expect("UTF-8");
        let python = python.trim();
        assert!(Path::new(python).is_file(), "Terraform was not installed; the reason is above");
        let launcher = root().join("tests/terraform/launch.py");
        let text = format!("#!/bin/sh\nexec {python:?} {launcher:?} \"$@\"\n");
        let folder = Path::new(python).parent().expect("a folder");
        // A process that runs it meanwhile must not find half a file.
        let mut made = tempfile::NamedTempFile::new_in(folder).expect("a file");
        made.write_all(text.as_bytes()).expect("a file");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        made.as_file().set_permissions(mode).expect("a program");
        let program = folder.join("terraform");
        made.persist(&program).expect("a program");
        program
    })
}

/// Returns where an unpacked AWS provider lies, as a mirror of a registry, or `None` after
/// reporting that there is none. It may be where Terraform itself looks, or in a subfolder of
/// `/opt`.
#[cfg(feature = "aws")]
pub fn aws_mirror() -> Option<&'static PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
        let mut folders: Vec<PathBuf> =
            std::env::var_os("TF_PLUGIN_CACHE_DIR").map(PathBuf::from).into_iter().collect();
        folders.extend(
            [".terraform.d/plugins", ".local/share/terraform/plugins"].map(|p| home.join(p)),
        );
        let system = ["/usr/local/share/terraform/plugins", "/usr/share/terraform/plugins"];
        folders.extend(system.map(PathBuf::from));
        let optional = std::fs::read_dir("/opt").into_iter().flatten().flatten();
        folders.extend(optional.map(|entry| entry.path()));
        folders
            .into_iter()
            .find(|folder| folder.join("registry.terraform.io/hashicorp/aws").is_dir())
    });
    if found.is_none() {
        eprintln!(
            "skipped: there is no unpacked AWS provider (registry.terraform.io/hashicorp/aws)"
        );
    }
    found.as_ref()
}

/// A folder with a configuration, and the provider installed as a user would.
pub struct Workspace {
    pub program: &'static Path,
    pub folder: tempfile::TempDir,
    pub variables: Vec<(String, String)>,
}

impl Workspace {
    /// `mirror` has further providers.
    pub fn new(program: &'static Path, mirror: Option<&Path>) -> Workspace {
        let folder = tempfile::tempdir().expect("a folder");
        let own = folder.path().join("mirror");
        let ran = run(Command::new("sh")
            .arg(root().join("examples/terraform/install.sh"))
            .args([Path::new(env!("CARGO_BIN_EXE_rolling")), &own]));
        assert_eq!(ran.code, 0, "{ran:?}");
        let installation = |path: &Path, include: &str| {
            format!(
                "  filesystem_mirror {{\n    path    = {path:?}\n    include = [{include:?}]\n  }}\n"
            )
        };
        let mut mirrors = installation(&own, "rolling/rolling");
        if let Some(mirror) = mirror {
            mirrors += &installation(mirror, "hashicorp/*");
        }
        let settings = format!("provider_installation {{\n{mirrors}}}\n");
        std::fs::write(folder.path().join("cli.tfrc"), settings).expect("settings");
        std::fs::create_dir(folder.path().join("stack")).expect("a folder");
        Workspace { program, folder, variables: Vec::new() }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("stack")
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).expect("a file");
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        // Without the surrounding AWS configuration.
        let clean = rolling();
        let mut command = Command::new(self.program);
        for (name, value) in clean.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
            .args(arguments)
            .env("TF_CLI_CONFIG_FILE", self.folder.path().join("cli.tfrc"))
            .env("TF_IN_AUTOMATION", "1")
            .env("NO_COLOR", "1")
            .env("TMPDIR", self.folder.path())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.path())
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        run(&mut self.command(arguments))
    }

    pub fn init(&self) {
        let ran = self.run(&["init", "-no-color"]);
        assert_eq!(ran.code, 0, "{ran:?}");
    }

    pub fn apply(&self, more: &[&str]) -> Ran {
        self.run(&[&["apply", "-auto-approve", "-no-color"], more].concat())
    }

    /// Plans: it exits with 0 for no changes, and with 2 for some.
    pub fn plan(&self, more: &[&str]) -> Ran {
        self.run(&[&["plan", "-detailed-exitcode", "-no-color"], more].concat())
    }

    /// Returns the one deployment in the state file; null if there is none.
    pub fn state(&self) -> Value {
        let text = std::fs::read_to_string(self.path().join("terraform.tfstate")).expect("a state");
        let state: Value = serde_json::from_str(&text).expect("JSON");
        let resources = state["resources"].as_array().expect("resources");
        let found = resources.iter().find(|resource| resource["type"] == "rolling_deployment");
        found.map_or(Value::Null, |resource| resource["instances"][0]["attributes"].clone())
    }

    /// Begins to apply, in a process group of its own, as in a terminal.
    pub fn begin(&self, more: &[&str]) -> Running {
        use std::os::unix::process::CommandExt as _;
        let mut command = self.command(&[&["apply", "-auto-approve", "-no-color"], more].concat());
        let log = std::fs::File::create(self.folder.path().join("apply.log")).expect("a log");
        command.process_group(0).stdout(log.try_clone().expect("a log")).stderr(log);
        Running(command.spawn().expect("a start"))
    }
}

/// A running Terraform. No process of it survives the test.
pub struct Running(pub Child);

impl Running {
    /// Sends a signal: to Terraform alone, or to the whole group.
    pub fn signal(&self, name: &str, to_all: bool) {
        let id = self.0.id().to_string();
        let to = if to_all { format!("-{id}") } else { id };
        let sent = Command::new("kill").args([name, "--", &to]).stderr(Stdio::null()).status();
        sent.expect("kill");
    }

    /// Returns the providers of ours that it has started and that are alive.
    pub fn plugins(&self) -> Vec<String> {
        let id = self.0.id().to_string();
        let found =
            run(Command::new("pgrep").args(["-g", &id, "-f", "terraform-provider-rolling"]));
        found.stdout.lines().map(str::to_owned).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal("-KILL", true);
        self.0.wait().map(drop).unwrap_or_default();
    }
}
