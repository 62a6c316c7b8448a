//! The provider under the real Terraform (or OpenTofu), where there is one: otherwise each test
//! says that it was skipped. The protocol itself is in `plugin.rs`, which needs neither.

use std::path::{Path, PathBuf};
#[cfg(feature = "aws")]
use std::process::Child;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::process::{Ran, rolling, run, signal};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The program, or `None` after saying why there is none.
fn terraform() -> Option<&'static str> {
    static FOUND: OnceLock<Option<&str>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let answers = |name: &&str| Command::new(*name).arg("version").output().is_ok();
        ["terraform", "tofu"].into_iter().find(answers)
    });
    if found.is_none() {
        eprintln!("skipped: there is neither terraform nor tofu on the PATH");
    }
    *found
}

/// Where an unpacked AWS provider lies, as a mirror of a registry; `None` after saying so. Looked at
/// are the folders where Terraform itself looks, and the subfolders of `/opt`.
#[cfg(feature = "aws")]
fn aws_mirror() -> Option<&'static PathBuf> {
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
struct Workspace {
    program: &'static str,
    folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

impl Workspace {
    /// `mirror` has further providers.
    fn new(program: &'static str, mirror: Option<&Path>) -> Workspace {
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

    fn path(&self) -> PathBuf {
        self.folder.path().join("stack")
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).expect("a file");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        // Nothing of the surrounding AWS configuration.
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

    fn run(&self, arguments: &[&str]) -> Ran {
        run(&mut self.command(arguments))
    }

    fn init(&self) {
        let ran = self.run(&["init", "-no-color"]);
        assert_eq!(ran.code, 0, "{ran:?}");
    }

    fn apply(&self, more: &[&str]) -> Ran {
        self.run(&[&["apply", "-auto-approve", "-no-color"], more].concat())
    }

    /// The exit code of a plan: 0 for no changes, 2 for some.
    fn plan(&self, more: &[&str]) -> Ran {
        self.run(&[&["plan", "-detailed-exitcode", "-no-color"], more].concat())
    }

    /// What the state file says of the one deployment; null where it has none.
    fn state(&self) -> Value {
        let text = std::fs::read_to_string(self.path().join("terraform.tfstate")).expect("a state");
        let state: Value = serde_json::from_str(&text).expect("JSON");
        let resources = state["resources"].as_array().expect("resources");
        let found = resources.iter().find(|resource| resource["type"] == "rolling_deployment");
        found.map_or(Value::Null, |resource| resource["instances"][0]["attributes"].clone())
    }

    /// Begins to apply, in a group of processes of its own, as in a terminal.
    #[cfg(feature = "aws")]
    fn begin(&self, more: &[&str]) -> Running {
        use std::os::unix::process::CommandExt as _;
        let mut command = self.command(&[&["apply", "-auto-approve", "-no-color"], more].concat());
        let log = std::fs::File::create(self.folder.path().join("apply.log")).expect("a log");
        command.process_group(0).stdout(log.try_clone().expect("a log")).stderr(log);
        Running(command.spawn().expect("a start"))
    }
}

/// Terraform at work. Nothing of it survives the test.
#[cfg(feature = "aws")]
struct Running(Child);

#[cfg(feature = "aws")]
impl Running {
    /// Sends a signal: to Terraform alone, or to the whole group.
    fn signal(&self, name: &str, to_all: bool) {
        let id = self.0.id().to_string();
        let to = if to_all { format!("-{id}") } else { id };
        let sent = Command::new("kill").args([name, "--", &to]).stderr(Stdio::null()).status();
        sent.expect("kill");
    }

    /// The providers of ours that it has started and that live.
    fn plugins(&self) -> Vec<String> {
        let id = self.0.id().to_string();
        let found =
            run(Command::new("pgrep").args(["-g", &id, "-f", "terraform-provider-rolling"]));
        found.stdout.lines().map(str::to_owned).collect()
    }
}

#[cfg(feature = "aws")]
impl Drop for Running {
    fn drop(&mut self) {
        self.signal("-KILL", true);
        self.0.wait().map(drop).unwrap_or_default();
    }
}

/// The part of `page` that begins with the comment `name` and ends with the next one.
fn part<'a>(page: &'a str, name: &str) -> &'a str {
    let begin = page.find(&format!("<!-- {name}: ")).expect("a place for the schema");
    let after = begin + page[begin..].find("-->\n").expect("an end of the comment") + 4;
    &page[after..after + page[after..].find("<!-- end -->").expect("an end")]
}

