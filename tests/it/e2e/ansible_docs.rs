//! The module's documentation for Ansible, rendered from the schemas.

use rolling::deployment::resource_state::Computed;
use rolling::frontends::ansible::arguments;
use serde_json::{Map, Value};

const EXAMPLES: &str = include_str!("../../ansible/examples.yml");
const WIDTH: usize = 96;

/// YAML that keeps the order of its keys.
enum Yaml {
    Text(String),
    Block(&'static str),
    List(Vec<Yaml>),
    Map(Vec<(String, Yaml)>),
}

/// Returns the file beside the module.
pub fn render() -> String {
    let schema = arguments::schema();
    let computed = rolling::deployment::schema::of::<Computed>();
    let file = map([
        ("DOCUMENTATION", documentation(&schema)),
        ("EXAMPLES", Yaml::Block(EXAMPLES)),
        ("RETURN", returned(&computed)),
    ]);
    let mut text = String::from("# Rendered from the schemas by the tests; see ROLLING_UPDATE.\n");
    write(&file, 0, &mut text);
    text
}

fn documentation(schema: &Value) -> Yaml {
    let attribute =
        |message: &str| map([("description", text(message)), ("support", text("full"))]);
    let notes = [
        "Credentials are found by the AWS SDK on the host that the module runs on: in the \
         environment, a profile, or the role of the instance. Mostly that host is C(localhost).",
        "The task takes as long as the rollout. When it is interrupted, victims that still run are \
         registered again and what is borrowed is restored; the same task completes it later.",
        "A rollout that ends in any other way than was asked for fails the task; RV(status) tells \
         how it ended, and C(msg) why, what is left and what to do.",
    ];
    map([
        ("module", text("rolling_deployment")),
        ("short_description", text("Rolls a fleet of instances to a new version, batch by batch")),
        ("version_added", Yaml::Text("0.1.0".into())),
        ("author", Yaml::List(vec![text("The rolling authors")])),
        (
            "description",
            Yaml::List(vec![
                text(
                    "Takes a batch of instances out of rotation, waits until it has drained, \
                     replaces it, waits until every target group reports it healthy, and \
                     continues. If the new version fails, it rolls back to the last completed one.",
                ),
                text(
                    "With nothing to do, nothing is changed. Killed at any moment and run again, \
                     it continues from there.",
                ),
            ]),
        ),
        (
            "attributes",
            map([
                ("check_mode", attribute("Shows what would be rolled, and changes nothing.")),
                ("diff_mode", attribute("Shows what every instance runs, before and after.")),
                (
                    "action_group",
                    attribute("Defaults are those of C(group/rolling.rolling.rolling)."),
                ),
            ]),
        ),
        ("options", options(schema, schema)),
        ("notes", Yaml::List(notes.map(text).into())),
    ])
}

fn options(root: &Value, schema: &Value) -> Yaml {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let described = properties(schema).iter().map(|(name, property)| {
        let mut option = described(root, property, "suboptions");
        if required.contains(&name.as_str()) {
            option.push(("required".into(), text("true")));
        }
        (name.clone(), Yaml::Map(option))
    });
    Yaml::Map(described.collect())
}

/// Returns the description, the type and what belongs to it; members are under the key `inner`.
fn described(root: &Value, property: &Value, inner: &str) -> Vec<(String, Yaml)> {
    let schema = rolling::document::resolve(root, property);
    // First the attribute's own description, then that of its type. Where that has members, its
    // first paragraph only says again what it is.
    let [own, mut of_type] =
        [property, schema].map(|part| part["description"].as_str().unwrap_or_default());
    if !own.is_empty() && own != of_type && !properties(schema).is_empty() {
        of_type = of_type.split_once("\n\n").map_or("", |(_, more)| more);
    }
    let [own, of_type] =
        [own, of_type].map(|message| message.split_whitespace().collect::<Vec<_>>().join(" "));
    let message = if of_type.starts_with(&own) { of_type } else { format!("{own} {of_type}") };
    let message = Yaml::Text(markup(message.trim_end(), root));
    let mut found = vec![("description".to_owned(), Yaml::List(vec![message]))];
    let kind = self::kind(schema);
    found.push(("type".into(), text(kind)));
    let choices = schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let choices: Vec<Yaml> = choices.map(text).collect();
    if !choices.is_empty() {
        found.push(("choices".into(), Yaml::List(choices)));
    }
    let item = rolling::document::resolve(root, &schema["items"]);
    if kind == "list" {
        found.push(("elements".into(), text(self::kind(item))));
    }
    for schema in [schema, item].into_iter().filter(|schema| !properties(schema).is_empty()) {
        let inside = match inner {
            "suboptions" => options(root, schema),
            _ => contents(root, schema, None),
        };
        found.push((inner.into(), inside));
    }
    found
}

fn returned(computed: &Value) -> Yaml {
    contents(computed, computed, Some("when the fleet could be looked at"))
}

fn contents(root: &Value, schema: &Value, returned: Option<&str>) -> Yaml {
    let described = properties(schema).iter().map(|(name, property)| {
        let mut value = described(root, property, "contains");
        if let Some(when) = returned {
            value.push(("returned".into(), text(when)));
        }
        (name.clone(), Yaml::Map(value))
    });
    Yaml::Map(described.collect())
}

fn properties(schema: &Value) -> &Map<String, Value> {
    static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    schema["properties"].as_object().unwrap_or(&NONE)
}

fn kind(schema: &Value) -> &'static str {
    match rolling::document::types(schema).as_slice() {
        ["string"] => "str",
        ["integer"] => "int",
        ["number"] => "float",
        ["boolean"] => "bool",
        ["array"] => "list",
        ["object"] => "dict",
        _ => "raw",
    }
}

