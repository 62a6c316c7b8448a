//! A proxy between the program and an emulator, which sees each request first.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::process::{self, Ran};

/// Runs `program` against the emulator at `endpoint`, and calls `before` with each request.
pub fn between(program: &mut Command, endpoint: &str, before: impl Fn(&str) + Sync) -> Ran {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        program.env("AWS_ENDPOINT_URL", format!("http://{address}"));
        scope.spawn({
            let (ended, before) = (&ended, &before);
            move || {
                for connection in listener.incoming() {
                    if ended.load(Ordering::Relaxed) {
                        break;
                    }
                    let connection = connection.expect("a connection");
                    scope.spawn(move || pass_on(connection, endpoint, before));
                }
            }
        });
        let ran = process::run(program);
        ended.store(true, Ordering::Relaxed);
        TcpStream::connect(address).expect("the listener wakes up");
        ran
    })
}

fn pass_on(mut connection: TcpStream, endpoint: &str, before: &impl Fn(&str)) {
    let request = request(&mut connection);
    before(&String::from_utf8_lossy(&request));
    let address = endpoint.strip_prefix("http://").expect("an address").trim_end_matches('/');
    let mut onward = TcpStream::connect(address).expect("the emulator");
    onward.write_all(&request).expect("a request");
    // The client may be gone.
    let _ = std::io::copy(&mut onward, &mut connection);
}

/// Reads one HTTP request with its body, and asks for the connection to be closed after it; empty
/// when there is none.
fn request(connection: &mut TcpStream) -> Vec<u8> {
    let mut read = BufReader::new(connection);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && read.read_line(&mut head).expect("a line") > 0 {}
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    read.read_exact(&mut body).expect("a body");
    let head = head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    [head.into_bytes(), body].concat()
}