#[test]
fn the_documentation_is_that_of_the_schema_and_its_examples_are_valid() {
    let file = root().join("docs/terraform.md");
    let page = std::fs::read_to_string(&file).expect("docs/terraform.md");
    let provider = format!("\n{}\n", rolling::terraform::docs::provider().trim_end());
    let resource = format!("\n{}\n", rolling::terraform::docs::resource().trim_end());
    let wanted = [("provider", &provider), ("resource", &resource)];
    if std::env::var("ROLLING_UPDATE").is_ok() {
        let mut page = page.clone();
        for (name, text) in wanted {
            let old = part(&page, name);
            let at = old.as_ptr() as usize - page.as_ptr() as usize;
            page = format!("{}{text}{}", &page[..at], &page[at + old.len()..]);
        }
        std::fs::write(&file, page).expect("the documentation");
        return;
    }
    for (name, text) in wanted {
        assert!(part(&page, name) == *text, "run the tests with ROLLING_UPDATE=1 to renew {name}");
    }

    let Some(program) = terraform() else { return };
    let blocks = page.split("```terraform\n").skip(1);
    let blocks: Vec<&str> = blocks.map(|rest| rest.split("```").next().expect("an end")).collect();
    let demo = blocks.iter().find(|block| block.contains("\"demo\"")).expect("an example");
    let workspace = Workspace::new(program, None);
    workspace.write("main.tf", &format!("{}{demo}", blocks[0]));
    workspace.init();
    let ran = workspace.run(&["validate", "-no-color"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = workspace.apply(&[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    // The resource in the page is the one of the example.
    let example = std::fs::read_to_string(root().join("examples/terraform/deployment.tf"));
    let example = example.expect("the example");
    for block in &blocks {
        for line in block.lines().filter(|line| line.contains("aws_launch_template.web")) {
            assert!(example.contains(line.trim()), "{line}");
        }
    }
}

const SIMULATED: &str = r#"
terraform {
  required_providers {
    rolling = { source = "rolling/rolling" }
  }
}

provider "rolling" {
  simulator = { speed = 400 }
}

variable "revision" {
  default = "v2"
}

variable "timeout" {
  default = "2h"
}

resource "rolling_deployment" "web" {
  policy          = "Rolling"
  max_surge       = 2
  simulated_fleet = {
    name          = "web"
    revision      = var.revision
    boot_sigma    = 0.3
    bad_revisions = { v3 = "unhealthy" }
  }
  health = { healthy_timeout = "1h" }
  timeouts {
    update = var.timeout
  }
}

output "status" {
  value = rolling_deployment.web.status
}
"#;

#[test]
fn a_simulated_fleet_is_rolled_changed_imported_and_destroyed() {
    let Some(program) = terraform() else { return };
    let workspace = Workspace::new(program, None);
    workspace.write("main.tf", SIMULATED);
    workspace.init();
    assert_eq!(workspace.run(&["validate"]).code, 0);
    let ran = workspace.apply(&[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("To create this rolls web from v1 to v2"), "{ran:?}");
    assert!(ran.stdout.contains("status = \"succeeded\""), "{ran:?}");
    let ran = workspace.plan(&[]);
    assert_eq!(ran.code, 0, "{ran:?}");

    // A saved plan is carried out to the letter.
    let four = ["-var", "revision=v4"];
    let ran = workspace.plan(&[&four[..], &["-out", "plan"]].concat());
    assert_eq!(ran.code, 2, "{ran:?}");
    let words: Vec<&str> = ran.stdout.split_whitespace().collect();
    let shows = |line: &[&str]| words.windows(line.len()).any(|words| words == line);
    assert!(shows(&["+", "launches", "=", "2"]), "{ran:?}");
    assert!(shows(&["expected_duration", "=", "\"0s\"", "->", "\"5m", "50s\""]), "{ran:?}");
    assert!(ran.stdout.contains(r#""v2" -> "v4""#), "{ran:?}");
    let ran = workspace.run(&["apply", "-no-color", "plan"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(workspace.state()["deployed_revision"], "v4");

    // Another timeout alone is stored, and rolls nothing.
    let ran = workspace.apply(&[&four[..], &["-var", "timeout=3h"]].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("1 changed"), "{ran:?}");
    assert_eq!(ran.stdout.matches("(known after apply)").count(), 0, "{ran:?}");

    // A bad one: the apply fails, the fleet is back, and the plan shows the change again.
    let bad = ["-var", "revision=v3", "-var", "timeout=3h"];
    let ran = workspace.apply(&bad);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("web went back from v3 to v4: instance i-"), "{ran:?}");
    assert!(ran.stderr.contains("Nothing is borrowed any more."), "{ran:?}");
    let state = workspace.state();
    assert_eq!(
        (&state["status"], &state["deployed_revision"]),
        (&json!("rolled_back"), &json!("v4"))
    );
    let ran = workspace.plan(&bad);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stdout.contains(r#""v4" -> "v3""#), "{ran:?}");

    // To destroy it touches no instance; a resource like what an import finds has nothing to do.
    let fleet = || {
        let text = std::fs::read_to_string(workspace.path().join(".rolling/web.json"));
        let fleet: Value = serde_json::from_str(&text.expect("the fleet")).expect("JSON");
        fleet["instances"].as_object().expect("instances").keys().cloned().collect::<Vec<_>>()
    };
    let before = fleet();
    let ran = workspace.run(&["destroy", "-auto-approve", "-no-color"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!((fleet(), workspace.state()), (before, Value::Null));
    let like = SIMULATED
        .replace(
            "\"Rolling\"\n  max_surge       = 2",
            "\"rolling\"\n  batch_size_type = \"fixed\"\n  batch_size = 1",
        )
        .replace("boot_sigma    = 0.3", "")
        .replace("bad_revisions = { v3 = \"unhealthy\" }", "")
        .replace("health = { healthy_timeout = \"1h\" }", "")
        .replace("timeouts {\n    update = var.timeout\n  }", "");
    workspace.write("main.tf", &like);
    let import = ["import", "-no-color", "-var", "revision=v4", "rolling_deployment.web"];
    let ran = workspace.run(&[&import[..], &["simulated_fleet/web"]].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = workspace.plan(&four);
    // The fleet is one of ten that is made by its name: what it would be made of is not in it.
    assert_eq!(ran.code, 0, "{ran:?}");
}

/// What another resource of the same apply makes is not known when it is planned.
#[test]
fn values_that_are_not_known_yet_are_planned_and_applied_in_one_go() {
    let Some(program) = terraform() else { return };
    let workspace = Workspace::new(program, None);
    let head = &SIMULATED[..SIMULATED.find("provider \"rolling\"").expect("a provider")];
    let body = r#"
variable "revision" {
  default = "v2"
}

resource "terraform_data" "it" {
  input = {
    speed = 400, revision = var.revision, name = "web", size = 30, timeout = "1h", bad = "unhealthy"
    percentages = [20, 50]
  }
}

provider "rolling" {
  simulator = { speed = terraform_data.it.output.speed }
}

resource "rolling_deployment" "revision" {
  policy          = "rolling"
  max_unavailable = 3
  simulated_fleet = {
    name = "revision", revision = terraform_data.it.output.revision
    bad_revisions = { v9 = terraform_data.it.output.bad }
  }
  health = { healthy_timeout = terraform_data.it.output.timeout }
}

resource "rolling_deployment" "all" {
  policy          = "rolling"
  batch_size_type = "percentage"
  batch_size      = terraform_data.it.output.size
  checkpoints = [for percentage in terraform_data.it.output.percentages : {
    percentage = percentage, pause = "1s"
  }]
  simulated_fleet = {
    name = terraform_data.it.output.name, revision = terraform_data.it.output.revision
  }
}

resource "rolling_deployment" "each" {
  for_each        = toset(["a", "b", "c", "d"])
  policy          = "immutable"
  health          = { healthy_timeout = "1h" }
  simulated_fleet = {
    name = "each-${each.key}", revision = terraform_data.it.output.revision
  }
}
"#;
    workspace.write("main.tf", &format!("{head}{body}"));
    workspace.init();
    for revision in ["v2", "v4"] {
        let revision = ["-var", &format!("revision={revision}")];
        let ran = workspace.apply(&revision);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.stdout.contains("(known after apply)"), "{ran:?}");
        let ran = workspace.plan(&revision);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    let state = std::fs::read_to_string(workspace.path().join("terraform.tfstate"));
    assert_eq!(state.expect("a state").matches(r#""deployed_revision": "v4""#).count(), 6);
}

#[test]
fn a_provider_that_runs_already_is_used() {
    let Some(program) = terraform() else { return };
    let mut workspace = Workspace::new(program, None);
    workspace.write("main.tf", SIMULATED);
    workspace.init();
    let mut served = rolling()
        .arg("terraform")
        .env("TMPDIR", workspace.folder.path())
        .current_dir(workspace.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a start");
    let mut line = String::new();
    let mut out = std::io::BufReader::new(served.stdout.take().expect("a pipe"));
    std::io::BufRead::read_line(&mut out, &mut line).expect("a line");
    let (name, value) = line
        .trim()
        .strip_prefix("export ")
        .and_then(|line| line.split_once('='))
        .expect("what to export");
    let value = value.trim_matches('\'').to_owned();
    workspace.variables.push((name.to_owned(), value));
    let applied = workspace.apply(&[]);
    let planned = workspace.plan(&[]);
    let lives = served.try_wait().expect("a status").is_none();
    signal(served.id(), "-INT");
    assert_eq!(served.wait().expect("an end").code(), Some(0));
    assert_eq!((applied.code, planned.code, lives), (0, 0, true), "{applied:?} {planned:?}");
}

#[test]
fn validate_names_the_attribute_of_each_of_ten_bad_configurations() {
    let Some(program) = terraform() else { return };
    let workspace = Workspace::new(program, None);
    workspace.write("main.tf", SIMULATED);
    workspace.init();
    let fleet = "simulated_fleet = { name = \"web\", revision = \"v2\" }";
    let sized = "batch_size_type = \"percentage\"\n  batch_size = 30";
    let cases = [
        (
            format!("policy = \"rollin\"\n  {sized}\n  {fleet}"),
            "policy: \"rollin\" is not one of",
            "rolling_deployment.web",
        ),
        (format!("{sized}\n  {fleet}"), "The argument \"policy\" is required", "main.tf line"),
        (
            format!("policy = \"rolling\"\n  batch_size_type = \"percentage\"\n  {fleet}"),
            "batch_size: the attribute \"batch_size\" is missing",
            "for instance",
        ),
        (
            format!(
                "policy = \"rolling\"\n  batch_size_type = \"percentage\"\n  batch_size = 130\n  {fleet}"
            ),
            "batch_size: a percentage is from 1 to 100",
            "batch_size = 130",
        ),
        (
            format!(
                "policy = \"rolling\"\n  batch_size_type = \"fixed\"\n  batch_size = 2.5\n  {fleet}"
            ),
            "batch_size: must be a whole number",
            "batch_size = 2.5",
        ),
        (format!("policy = \"rolling\"\n  {sized}"), "There is no target", "auto_scaling_group"),
        (
            format!(
                "policy = \"rolling\"\n  {sized}\n  {fleet}\n  health = {{ healthy_timeout = \"soon\" }}"
            ),
            "health.healthy_timeout: \"soon\" is not a time span",
            "1h30m",
        ),
        (
            format!(
                "policy = \"rolling\"\n  {sized}\n  {fleet}\n  checkpoints = [{{ percentage = 50 }}, {{ percentage = 20 }}]"
            ),
            "checkpoints[1].percentage: must be above 50",
            "checkpoints",
        ),
        (
            format!(
                "policy = \"rolling\"\n  {sized}\n  auto_scaling_group = {{ name = \"web\", launch_template = {{ id = \"lt-1\", version = \"newest\" }} }}"
            ),
            "auto_scaling_group.launch_template.version:",
            "newest",
        ),
        (
            format!("policy = \"rolling\"\n  {sized}\n  {fleet}\n  max_unavailable = \"lots\""),
            "max_unavailable: \"lots\" must match",
            "lots",
        ),
        (
            format!(
                "policy = \"rolling\"\n  {sized}\n  {fleet}\n  timeouts {{\n    update = \"-1s\"\n  }}"
            ),
            "timeouts.update: \"-1s\" is not a time span",
            "30s",
        ),
        (
            format!("policy = \"rolling\"\n  {sized}\n  {fleet}\n  batch = 3"),
            "Unsupported argument",
            "batch = 3",
        ),
    ];
    let head = &SIMULATED[..SIMULATED.find("resource").expect("a resource")];
    for (body, words, also) in cases {
        workspace.write(
            "main.tf",
            &format!("{head}\nresource \"rolling_deployment\" \"web\" {{\n  {body}\n}}\n"),
        );
        let ran = workspace.run(&["validate", "-no-color"]);
        assert_eq!(ran.code, 1, "{body}: {ran:?}");
        // Terraform breaks lines where it likes.
        let said = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(words), "{body}: {said}");
        assert!(said.contains(also), "{body}: {said}");
        assert_eq!(said.matches("Error:").count(), 1, "{body}: {said}");
    }
    assert!(!workspace.path().join(".rolling").exists(), "a fleet was made");
}

#[cfg(feature = "aws")]
mod on_localstack {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::{Running, Workspace, aws_mirror, root, terraform};
    use crate::emulator::{Account, account};
    use crate::lab::localstack::least_serving;
    use crate::process::{Ran, until_within};

    /// The example, in a hurry, with the AWS provider beside ours.
    struct Stack {
        account: Account,
        workspace: Workspace,
    }

    /// What the tests change of the example: how long things take, and the policy.
    fn hurry(policy: &str, healthy_timeout: &str) -> String {
        format!(
            "resource \"rolling_deployment\" \"web\" {{\n  policy = \"{policy}\"\n  \
             poll_interval = \"500ms\"\n  \
             health = {{ min_healthy_time = \"1s\", healthy_timeout = \"{healthy_timeout}\" }}\n}}\n"
        )
    }

    impl Stack {
        /// `None` after saying what is missing.
        fn new() -> Option<Stack> {
            let program = terraform()?;
            let mirror = aws_mirror()?;
            let account = account()?;
            let mut workspace = Workspace::new(program, Some(mirror));
            let example = root().join("examples/terraform");
            for folder in [example.clone(), example.join("localstack")] {
                for entry in std::fs::read_dir(folder).expect("the example") {
                    let path = entry.expect("an entry").path();
                    if path.extension().is_some_and(|extension| extension == "tf") {
                        let name = path.file_name().expect("a name");
                        std::fs::copy(&path, workspace.path().join(name)).expect("a copy");
                    }
                }
            }
            workspace.write("zz_override.tf", &hurry("rolling", "60s"));
            let own = [("TF_VAR_ami", "ami-12345678"), ("TF_VAR_deregistration_delay", "1")];
            workspace.variables = own.map(|(name, value)| (name.into(), value.into())).to_vec();
            // The region is the configuration's to say.
            let of_account = account.environment().into_iter();
            let of_account = of_account.filter(|(name, _)| *name != "AWS_REGION");
            workspace.variables.extend(of_account.map(|(name, value)| (name.into(), value)));
            account.shared();
            account.put("times", json!({ "boot": 0.5, "register": 0.3 }));
            workspace.init();
            let stack = Stack { account, workspace };
            let ran = stack.workspace.apply(&[]);
            assert_eq!(ran.code, 0, "{ran:?}");
            // So that a rollout is still under way when a signal comes, on a busy machine too.
            stack.account.put("times", json!({ "boot": 4, "register": 0.3 }));
            Some(stack)
        }

        fn group(&self) -> Value {
            self.account.get("groups/web")
        }

        /// The one revision that all instances run in service, or what there is instead.
        fn revision(&self) -> Result<String, Value> {
            let group = self.group();
            let instances = group["instances"].as_object().expect("instances");
            let live: Vec<&Value> =
                instances.values().filter(|i| i["lifecycle"] != "Terminating").collect();
            let runs: BTreeSet<&str> = live.iter().filter_map(|i| i["revision"].as_str()).collect();
            let in_service = live.iter().all(|i| i["lifecycle"] == "InService");
            match runs.first() {
                Some(one) if runs.len() == 1 && in_service && live.len() == 6 => {
                    Ok(one.rsplit(':').next().expect("a version").to_owned())
                }
                _ => Err(group),
            }
        }

        fn ids(&self) -> Vec<String> {
            let group = self.group();
            group["instances"].as_object().expect("instances").keys().cloned().collect()
        }

        /// Applies `revision` and expects success, then a plan without changes.
        fn finishes(&self, more: &[&str]) -> Ran {
            let ran = self.workspace.apply(more);
            assert_eq!(ran.code, 0, "{ran:?}");
            let plan = self.workspace.plan(more);
            assert_eq!(plan.code, 0, "{plan:?}");
            assert!(plan.stdout.contains("No changes."), "{plan:?}");
            ran
        }

        /// Begins an apply, and waits until it has taken somebody out of rotation.
        fn begin(&self, more: &[&str]) -> Running {
            const OUT: &str = "elbv2.DeregisterTargets";
            let before = self.account.count(OUT);
            let running = self.workspace.begin(more);
            self.account.until_called(OUT, before + 1);
            running
        }

        /// Forgets what has happened, to look at what comes. Returns the group as it is.
        fn forget_the_past(&self) -> Value {
            let timeline = format!("{}/_lab/{}/timeline", self.account.endpoint, self.account.id);
            ureq::delete(timeline).call().expect("the door answers");
            self.group()
        }

        fn assert_kept(&self, before: &Value, floor: usize) {
            let least = least_serving(before, &self.account.timeline());
            assert!(least >= floor, "only {least} have served");
            let after = self.group();
            for what in ["min", "max", "desired", "suspended", "tags"] {
                assert_eq!(after[what], before[what], "{what}");
            }
        }
    }

    /// The exit code of a program that ends by itself within a minute.
    fn ends(running: &mut Running) -> i32 {
        let mut status = None;
        until_within(Duration::from_secs(60), "it ends", || {
            status = running.0.try_wait().expect("a status");
            status.is_some()
        });
        status.and_then(|status| status.code()).unwrap_or(-1)
    }

    #[test]
    fn the_example_is_rolled_killed_and_broken() {
        let Some(stack) = Stack::new() else { return };
        assert_eq!(stack.revision(), Ok("1".into()));
        template_and_fleet_change_in_one_apply(&stack);
        killed_while_surge_is_up_the_next_apply_goes_on(&stack);
        a_bad_revision_fails_the_apply_and_stays_planned(&stack);
    }

    #[test]
    fn the_example_is_interrupted_left_alone_and_imported() {
        let Some(stack) = Stack::new() else { return };
        assert_eq!(stack.revision(), Ok("1".into()));
        ctrl_c_stops_at_a_safe_point(&stack);
        the_provider_ends_when_terraform_is_killed(&stack);
        it_is_destroyed_and_imported_without_touching_an_instance(&stack);
    }

    /// The version of the template is unknown before.
    fn template_and_fleet_change_in_one_apply(stack: &Stack) {
        let workspace = &stack.workspace;
        let before = stack.forget_the_past();
        let two = "revision=2";
        let plan = workspace.plan(&["-var", two]);
        assert_eq!(plan.code, 2, "{plan:?}");
        assert!(plan.stdout.contains("version = \"1\" -> (known after apply)"), "{plan:?}");
        let ran = stack.finishes(&["-var", two]);
        assert!(ran.stdout.contains("0 added, 2 changed, 0 destroyed"), "{ran:?}");
        assert_eq!(stack.revision(), Ok("2".into()));
        assert_eq!(stack.account.count("elbv2.DeregisterTargets"), 3);
        stack.assert_kept(&before, 4);
    }

    /// Killed is Terraform, with everything that belongs to it.
    fn killed_while_surge_is_up_the_next_apply_goes_on(stack: &Stack) {
        let workspace = &stack.workspace;
        workspace.write("zz_override.tf", &hurry("rolling_with_additional_batch", "60s"));
        let three = "revision=3";
        let before = stack.forget_the_past();
        let running = stack.begin(&["-var", three]);
        assert_eq!(stack.group()["desired"], 8, "surge is up");
        running.signal("-KILL", true);
        drop(running);
        let group = stack.group();
        assert!(group["tags"].to_string().contains("rolling:rollout"), "{group}");
        let plan = workspace.plan(&["-var", three]);
        assert_eq!(plan.code, 2, "{plan:?}");
        assert!(plan.stdout.contains("Continues rollout"), "{plan:?}");
        assert!(
            stack.group()["tags"].to_string().contains("rolling:rollout"),
            "the plan removed it"
        );
        stack.finishes(&["-var", three]);
        assert_eq!(stack.revision(), Ok("3".into()));
        stack.assert_kept(&before, 6);
        // The next one is a bad revision, to be found out in time.
        workspace.write("zz_override.tf", &hurry("rolling", "40s"));
        stack.finishes(&["-var", three]);
    }

    /// The fleet is back on what served before, and the next plan shows the change again.
    fn a_bad_revision_fails_the_apply_and_stays_planned(stack: &Stack) {
        let workspace = &stack.workspace;
        let before = stack.forget_the_past();
        let four = "revision=4";
        let bad = ["-var", four, "-var", r#"tags={"lab:behaviour"="unhealthy"}"#];
        let ran = workspace.apply(&bad);
        assert_eq!(ran.code, 1, "{ran:?}");
        let said = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("Error: web went back from lt-"), "{said}");
        assert!(said.contains("Target.ResponseCodeMismatch"), "{said}");
        assert!(said.contains("instance i-"), "{said}");
        assert_eq!(stack.revision(), Ok("3".into()));
        stack.assert_kept(&before, 4);
        let plan = workspace.plan(&bad);
        assert_eq!(plan.code, 2, "{plan:?}");
        let words = plan.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(r#"~ version = "3" -> "4""#), "{plan:?}");
        assert!(words.contains(r#"~ status = "rolled_back" -> (known after apply)"#), "{plan:?}");
        // From there a good one is rolled as ever.
        stack.finishes(&["-var", "revision=5"]);
        assert_eq!(stack.revision(), Ok("5".into()));
    }

    /// Terraform ends by itself, the state says what happened, the next apply finishes.
    fn ctrl_c_stops_at_a_safe_point(stack: &Stack) {
        let workspace = &stack.workspace;
        let before = stack.forget_the_past();
        let two = "revision=2";
        let mut running = stack.begin(&["-var", two]);
        running.signal("-INT", true);
        assert_eq!(ends(&mut running), 1);
        assert_eq!(running.plugins(), Vec::<String>::new());
        assert_eq!(workspace.state()["status"], "aborted");
        assert_eq!(workspace.state()["last_error"], "asked to stop");
        let log =
            std::fs::read_to_string(workspace.folder.path().join("apply.log")).expect("a log");
        assert!(log.contains("was given up: asked to stop"), "{log}");
        stack.finishes(&["-var", two]);
        assert_eq!(stack.revision(), Ok("2".into()));
        stack.assert_kept(&before, 4);
    }

    /// Left alone, it stops at a safe point first.
    fn the_provider_ends_when_terraform_is_killed(stack: &Stack) {
        let before = stack.forget_the_past();
        let three = "revision=3";
        let mut running = stack.begin(&["-var", three]);
        assert_ne!(running.plugins(), Vec::<String>::new());
        running.signal("-KILL", false);
        // Real seconds: it has that long to come to a safe point once its host is gone.
        until_within(Duration::from_secs(30), "the provider is gone", || {
            running.0.try_wait().expect("a status").is_some() && running.plugins().is_empty()
        });
        let group = stack.group();
        assert_eq!(group["suspended"], before["suspended"], "what was borrowed is back: {group}");
        stack.finishes(&["-var", three]);
        assert_eq!(stack.revision(), Ok("3".into()));
        stack.assert_kept(&before, 4);
    }

    /// Imported by its name, and by its ARN, with a configuration as the import finds it.
    fn it_is_destroyed_and_imported_without_touching_an_instance(stack: &Stack) {
        let workspace = &stack.workspace;
        let ids = stack.ids();
        let arn = workspace.state()["id"].as_str().expect("an id").to_owned();
        assert!(arn.starts_with("arn:aws:autoscaling:"), "{arn}");
        let destroy = ["destroy", "-auto-approve", "-no-color", "-target=rolling_deployment.web"];
        let ran = workspace.run(&[&destroy[..], &["-var", "revision=3"]].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!((stack.ids(), workspace.state()), (ids.clone(), Value::Null));

        std::fs::remove_file(workspace.path().join("zz_override.tf")).expect("an override");
        workspace.write(
            "deployment.tf",
            "resource \"rolling_deployment\" \"web\" {\n  policy          = \"rolling\"\n  \
             batch_size_type = \"fixed\"\n  batch_size      = 1\n  auto_scaling_group = {\n    \
             name = aws_autoscaling_group.web.name\n    launch_template = {\n      \
             id      = aws_launch_template.web.id\n      \
             version = aws_launch_template.web.latest_version\n    }\n  }\n}\n",
        );
        for id in ["web", &arn] {
            let import =
                ["import", "-no-color", "-var", "revision=3", "rolling_deployment.web", id];
            let ran = workspace.run(&import);
            assert_eq!(ran.code, 0, "{ran:?}");
            let plan = workspace.plan(&["-var", "revision=3"]);
            assert_eq!(plan.code, 0, "{plan:?}");
            assert_eq!(workspace.run(&["state", "rm", "rolling_deployment.web"]).code, 0);
        }
        assert_eq!(stack.ids(), ids);
    }
}