/// Turns backticks into Ansible's markup: an option, a value, or code.
fn markup(message: &str, root: &Value) -> String {
    let values = choices(root);
    let mut parts = message.split('`');
    let mut text = parts.next().unwrap_or_default().to_owned();
    while let (Some(code), remaining) = (parts.next(), parts.next()) {
        let sort = match code {
            _ if properties(root).contains_key(code) && root["title"] != "Computed" => 'O',
            _ if values.contains(&code) => 'V',
            _ => 'C',
        };
        text.push_str(&format!("{sort}({code}){}", remaining.unwrap_or_default()));
    }
    text
}

/// Returns every value of every enumeration in the schema.
fn choices(schema: &Value) -> Vec<&str> {
    let inside = match schema {
        Value::Object(object) => object.values().flat_map(choices).collect(),
        Value::Array(items) => items.iter().flat_map(choices).collect(),
        _ => Vec::new(),
    };
    let own = schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
    own.chain(inside).collect()
}

fn text(message: &str) -> Yaml {
    Yaml::Text(message.to_owned())
}

fn map<const N: usize>(entries: [(&str, Yaml); N]) -> Yaml {
    Yaml::Map(entries.map(|(key, value)| (key.to_owned(), value)).into())
}

fn write(yaml: &Yaml, indent: usize, out: &mut String) {
    let space = " ".repeat(indent);
    match yaml {
        Yaml::Map(entries) => {
            for (key, value) in entries {
                out.push_str(&format!("{space}{key}:"));
                write_value(value, indent + 2, out);
            }
        }
        Yaml::List(items) => {
            for item in items {
                out.push_str(&format!("{space}-"));
                write_value(item, indent + 2, out);
            }
        }
        Yaml::Text(_) | Yaml::Block(_) => write_value(yaml, indent, out),
    }
}

fn write_value(yaml: &Yaml, indent: usize, out: &mut String) {
    let space = " ".repeat(indent);
    match yaml {
        Yaml::Text(message) if message.len() + indent < WIDTH => {
            let unmanaged =
                message.chars().all(|c| c.is_ascii_alphanumeric() || "_.% -".contains(c))
                    && message.starts_with(|c: char| c.is_ascii_alphabetic());
            let shown = if unmanaged { message.clone() } else { format!("{message:?}") };
            out.push_str(&format!(" {shown}\n"));
        }
        Yaml::Text(message) => {
            out.push_str(" >-\n");
            let mut line = space.clone();
            for word in message.split(' ') {
                if line.len() + 1 + word.len() > WIDTH {
                    out.push_str(&format!("{line}\n"));
                    line.clone_from(&space);
                }
                line.push_str(if line == space { "" } else { " " });
                line.push_str(word);
            }
            out.push_str(&format!("{line}\n"));
        }
        Yaml::Block(block) => {
            out.push_str(" |\n");
            for line in block.lines() {
                out.push_str(format!("{space}{line}").trim_end());
                out.push('\n');
            }
        }
        Yaml::Map(_) | Yaml::List(_) => {
            out.push('\n');
            write(yaml, indent, out);
        }
    }
}
