//! Lines in, lines out. Reading and writing stand on threads of their own: a blocked peer never
//! holds up a rollout, and a rollout never holds up a `ping`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::mpsc;

use tokio::sync::mpsc as async_mpsc;

/// The longest line that is read, in bytes.
pub const MAX_MESSAGE: usize = 16 << 20;

/// What the reader found.
#[derive(Debug, PartialEq, Eq)]
pub enum Inbound {
    /// A line, without its end.
    Line(Vec<u8>),
    /// A line longer than [`MAX_MESSAGE`]; it was skipped.
    TooLong,
    /// The peer will say no more.
    End,
}

/// Takes standard output for the protocol alone: from here on, whatever else is written to file
/// descriptor 1 goes to standard error.
///
/// # Errors
/// What the system said.
pub fn claim_stdout() -> io::Result<File> {
    let private = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    Ok(File::from(private))
}

/// Reads lines from `from` on a thread of its own. At most a few wait to be taken.
pub fn read_lines(from: impl Read + Send + 'static) -> async_mpsc::Receiver<Inbound> {
    let (send, receive) = async_mpsc::channel(16);
    std::thread::spawn(move || {
        let mut reader = BufReader::new(from);
        loop {
            let found = read_line(&mut reader);
            let end = found == Inbound::End;
            // Nobody takes lines any more once the program is about to exit.
            if send.blocking_send(found).is_err() || end {
                return;
            }
        }
    });
    receive
}

fn read_line(reader: &mut impl BufRead) -> Inbound {
    let mut line = Vec::new();
    let limit = MAX_MESSAGE as u64 + 1;
    let read = reader.by_ref().take(limit).read_until(b'\n', &mut line);
    match read {
        Ok(0) | Err(_) => Inbound::End,
        Ok(_) if line.last() == Some(&b'\n') => {
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            Inbound::Line(line)
        }
        Ok(_) if line.len() > MAX_MESSAGE => match reader.skip_until(b'\n') {
            Ok(_) => Inbound::TooLong,
            Err(_) => Inbound::End,
        },
        // The last line need not have an end.
        Ok(_) => Inbound::Line(line),
    }
}

/// Writes lines on a thread of its own. The second receiver gets one message: once every sender
/// of the first is gone, or as soon as nobody reads any more.
pub fn write_lines(
    mut to: impl Write + Send + 'static,
) -> (mpsc::Sender<String>, tokio::sync::oneshot::Receiver<io::Result<()>>) {
    let (send, lines) = mpsc::channel::<String>();
    let (done, is_done) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let result = lines.iter().try_for_each(|line| {
            to.write_all(line.as_bytes())?;
            to.write_all(b"\n")?;
            to.flush()
        });
        // The program may have stopped waiting for the end.
        done.send(result).unwrap_or_default();
    });
    (send, is_done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8]) -> Vec<Inbound> {
        let mut reader = BufReader::new(text);
        let mut found = Vec::new();
        while found.last() != Some(&Inbound::End) {
            found.push(read_line(&mut reader));
        }
        found
    }

    fn line(text: &str) -> Inbound {
        Inbound::Line(text.as_bytes().to_vec())
    }

    #[test]
    fn lines_end_with_or_without_a_carriage_return_and_the_last_without_any() {
        assert_eq!(all(b"a\nb\r\n\nc"), [line("a"), line("b"), line(""), line("c"), Inbound::End]);
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_the_next_one_read() {
        let mut text = vec![b'x'; MAX_MESSAGE + 1];
        text.extend(b"yyy\nnext\n");
        assert_eq!(all(&text), [Inbound::TooLong, line("next"), Inbound::End]);
    }

    #[test]
    fn a_line_of_the_greatest_length_is_read() {
        let mut text = vec![b'x'; MAX_MESSAGE];
        text.push(b'\n');
        assert!(matches!(&all(&text)[0], Inbound::Line(line) if line.len() == MAX_MESSAGE));
    }
}
