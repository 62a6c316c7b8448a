//! Reads and writes lines.
//!
//! Reading and writing each have their own thread: a blocked peer never delays a rollout, and a
//! rollout never delays a `ping`.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use tokio::sync::{Notify, mpsc as async_mpsc};

/// The longest line that is read, in bytes.
pub(crate) const MAX_MESSAGE: usize = 16 << 20;

/// How many bytes may wait to be written.
///
/// At this limit, the server takes no more messages from the peer and sends it no more progress.
const MAX_WAITING: usize = 8 << 20;
/// About how many bytes one call writes.
const WRITE_AT_ONCE: usize = 64 << 10;

/// What the reader finds.
#[derive(Debug, PartialEq, Eq)]
pub enum Inbound {
    /// A line, without its end.
    Line(Vec<u8>),
    /// A line longer than `MAX_MESSAGE`, which the reader skips.
    TooLong,
    /// The end of what the peer sends.
    End,
}

/// Reads lines from `from` on a separate thread. At most a few lines wait in the channel.
pub(crate) fn read_lines(from: impl Read + Send + 'static) -> async_mpsc::Receiver<Inbound> {
    let (send, receive) = async_mpsc::channel(16);
    std::thread::spawn(move || {
        let mut reader = BufReader::new(from);
        loop {
            let found = read_line(&mut reader, MAX_MESSAGE);
            let end = found == Inbound::End;
            // The receiver is gone once the program is about to exit.
            if send.blocking_send(found).is_err() || end {
                return;
            }
        }
    });
    receive
}

/// Reads one line of at most `longest` bytes. A failed read counts as the end.
pub fn read_line(reader: &mut impl BufRead, longest: usize) -> Inbound {
    let mut line = Vec::new();
    let read = reader.by_ref().take(longest as u64 + 1).read_until(b'\n', &mut line);
    match read {
        Ok(0) | Err(_) => Inbound::End,
        Ok(_) if line.last() == Some(&b'\n') => {
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            Inbound::Line(line)
        }
        Ok(_) if line.len() > longest => match reader.skip_until(b'\n') {
            Ok(_) => Inbound::TooLong,
            Err(_) => Inbound::End,
        },
        // The last line may lack a newline.
        Ok(_) => Inbound::Line(line),
    }
}

/// The queue of outgoing lines.
///
/// It counts the bytes that wait, so that a peer that does not read cannot make it grow without
/// limit.
#[derive(Clone)]
pub(crate) struct Outbox {
    lines: mpsc::Sender<String>,
    waiting: Arc<QueuedBytes>,
}

#[derive(Default)]
struct QueuedBytes {
    bytes: AtomicUsize,
    written: Notify,
}

impl Outbox {
    /// Appends a line to the queue. The writer notices when the reader is gone.
    pub(crate) fn send(&self, line: String) {
        self.waiting.bytes.fetch_add(line.len(), Ordering::Relaxed);
        self.lines.send(line).unwrap_or_default();
    }

    /// Whether the peer reads fast enough.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.bytes.load(Ordering::Relaxed) < MAX_WAITING
    }

    /// Waits until something is written.
    pub(crate) async fn written(&self) {
        self.waiting.written.notified().await;
    }
}

/// Writes lines on a separate thread.
///
/// The receiver gets one message: once every outbox is gone and every line is written, or as soon
/// as writing fails.
pub(crate) fn write_lines(
    mut to: impl Write + Send + 'static,
) -> (Outbox, tokio::sync::oneshot::Receiver<io::Result<()>>) {
    let (send, lines) = mpsc::channel::<String>();
    let (done, is_done) = tokio::sync::oneshot::channel();
    let waiting = Arc::new(QueuedBytes::default());
    let outbox = Outbox { lines: send, waiting: Arc::clone(&waiting) };
    std::thread::spawn(move || {
        let mut buffer = Vec::new();
        let result = lines.iter().try_for_each(|first| {
            buffer.clear();
            // One call writes the lines that have piled up meanwhile.
            for line in std::iter::once(first).chain(lines.try_iter()) {
                buffer.extend_from_slice(line.as_bytes());
                buffer.push(b'\n');
                waiting.bytes.fetch_sub(line.len(), Ordering::Relaxed);
                if buffer.len() >= WRITE_AT_ONCE {
                    break;
                }
            }
            let written = to.write_all(&buffer).and_then(|()| to.flush());
            waiting.written.notify_one();
            written
        });
        // The program may have stopped waiting for the end.
        done.send(result).unwrap_or_default();
    });
    (outbox, is_done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8]) -> Vec<Inbound> {
        let mut reader = BufReader::new(text);
        let mut found = Vec::new();
        while found.last() != Some(&Inbound::End) {
            found.push(read_line(&mut reader, MAX_MESSAGE));
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
