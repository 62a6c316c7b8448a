//! Configurations: those of the documentation are valid, and what is wrong with one is named.

use std::collections::BTreeSet;

use super::SIMULATED;
use super::workspace::{Workspace, current, root, terraform};

/// The part of `page` that begins with the comment `name` and ends with the next one.
fn part<'a>(page: &'a str, name: &str) -> &'a str {
    let begin = page.find(&format!("<!-- {name}: ")).expect("a place for the schema");
    let after = begin + page[begin..].find("-->\n").expect("an end of the comment") + 4;
    &page[after..after + page[after..].find("<!-- end -->").expect("an end")]
}

/// The blocks of a page that are of this provider, as one configuration. Each has resources of its
/// own in it. What resources of AWS tell is a variable: to `validate` no variable's value is known.
fn examples(blocks: &[&str]) -> String {
    let outside = |c: char| !(c.is_ascii_alphanumeric() || "_.".contains(c));
    let mut variables = BTreeSet::from(["of_aws".to_owned()]);
    let mut text = String::new();
    for (number, block) in blocks.iter().enumerate() {
        if block.starts_with("provider \"aws\"") || block.starts_with("resource \"aws_") {
            continue;
        }
        let block = block
            .replace("\"rolling_deployment\" \"", &format!("\"rolling_deployment\" \"e{number}_"))
            .replace("rolling_deployment.", &format!("rolling_deployment.e{number}_"));
        for word in block.split_inclusive(outside) {
            let name = word.trim_end_matches(outside);
            if name.starts_with("aws_") || name.starts_with("data.aws_") {
                text += &format!("var.of_aws{}", &word[name.len()..]);
            } else {
                variables.extend(name.strip_prefix("var.").map(str::to_owned));
                text += word;
            }
        }
    }
    for name in variables {
        text += &format!("variable \"{name}\" {{}}\n");
    }
    text
}

#[test]
fn the_documentation_is_that_of_the_schema_and_its_examples_are_valid() {
    let file = root().join("docs/terraform.md");
    let page = std::fs::read_to_string(&file).expect("docs/terraform.md");
    let provider = format!("\n{}\n", rolling::frontends::terraform::docs::provider().trim_end());
    let resource = format!("\n{}\n", rolling::frontends::terraform::docs::resource().trim_end());
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

    let blocks = page.split("```terraform\n").skip(1);
    let blocks: Vec<&str> =
        blocks.map(|remaining| remaining.split("```").next().expect("an end")).collect();
    // An `import` block needs Terraform 1.5.
    let workspace = Workspace::new(current(), None);
    workspace.write("main.tf", &examples(&blocks));
    workspace.init();
    let ran = workspace.run(&["validate", "-no-color"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let demo = blocks.iter().find(|block| block.contains("\"demo\"")).expect("an example");
    // The simulator needs nothing of AWS.
    let terraform = blocks[0].split("provider ").next().expect("a part");
    workspace.write("main.tf", &format!("{terraform}{demo}"));
    let ran = workspace.apply(&[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    // The page shows the same resource as the example.
    let example = std::fs::read_to_string(root().join("examples/terraform/deployment.tf"));
    let example = example.expect("the example");
    for block in &blocks {
        for line in block.lines().filter(|line| line.contains("aws_launch_template.web")) {
            assert!(example.contains(line.trim()), "{line}");
        }
    }
}

#[test]
fn validate_names_the_attribute_of_each_of_ten_bad_configurations() {
    let workspace = Workspace::new(terraform(), None);
    workspace.write("main.tf", SIMULATED);
    workspace.init();
    let fleet = "simulated_fleet {\n    name = \"web\"\n    revision = \"v2\"\n  }";
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
                "policy = \"rolling\"\n  {sized}\n  {fleet}\n  health {{\n    healthy_timeout = \"soon\"\n  }}"
            ),
            "health.healthy_timeout: \"soon\" is not a time span",
            "1h30m",
        ),
        (
            format!(
                "policy = \"rolling\"\n  {sized}\n  {fleet}\n  checkpoints {{\n    percentage = 50\n  }}\n  checkpoints {{\n    percentage = 20\n  }}"
            ),
            "checkpoints[1].percentage: must be greater than 50",
            "checkpoints",
        ),
        (
            format!(
                "policy = \"rolling\"\n  {sized}\n  auto_scaling_group {{\n    name = \"web\"\n    launch_template {{\n      id = \"lt-1\"\n      version = \"newest\"\n    }}\n  }}"
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
    for (body, message, also) in cases {
        workspace.write(
            "main.tf",
            &format!("{head}\nresource \"rolling_deployment\" \"web\" {{\n  {body}\n}}\n"),
        );
        let ran = workspace.run(&["validate", "-no-color"]);
        assert_eq!(ran.code, 1, "{body}: {ran:?}");
        // Terraform breaks lines anywhere.
        let reply = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(reply.contains(message), "{body}: {reply}");
        assert!(reply.contains(also), "{body}: {reply}");
        assert_eq!(reply.matches("Error:").count(), 1, "{body}: {reply}");
    }
    assert!(!workspace.path().join(".rolling").exists(), "a fleet was made");
}
