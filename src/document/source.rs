//! The bytes of a document: how they are encoded, and what else than JSON they look like.

/// Returns the text in `bytes`: UTF-8, or UTF-16 with a byte order mark, as PowerShell writes it. A
/// byte order mark is no part of the text.
///
/// # Errors
/// Why it is no text, as a sentence.
pub(crate) fn decode(bytes: &[u8]) -> Result<String, &'static str> {
    let utf_16 = |bytes: &[u8], read: fn([u8; 2]) -> u16| {
        let units: Vec<u16> =
            bytes.chunks(2).map(|pair| read([pair[0], *pair.get(1).unwrap_or(&0)])).collect();
        String::from_utf16(&units).map_err(|_| "it begins as UTF-16 and is none")
    };
    match bytes {
        [0xff, 0xfe, text @ ..] => utf_16(text, u16::from_le_bytes),
        [0xfe, 0xff, text @ ..] => utf_16(text, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, text @ ..] => utf_8(text),
        text => utf_8(text),
    }
}

fn utf_8(bytes: &[u8]) -> Result<String, &'static str> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "it is neither UTF-8 nor UTF-16")
}

/// Says what a text that is no JSON looks like, if that is known.
pub(crate) fn looks_like(text: &str) -> Option<&'static str> {
    let line =
        text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    let block = ["resource ", "provider ", "terraform ", "variable ", "locals ", "module "];
    if block.iter().any(|word| line.starts_with(word)) && line.ends_with('{') {
        return Some("HCL");
    }
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_-./".contains(c))
    };
    let (name, value) = line.split_once(':').unwrap_or_default();
    (line == "---" || (is_name(name) && (value.is_empty() || value.starts_with(' '))))
        .then_some("YAML")
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
        assert_eq!(looks_like("# c\nresource \"rolling_deployment\" \"web\" {\n}"), Some("HCL"));
        assert_eq!(looks_like("---\nresource:\n"), Some("YAML"));
        assert_eq!(looks_like("resource:\n  a: 1\n"), Some("YAML"));
        assert_eq!(looks_like("{\"a\": 1,}"), None);
    }
}
