//! The bytes of a document: how they are encoded, and what else than JSON they look like.

/// Returns the text in `bytes`: UTF-8, or UTF-16 as PowerShell writes it. A byte order mark is
/// no part of the text.
///
/// # Errors
/// Why it is no text, as a sentence.
pub(crate) fn decode(bytes: &[u8]) -> Result<String, &'static str> {
    let utf_16 = |bytes: &[u8], read: fn([u8; 2]) -> u16| {
        let (pairs, remaining) = bytes.as_chunks::<2>();
        let units: Vec<u16> = pairs.iter().map(|pair| read(*pair)).collect();
        let text = String::from_utf16(&units).ok().filter(|_| remaining.is_empty());
        text.ok_or("it begins like UTF-16, but is not valid UTF-16")
    };
    match bytes {
        [0xff, 0xfe, text @ ..] => utf_16(text, u16::from_le_bytes),
        [0xfe, 0xff, text @ ..] => utf_16(text, u16::from_be_bytes),
        // JSON begins with an ASCII character, and has no other zero byte.
        [first, 0, ..] if *first != 0 => utf_16(bytes, u16::from_le_bytes),
        [0, second, ..] if *second != 0 => utf_16(bytes, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, text @ ..] => utf_8(text),
        text => utf_8(text),
    }
}

fn utf_8(bytes: &[u8]) -> Result<String, &'static str> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "it is neither UTF-8 nor UTF-16")
}

/// Another syntax than JSON in which a document may have been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syntax {
    /// Terraform's own syntax.
    Hcl,
    /// As Kubernetes and Ansible have it.
    Yaml,
}

impl Syntax {
    /// Returns its name, and how a document in it becomes one in JSON.
    pub(crate) fn name_and_remedy(self) -> (&'static str, &'static str) {
        match self {
            Syntax::Hcl => (
                "HCL",
                "write it as NAME.tf.json, {\"resource\": {\"rolling_deployment\": {\"NAME\": \
                 {...}}}}, or let Terraform run it",
            ),
            Syntax::Yaml => (
                "YAML",
                "write it as NAME.tf.json, for example by yq -o json, or let Ansible run it",
            ),
        }
    }
}

/// Returns what a text that is no JSON looks like, by its first line that is no comment.
pub(crate) fn looks_like(text: &str) -> Option<Syntax> {
    let mut text = text.trim_start();
    loop {
        let end = match text.get(..2) {
            Some("/*") => text.find("*/").map(|end| end + 2),
            Some("//") => text.find('\n'),
            _ if text.starts_with('#') => text.find('\n'),
            _ => break,
        };
        text = text[end.unwrap_or(text.len())..].trim_start();
    }
    let line = text.lines().next().unwrap_or_default().trim_end();
    match () {
        () if is_hcl(line) => Some(Syntax::Hcl),
        () if is_yaml(line) => Some(Syntax::Yaml),
        () => None,
    }
}

/// Whether a line begins a block, `resource "x" "y" {`, or is an attribute, `x = 1`.
fn is_hcl(line: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || "_-".contains(c);
    let name = line.trim_start_matches(is_name);
    let after = name.trim_start();
    let is_block = after.starts_with(['{', '"']) || (name != after && after.ends_with('{'));
    name.len() < line.len() && !after.contains(':') && (is_block || after.starts_with('='))
}

/// Whether a line begins a document or a list, or is an entry, `x: 1`.
fn is_yaml(line: &str) -> bool {
    let (key, value) = line.split_once(':').unwrap_or_default();
    let key = key.trim_matches(['"', '\'']);
    let is_key = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || "_-./ ".contains(c));
    let begins = ["---", "%YAML", "- "].iter().any(|begin| line.starts_with(begin));
    begins || (is_key && (value.is_empty() || value.starts_with(' ')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_as_it_is_written() {
        let utf_16 = |bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            "\u{feff}{\"ä\": 1}".encode_utf16().flat_map(bytes).collect()
        };
        for bytes in [
            utf_16(u16::to_le_bytes),
            utf_16(u16::to_be_bytes),
            "\u{feff}{\"ä\": 1}".as_bytes().to_vec(),
            "{\"ä\": 1}".as_bytes().to_vec(),
        ] {
            assert_eq!(decode(&bytes).as_deref(), Ok("{\"ä\": 1}"));
        }
        assert!(decode(&[0xff, 0xfe, 0x00, 0xd8]).is_err() && decode(&[0x80]).is_err());
        assert_eq!(
            looks_like("# c\nresource \"rolling_deployment\" \"web\" {\n}"),
            Some(Syntax::Hcl)
        );
        assert_eq!(looks_like("---\nresource:\n"), Some(Syntax::Yaml));
        assert_eq!(looks_like("resource:\n  a: 1\n"), Some(Syntax::Yaml));
        assert_eq!(looks_like("{\"a\": 1,}"), None);
    }
}
