//! Commands that the Systems Manager runs on instances.

use std::collections::BTreeMap;
use std::time::Duration;

use rolling_provider::{ProviderError, Revision};

pub(super) const BASE: &str = "replacement/run_command";
/// The longest revision that fits into the record beside all else there.
const LONGEST: usize = 140;

/// A document, and what it is run with.
#[derive(Clone, Debug)]
pub struct RunCommand {
    /// Its name, or the ARN of one that is shared.
    pub document: String,
    /// A number, `$LATEST` or `$DEFAULT`.
    pub version: String,
    /// Values of its parameters, by name.
    pub parameters: BTreeMap<String, String>,
    /// How long it may take.
    pub timeout: Duration,
}

impl RunCommand {
    /// `NAME:VERSION/PARAMETER=VALUE...`: all that it takes to run it again, in letters that a tag
    /// of a load balancer can hold.
    pub(super) fn revision(&self, version: &str) -> Result<Revision, ProviderError> {
        let mut text = format!("{}:{version}", escaped(&self.document));
        for (name, value) in &self.parameters {
            text.push_str(&format!("/{}={}", escaped(name), escaped(value)));
        }
        if text.len() <= LONGEST {
            return Ok(Revision::new(text));
        }
        let words = format!(
            "the document's name, version and parameters take {} characters, and the record has \
             room for {LONGEST}",
            text.len()
        );
        let error =
            ProviderError::invalid("check the command", format!("{BASE}/parameters"), words);
        Err(error.with_remedy(
            "keep long values in the document itself or in the Parameter Store, and give \
             {{ssm:NAME}} as the value",
        ))
    }
}

pub(super) type Parameters = BTreeMap<String, String>;

/// The document, version and parameters of a revision.
pub(super) fn parse(revision: &str) -> Option<(String, String, Parameters)> {
    let mut parts = revision.split('/');
    let (document, version) = parts.next()?.rsplit_once(':')?;
    let mut parameters = Parameters::new();
    for part in parts {
        let (name, value) = part.split_once('=')?;
        parameters.insert(plain(name)?, plain(value)?);
    }
    Some((plain(document)?, version.to_owned(), parameters))
}

/// Letters, digits, `_`, `.` and `-`; any other byte as `+` and two hexadecimal digits.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' => {
                escaped.push(char::from(byte));
            }
            other => escaped.push_str(&format!("+{other:02X}")),
        }
    }
    escaped
}

fn plain(escaped: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = escaped.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'+' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(parameters: &[(&str, &str)]) -> RunCommand {
        RunCommand {
            document: "deploy".into(),
            version: "$LATEST".into(),
            parameters: parameters.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
            timeout: Duration::from_secs(60),
        }
    }

    #[test]
    fn a_revision_has_all_that_it_takes_to_run_it_again() {
        let command = command(&[("Version", "2.1"), ("Flags", "a b, c/d=e")]);
        let revision = command.revision("3").expect("short");
        assert_eq!(revision.as_str(), "deploy:3/Flags=a+20b+2C+20c+2Fd+3De/Version=2.1");
        let (document, version, parameters) = parse(revision.as_str()).expect("one");
        assert_eq!((document.as_str(), version.as_str()), ("deploy", "3"));
        assert_eq!(parameters, command.parameters);
        assert!(parse("ami-0a").is_none());
        let allowed = |c: char| c.is_ascii_alphanumeric() || " _.:/=+-".contains(c);
        assert!(revision.as_str().chars().all(allowed));
    }

    #[test]
    fn an_arn_is_told_from_its_version() {
        let arn = "arn:aws:ssm:eu-west-1:123456789012:document/deploy";
        let command = RunCommand { document: arn.into(), ..command(&[]) };
        let revision = command.revision("12").expect("short");
        let parsed = parse(revision.as_str()).expect("one");
        assert_eq!((parsed.0.as_str(), parsed.1.as_str()), (arn, "12"));
    }

    #[test]
    fn more_than_the_record_can_hold_is_refused_at_the_parameters() {
        let long = "x".repeat(200);
        let error = command(&[("Version", &long)]).revision("3").expect_err("too long");
        assert_eq!(error.attribute.as_deref(), Some("replacement/run_command/parameters"));
    }
}
