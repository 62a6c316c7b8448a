//! An unknown name is refused wherever it is written: a gate whose name Terraform dropped silently
//! would never be asked.

use rolling::frontends::terraform::schema::{Attribute, Kind, schemas};
use serde_json::{Value, json};

use super::workspace::{Workspace, terraforms};
use crate::process::{rolling, run, write};

/// Terraform does not check the configuration of a provider that no resource needs.
const HEAD: &str = r#"
terraform {
  required_providers {
    rolling = { source = "rolling/rolling" }
  }
}

resource "rolling_deployment" "other" {
  policy = "immutable"
  simulated_fleet {
    name     = "other"
    revision = "v2"
  }
}
"#;

/// Returns the name one letter short.
fn misspelt(name: &str) -> &str {
    &name[..name.len() - 1]
}

/// Returns the body of a block in which every name is misspelt. To reach the levels below, every
/// block is there by its right name, too. Each misspelling has a line of its own.
fn hcl(attributes: &[Attribute], lines: &mut Vec<String>) {
    for Attribute { name, kind, .. } in attributes.iter().filter(|one| is_set_by_user(one)) {
        let wrong = misspelt(name);
        match kind.is_block() {
            true => lines.push(format!("{wrong} {{}}")),
            false => lines.push(format!("{wrong} = null")),
        }
    }
    for block in blocks(attributes) {
        lines.push(format!("{} {{", block.name));
        hcl(block.kind.attributes(), lines);
        lines.push("}".into());
    }
}

/// The same in JSON.
fn body(attributes: &[Attribute]) -> Value {
    let mut body = json!({});
    for Attribute { name, .. } in attributes.iter().filter(|one| is_set_by_user(one)) {
        body[misspelt(name)] = json!("x");
    }
    for block in blocks(attributes) {
        body[&block.name] = self::body(block.kind.attributes());
    }
    body
}

fn blocks(attributes: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attributes.iter().filter(|attribute| attribute.kind.is_block())
}

fn is_set_by_user(attribute: &Attribute) -> bool {
    attribute.presence != rolling::frontends::terraform::schema::Presence::Computed
}

/// Returns how many names there are to misspell.
fn names(kind: &Kind) -> usize {
    let set = kind.attributes().iter().filter(|one| is_set_by_user(one));
    set.map(|one| 1 + if one.kind.is_block() { names(&one.kind) } else { 0 }).sum()
}

/// Returns the lines at which the validation of `text` reports an unknown name.
fn refused(workspace: &Workspace, name: &str, text: &str) -> Vec<usize> {
    workspace.write(name, text);
    let ran = workspace.run(&["validate", "-json"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let answer: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let unknown =
        ["Unsupported argument", "Unsupported block type", "Extraneous JSON object property"];
    let found = answer["diagnostics"].as_array().expect("findings").iter();
    let mut lines: Vec<usize> = found
        .filter(|found| unknown.iter().any(|summary| found["summary"] == *summary))
        .filter_map(|found| found["range"]["start"]["line"].as_u64())
        .map(|line| usize::try_from(line).expect("a line"))
        .collect();
    lines.sort_unstable();
    std::fs::remove_file(workspace.path().join(name)).expect("a file");
    lines
}

#[test]
fn a_name_that_nobody_knows_is_refused_wherever_it_stands() {
    let places = |text: &str, is_wrong: fn(&str) -> bool| -> Vec<usize> {
        let wrong = text.lines().enumerate().filter(|(_, line)| is_wrong(line.trim()));
        wrong.map(|(index, _)| index + 1).collect()
    };
    let workspaces = terraforms().into_iter().map(|program| {
        let workspace = Workspace::new(program, None);
        workspace.write("main.tf", HEAD);
        workspace.init();
        workspace
    });
    let workspaces: Vec<Workspace> = workspaces.collect();
    // Where the provider's configuration is wrong, Terraform checks no resource.
    for (kind, labels, least) in [
        (&schemas().provider, ["provider", "rolling"].as_slice(), 5),
        (&schemas().resource, &["resource", "rolling_deployment", "it"], 100),
    ] {
        let count = names(kind);
        assert!(count >= least, "{count}");
        let head =
            labels[1..].iter().fold(labels[0].to_owned(), |head, it| format!("{head} {it:?}"));
        let mut lines = vec![format!("{head} {{")];
        hcl(kind.attributes(), &mut lines);
        lines.push("}".into());
        let in_hcl = lines.join("\n");
        let body = body(kind.attributes());
        let in_json = labels.iter().rev().fold(body, |body, label| json!({ *label: body }));
        let in_json = serde_json::to_string_pretty(&in_json).expect("JSON");
        let wrong_hcl = places(&in_hcl, |line| line.ends_with("= null") || line.ends_with(" {}"));
        let wrong_json = places(&in_json, |line| line.trim_end_matches(',').ends_with(": \"x\""));
        assert_eq!((wrong_hcl.len(), wrong_json.len()), (count, count));
        for workspace in &workspaces {
            let program = workspace.program;
            assert_eq!(refused(workspace, "it.tf", &in_hcl), wrong_hcl, "{program:?}");
            assert_eq!(refused(workspace, "it.tf.json", &in_json), wrong_json, "{program:?}");
        }
    }
}

/// One file works for both: `rolling` accepts what Terraform accepts as a block.
#[test]
fn a_block_in_json_is_an_object_or_a_list_of_it() {
    let text = json!({
        "terraform": { "required_providers": { "rolling": { "source": "rolling/rolling" } } },
        "provider": { "rolling": [{ "simulator": [{ "speed": 400 }], "//": "fast" }] },
        "resource": { "rolling_deployment": { "web": [{
            "//": "a comment", "policy": "rolling", "max_surge": 1, "gates": null,
            "simulated_fleet": { "name": "web", "revision": "v2", "target_groups": [] },
            "health": [{ "healthy_timeout": "5m", "//": ["soon", 1] }],
            "checkpoints": { "percentage": 50, "pause": "1s" },
        }] } },
    });
    for program in terraforms() {
        let workspace = Workspace::new(program, None);
        workspace.write("web.tf.json", &text.to_string());
        workspace.init();
        let ran = workspace.run(&["validate"]);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = write(folder.path(), &text);
    let ran = run(rolling().current_dir(folder.path()).arg("plan").arg(file));
    assert_eq!(ran.code, 0, "{ran:?}");
}
