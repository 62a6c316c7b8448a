//! Text from elsewhere (a cloud's reasons, tags, a gate's output, names of processes), made safe to
//! print.
//!
//! Raw control characters in it could control the terminal, and a raw newline would begin a line
//! that looks like one of this program's own. This is the only place that escapes them, for all
//! text on terminals and in logs and progress files. JSON has its own escapes.

use std::borrow::Cow;

/// Escapes what is not to be printed in `text`, newlines included: the result is one line.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    escape(text, is_active)
}

/// Escapes what is not to be printed in `text`, which consists of lines.
pub(crate) fn lines(text: &str) -> Cow<'_, str> {
    escape(text, |c| c != '\n' && is_active(c))
}

/// Joins lines, each of them escaped.
pub(crate) fn join(all: &[String]) -> String {
    all.iter().map(|text| line(text)).collect::<Vec<_>>().join("\n")
}

/// Whether a character does something to a terminal other than to print: the control characters
/// C0 and C1, line separators, and what changes the direction of text.
fn is_active(c: char) -> bool {
    let directs = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(c, '\u{2066}'..='\u{2069}');
    c.is_control() || directs || matches!(c, '\u{2028}' | '\u{2029}')
}

fn escape(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match is_escaped(c) {
            true => escaped.extend(c.escape_default()),
            false => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_commands_a_terminal_is_escaped_and_what_people_write_is_not() {
        let text = "\u{1b}]52;c;eA==\u{7}\r\n\u{9b}31m\u{202e}gpj\u{2028}\0é 日本 🙂\t.";
        let shown = r"\u{1b}]52;c;eA==\u{7}\r\n\u{9b}31m\u{202e}gpj\u{2028}\u{0}é 日本 🙂\t.";
        assert_eq!(line(text), shown);
        assert_eq!(lines("a\nb\u{1b}"), "a\nb\\u{1b}");
        assert_eq!(join(&["a\nb".to_owned(), "c".to_owned()]), "a\\nb\nc");
        assert!(matches!(line("a plain line"), Cow::Borrowed(_)));
    }
}
