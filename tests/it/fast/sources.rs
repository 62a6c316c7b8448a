//! What a document is read from, and what it must not have: keys twice, other syntaxes, other providers.

use std::process::Stdio;

use serde_json::json;

use crate::process::{rolling, run, run_with};

const DOCUMENT: &str = r#"{"resource": {"rolling_deployment": {"web": {
  "policy": "immutable", "simulated_fleet": {"name": "web", "revision": "v2"}}}}}"#;

/// Validates a file of these bytes, and returns the exit code and what was printed.
fn validate(name: &str, bytes: &[u8]) -> (i32, String) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join(name), bytes).expect("a document");
    let ran = run(rolling().current_dir(folder.path()).arg("validate").arg(name));
    (ran.code, ran.stdout + &ran.stderr)
}

#[test]
fn a_document_is_read_in_every_encoding_that_a_shell_writes() {
    let utf_16 = |bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        format!("\u{feff}{DOCUMENT}").encode_utf16().flat_map(bytes).collect()
    };
    let with_mark = format!("\u{feff}{DOCUMENT}").into_bytes();
    let mut all = vec![with_mark];
    for bytes in [utf_16(u16::to_le_bytes), utf_16(u16::to_be_bytes)] {
        all.extend([bytes[2..].to_vec(), bytes]);
    }
    for bytes in all {
        assert_eq!(validate("web.tf.json", &bytes), (0, "valid: web\n".into()));
    }
    let (code, message) = validate("web.tf.json", &[0x80, 0x81]);
    assert_eq!(code, 2);
    assert!(message.contains("neither UTF-8 nor UTF-16"), "{message}");
    let cut = [&[0xff, 0xfe][..], &[b'{', 0, b'}']].concat();
    assert!(
        validate("web.tf.json", &cut).1.contains("it begins like UTF-16, but is not valid UTF-16")
    );
}

#[test]
fn a_document_is_read_from_standard_input() {
    let ran = run_with(rolling().arg("validate").arg("-"), DOCUMENT);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "valid: web\n"), "{ran:?}");
}

/// The place of what is told after the document is read has a line, too.
#[test]
fn what_the_fleet_refuses_is_told_with_line_and_column() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = DOCUMENT.replace("\"simulated_fleet\"", "\n    \"simulated_fleet\"");
    std::fs::create_dir_all(folder.path().join(".rolling")).expect("a folder");
    std::fs::write(folder.path().join(".rolling/web.json"), "{").expect("a broken state");
    let place = "/resource/rolling_deployment/web/simulated_fleet";
    for command in ["plan", "apply", "status", "pause", "doctor"] {
        let mut program = rolling();
        let ran = run_with(program.current_dir(folder.path()).args([command, "-"]), &text);
        let expected = format!("error at {place} (standard input:3:5): ");
        let output = ran.stdout + &ran.stderr;
        assert!(output.starts_with(&expected), "{command}: {output}");
    }
}

#[test]
fn a_key_that_is_there_twice_is_refused_with_both_places() {
    let twice = DOCUMENT.replace("\"policy\"", "\"policy\": \"rolling\",\n  \"policy\"");
    let (code, message) = validate("web.tf.json", twice.as_bytes());
    assert_eq!(code, 2, "{message}");
    let place = "error at /resource/rolling_deployment/web/policy (web.tf.json:3:3): the key \"policy\" is there \
                 twice: at 2:3 and at 3:3";
    assert!(message.contains(place), "{message}");
    let two = DOCUMENT.replace(
        "\"web\": {\n",
        "\"web\": {\"policy\": \"immutable\", \"simulated_fleet\": {\"name\": \"x\", \"revision\": \
         \"v\"}},\n\"web\": {\n",
    );
    let (code, message) = validate("web.tf.json", two.as_bytes());
    assert_eq!(code, 2, "{message}");
    assert!(message.contains("the key \"web\" is there twice"), "{message}");
}

#[test]
fn a_message_that_has_a_key_twice_is_refused() {
    let line = r#"{"jsonrpc": "2.0", "id": 7, "method": "initialize", "id": 8,
        "params": {}}"#;
    let ran = run_with(rolling().arg("serve"), &(line.replace('\n', "") + "\n"));
    let answer: serde_json::Value = serde_json::from_str(ran.stdout.trim()).expect("an answer");
    assert_eq!(answer["error"]["code"], json!(-32600), "{answer}");
    let message = answer["error"]["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("/id: the key \"id\" is there twice: at 1:20"), "{message}");
}

