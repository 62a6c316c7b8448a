//! Commands that Systems Manager runs on instances.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rolling_provider::{ProviderError, Revision};
use sha2::{Digest as _, Sha256};

pub(super) const BASE: &str = "replacement/run_command";
/// The longest revision that fits into the record beside everything else.
const LONGEST: usize = 140;
/// How many digits the hash of parameters has.
const HASH: usize = 16;

/// A document, and what it is run with.
#[derive(Clone)]
pub struct RunCommand {
    /// Its name, or the ARN of a shared document.
    pub document: String,
    /// A number, `$LATEST` or `$DEFAULT`.
    pub version: String,
    /// Values of its parameters, by name. They may be secrets.
    pub parameters: Parameters,
    /// Values of earlier runs that are known, for a rollback.
    pub earlier: Vec<Parameters>,
    /// How long it may take.
    pub timeout: Duration,
}

impl fmt::Debug for RunCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunCommand({}:{})", self.document, self.version)
    }
}

impl RunCommand {
    /// Returns `NAME:VERSION/HASH`, in characters that a tag of a load balancer can hold. The hash
    /// is that of the parameters, if there are any: their values may be secrets, and a revision is
    /// shown everywhere. A short or common value can be guessed from its hash.
    pub(super) fn revision(&self, version: &str) -> Result<Revision, ProviderError> {
        let mut text = format!("{}:{version}", escaped(&self.document));
        if !self.parameters.is_empty() {
            text.push_str(&format!("/{}", hash(&self.parameters)));
        }
        if text.len() <= LONGEST {
            return Ok(Revision::new(text));
        }
        let message = format!(
            "the document's name and version, with the hash of its parameters, take {} \
             characters, and the record has room for {LONGEST}",
            text.len()
        );
        let error =
            ProviderError::invalid("check the command", format!("{BASE}/document"), message);
        Err(error.with_remedy("give the document a shorter name"))
    }

    /// Returns the known values with this hash.
    pub(super) fn known(&self, wanted: Option<&str>) -> Option<Parameters> {
        let Some(wanted) = wanted else { return Some(Parameters::new()) };
        let all = std::iter::once(&self.parameters).chain(&self.earlier);
        all.into_iter().find(|parameters| hash(parameters) == wanted).cloned()
    }
}

pub(super) type Parameters = BTreeMap<String, Vec<String>>;

/// Returns the document, its version and the hash of its parameters, from a revision.
pub(super) fn parse(revision: &str) -> Option<(String, String, Option<String>)> {
    let (command, hash) = match revision.split_once('/') {
        Some((command, hash)) => (command, Some(hash.to_owned())),
        None => (revision, None),
    };
    let is_hash = |text: &String| text.len() == HASH && text.bytes().all(|b| b.is_ascii_hexdigit());
    if !hash.as_ref().is_none_or(is_hash) {
        return None;
    }
    let (document, version) = command.rsplit_once(':')?;
    Some((unescaped(document)?, version.to_owned(), hash))
}

/// Returns the hash of parameters, in hexadecimal digits.
pub(super) fn hash(parameters: &Parameters) -> String {
    let mut digest = Sha256::new();
    for (name, values) in parameters {
        // Its length separates each part from the next, and each list from the next.
        digest.update((values.len() as u64).to_be_bytes());
        for part in std::iter::once(name).chain(values) {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
    }
    let digest = digest.finalize();
    digest.iter().take(HASH / 2).map(|byte| format!("{byte:02x}")).collect()
}

/// Keeps letters, digits, `_`, `.` and `-`; any other byte becomes `+` and two hexadecimal digits.
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

fn unescaped(escaped: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut remaining = escaped.bytes();
    while let Some(byte) = remaining.next() {
        if byte != b'+' {
            bytes.push(byte);
            continue;
        }
        let digits = [remaining.next()?, remaining.next()?];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn command(parameters: &[(&str, &str)]) -> RunCommand {
        let of = |(name, value): &(&str, &str)| (name.to_string(), vec![value.to_string()]);
        RunCommand {
            document: "deploy".into(),
            version: "$LATEST".into(),
            parameters: parameters.iter().map(of).collect(),
            earlier: Vec::new(),
            timeout: Duration::from_secs(60),
        }
    }

    #[test]
    fn a_revision_tells_values_apart_and_tells_none() {
        let first = command(&[("Version", "2.1"), ("Token", "hunter2")]);
        let second = command(&[("Version", "2.2"), ("Token", "hunter2")]);
        let (one, two) =
            (first.revision("3").expect("short"), second.revision("3").expect("short"));
        assert_ne!(one, two);
        let (document, version, hash) = parse(one.as_str()).expect("one");
        assert_eq!((document.as_str(), version.as_str()), ("deploy", "3"));
        for text in [one.to_string(), format!("{first:?}")] {
            assert!(!text.contains("hunter2") && !text.contains("2.1"), "{text}");
        }
        // A rollback takes the values, not their hash.
        assert_eq!(first.known(hash.as_deref()), Some(first.parameters.clone()));
        assert_eq!(second.known(hash.as_deref()), None);
        let later = RunCommand { earlier: vec![first.parameters.clone()], ..second };
        assert_eq!(later.known(hash.as_deref()), Some(first.parameters));
        assert_eq!(later.known(None), Some(Parameters::new()));
        assert!(parse("ami-0a").is_none());
        assert!(parse("deploy:3/Version=2.1").is_none());
        let allowed = |c: char| c.is_ascii_alphanumeric() || " _.:/=+-".contains(c);
        assert!(one.as_str().chars().all(allowed));
        // Parts never run into each other.
        let (a, b) = (command(&[("a", "bc")]), command(&[("ab", "c")]));
        assert_ne!(a.revision("1"), b.revision("1"));
        let lists = [vec!["a", "b"], vec!["a,b"], vec!["b", "a"], vec!["a"], vec![]];
        let lists = lists.map(|values| {
            let values = values.into_iter().map(str::to_owned).collect();
            super::hash(&Parameters::from([("Ports".to_owned(), values)]))
        });
        assert_eq!(lists.iter().collect::<BTreeSet<_>>().len(), lists.len(), "{lists:?}");
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
    fn more_than_the_record_can_hold_is_refused_and_values_have_no_limit() {
        let long = "x".repeat(200);
        assert!(command(&[("Version", &long)]).revision("3").is_ok());
        let command = RunCommand { document: long, ..command(&[]) };
        let error = command.revision("3").expect_err("too long");
        assert_eq!(error.attribute.as_deref(), Some("replacement/run_command/document"));
    }
}
