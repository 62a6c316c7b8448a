//! The cluster over HTTP and in memory, on a clock of the caller's.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rolling_kubernetes_testing::{
    ApiFault, HttpServer, InMemoryService, Matching, ObjectKind, Rule,
};
use serde_json::{Value, json};

use crate::support::{Lab, STRATEGIC, WEB, image, seconds};

/// A cluster with six pods, on a clock that a test sets.
fn service() -> (InMemoryService, Arc<AtomicU64>) {
    let lab = Lab::new();
    let time =
        Arc::new(AtomicU64::new(u64::try_from(lab.cluster.now().as_millis()).expect("a time")));
    let clock = Arc::clone(&time);
    let now = move || Duration::from_millis(clock.load(Ordering::SeqCst));
    (InMemoryService::new(lab.cluster, now), time)
}

fn request(
    server: &HttpServer,
    method: &str,
    path: &str,
    kind: &str,
    body: &str,
) -> BufReader<TcpStream> {
    let address = server.url().replace("http://", "");
    let mut stream = TcpStream::connect(&address).expect("a connection");
    stream.set_read_timeout(Some(seconds(10))).expect("a timeout");
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: {kind}\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(head.as_bytes()).expect("sent");
    BufReader::new(stream)
}

/// Reads the head of an answer: its status code, and its headers.
fn head(reader: &mut BufReader<TcpStream>) -> (u16, Vec<String>) {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a line");
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_lowercase());
    }
    let code =
        lines.first().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    (code.unwrap_or(0), lines)
}

fn answer(server: &HttpServer, method: &str, path: &str, kind: &str, body: &str) -> (u16, Value) {
    let mut reader = request(server, method, path, kind, body);
    let (code, _) = head(&mut reader);
    let mut remainder = String::new();
    reader.read_to_string(&mut remainder).expect("a body");
    // The body comes in chunks; the JSON is one of their lines.
    let json = remainder.lines().find(|line| line.starts_with('{')).unwrap_or("null");
    (code, serde_json::from_str(json).expect("JSON"))
}

#[test]
fn it_is_served_over_http() {
    let (service, time) = service();
    let server = HttpServer::start(service).expect("a server");
    let (code, object) = answer(&server, "GET", WEB, "application/json", "");
    assert_eq!((code, &object["spec"]["replicas"]), (200, &json!(6)));
    let patch = image("web:v2").to_string();
    let (code, object) = answer(&server, "PATCH", WEB, STRATEGIC.1, &patch);
    assert_eq!((code, &object["metadata"]["generation"]), (200, &json!(2)));
    // Nothing happens before the clock says so.
    let updated = |server: &HttpServer| {
        answer(server, "GET", WEB, "", "").1["status"]["updatedReplicas"].clone()
    };
    assert_eq!(updated(&server), 6);
    time.fetch_add(60_000, Ordering::SeqCst);
    let object = answer(&server, "GET", WEB, "", "").1;
    assert_eq!(object["status"]["observedGeneration"], 2);
    assert_eq!(object["status"]["availableReplicas"], 6);
    let images = server.service().with(|cluster| cluster.list(ObjectKind::Pod, "shop"));
    assert!(images.iter().all(|pod| pod["spec"]["containers"][0]["image"] == "web:v2"));
    assert_eq!(answer(&server, "GET", "/openapi/v2", "", "").0, 404);
    let config: Value = serde_json::from_str(&server.kubeconfig("shop")).expect("JSON");
    assert_eq!(config["clusters"][0]["cluster"]["server"], server.url());
}

#[test]
fn a_watch_tells_what_happens() {
    let (service, time) = service();
    let server = HttpServer::start(service).expect("a server");
    let version = answer(&server, "GET", WEB, "", "").1["metadata"]["resourceVersion"].clone();
    let version = version.as_str().expect("a version");
    let path = format!(
        "/apis/apps/v1/namespaces/shop/deployments?watch=1&resourceVersion={version}&fieldSelector=metadata.name%3Dweb"
    );
    let mut reader = request(&server, "GET", &path, "", "");
    assert_eq!(head(&mut reader).0, 200);
    answer(&server, "PATCH", WEB, STRATEGIC.1, &image("web:v2").to_string());
    let mut next = || loop {
        let mut line = String::new();
        assert!(reader.read_line(&mut line).expect("a line") > 0, "the watch has ended");
        if line.starts_with('{') {
            return serde_json::from_str::<Value>(&line).expect("an event");
        }
    };
    let event = next();
    assert_eq!(
        (&event["type"], &event["object"]["metadata"]["generation"]),
        (&json!("MODIFIED"), &json!(2))
    );
    time.fetch_add(5_000, Ordering::SeqCst);
    while next()["object"]["status"]["observedGeneration"] != 2 {}
}

#[test]
fn a_dropped_connection_has_no_answer() {
    let (service, _) = service();
    service.with(|cluster| {
        let fault = ApiFault::DroppedAfter;
        cluster.door().rules.push(Rule::once(Matching::of("patch", "deployments"), fault));
    });
    let server = HttpServer::start(service).expect("a server");
    let mut reader = request(&server, "PATCH", WEB, STRATEGIC.1, &image("web:v2").to_string());
    let mut remainder = Vec::new();
    // Reset or closed: nothing is read.
    let _ = reader.read_to_end(&mut remainder);
    assert!(remainder.is_empty());
    assert_eq!(answer(&server, "GET", WEB, "", "").1["metadata"]["generation"], 2);
}

#[test]
fn a_request_in_memory_may_be_awaited_on_any_thread() {
    fn is_send(_: &impl Send) {}
    let (service, _) = service();
    is_send(&service.handle(hyper::Request::new(Vec::new())));
}