#[test]
fn other_syntaxes_and_other_providers_are_named() {
    let hcl = [
        "resource \"rolling_deployment\" \"web\" {\n}\n",
        "resource \"rolling_deployment\" \"web\"\n{\n}\n",
        "provider rolling {\n}\n",
        "terraform {\n}\n",
        "batch_size = 2\n",
    ];
    let yaml =
        ["resource:\n  x: {}\n", "---\n- a\n", "- a: 1\n", "\"resource\":\n  x: 1\n", "a: 1\n"];
    let forms = hcl.map(|text| (text, "HCL")).into_iter().chain(yaml.map(|text| (text, "YAML")));
    for (text, name) in forms {
        for comment in ["", "# why\n", "\n\n  # a = 1\n# b: 2\n", "// why {\n", "/* why\n a: 1 */ "]
        {
            let (code, message) = validate("web.tf.json", (comment.to_owned() + text).as_bytes());
            let expected = format!("error: this looks like {name}; rolling reads Terraform's JSON");
            assert!(code == 2 && message.contains(&expected), "{comment}{text}: {message}");
            assert!(message.contains("help: write it as NAME.tf.json"), "{message}");
        }
    }
    for text in
        ["{,}", "", "[1, 2", "{\"a\": 1} x", "\"a\"x", "no", "{resource: 1}", "# only a comment"]
    {
        let (code, message) = validate("web.tf.json", text.as_bytes());
        assert!(code == 2 && message.contains("this is not JSON: "), "{text}: {message}");
        assert!(message.contains("Terraform's JSON syntax"), "{text}: {message}");
    }
    let misspelt = DOCUMENT.replacen('{', "{\"provider\": {\"roling\": {}}, ", 1);
    let (code, message) = validate("web.tf.json", misspelt.as_bytes());
    assert_eq!(code, 2);
    assert!(message.contains("error at /provider/roling (web.tf.json:1:15): "), "{message}");
    assert!(message.contains("did you mean \"rolling\"?"), "{message}");
    let other = DOCUMENT.replacen('{', "{\"provider\": {\"aws\": {}}, ", 1);
    assert_eq!(validate("web.tf.json", other.as_bytes()).0, 0, "others are Terraform's");
}

/// Runs subcommands of one document with `out` as standard output, and returns the exit code and
/// standard error of each.
fn run_all(out: impl Fn() -> Stdio, more: &[&str]) -> Vec<(String, i32, String)> {
    let folder = tempfile::tempdir().expect("a folder");
    let provider = r#"{"provider": {"rolling": {"simulator": {"speed": 2000}}}, "#;
    let document = DOCUMENT.replacen('{', provider, 1);
    std::fs::write(folder.path().join("web.tf.json"), document).expect("a document");
    let subcommands =
        ["validate", "plan", "plan --detailed-exitcode", "status", "doctor", "pause", "abort"];
    let outputs = ["text", "json"];
    let with_document = subcommands.iter().chain(more).flat_map(|subcommand| {
        outputs.map(|output| format!("{subcommand} --output {output} web.tf.json"))
    });
    let alone = ["schema", "--help", "--version", "help plan", "serve"].map(String::from);
    with_document
        .chain(alone)
        .map(|arguments| {
            let mut command = rolling();
            command.current_dir(folder.path()).args(arguments.split(' ')).stdout(out());
            command.stdin(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().expect("the program starts");
            let request = b"{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"rpc.discover\"}\n";
            // Only `serve` reads it.
            let mut stdin = child.stdin.take().expect("a pipe");
            std::io::Write::write_all(&mut stdin, request).unwrap_or_default();
            drop(stdin);
            let done = child.wait_with_output().expect("an end");
            let output = String::from_utf8_lossy(&done.stderr).into_owned();
            (arguments, done.status.code().expect("an exit code"), output)
        })
        .collect()
}

#[test]
fn what_cannot_be_written_is_no_success() {
    let changing = ["apply", "status --follow", "rollback --to v1", "resume"];
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a full disk");
    for (arguments, code, output) in run_all(|| full().into(), &changing) {
        assert_eq!(code, 1, "{arguments}: {output}");
        assert!(output.contains("cannot write to standard output"), "{arguments}: {output}");
    }
}

#[test]
fn a_reader_that_is_gone_is_no_error() {
    let closed = || std::io::pipe().expect("a pipe").1;
    let whole = run_all(Stdio::piped, &[]);
    for ((arguments, code, output), whole) in
        run_all(|| closed().into(), &[]).into_iter().zip(whole)
    {
        assert_eq!((code, &output), (whole.1, &whole.2), "{arguments}");
        assert!(!output.contains("cannot be written") && !output.contains("panicked"), "{output}");
    }
}

#[test]
fn a_filter_of_logs_that_cannot_be_read_is_told() {
    for (filter, is_told) in [("rolling=loud,=", true), ("rolling=debug", false)] {
        let ran = run_with(rolling().args(["validate", "-"]).env("RUST_LOG", filter), DOCUMENT);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, "valid: web\n"), "{ran:?}");
        assert_eq!(ran.stderr.contains("RUST_LOG is not used"), is_told, "{ran:?}");
    }
}
