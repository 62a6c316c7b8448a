//! The log on standard error.

use std::io;

use crate::model::printable;

/// Writes a log in which every message is one line, whatever the message contains.
///
/// Each call of `write` is one message with the newline at its end.
#[derive(Debug)]
pub struct LogWriter<W>(pub W);

impl<W: io::Write> io::Write for LogWriter<W> {
    fn write(&mut self, message: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(message);
        let (text, end) = text.strip_suffix('\n').map_or((&*text, ""), |text| (text, "\n"));
        self.0.write_all(printable::line(text).as_bytes())?;
        self.0.write_all(end.as_bytes())?;
        Ok(message.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_message_of_a_log_is_one_line() {
        let mut log = LogWriter(Vec::new());
        log.write_all(b"WARN rolling: \x1b[2J\nweb: succeeded\n").expect("a log in memory");
        assert_eq!(log.0, b"WARN rolling: \\u{1b}[2J\\nweb: succeeded\n");
    }
}
