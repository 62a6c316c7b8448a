//! Tests the object against canned answers: which conditions each call has, and what follows from
//! those that do not hold.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use rolling_provider::{
    Action, Activity, Clock, Done, Effect, ErrorKind, Fleet, Observation, ProviderError, Tags,
    Target, Timestamp,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::S3Object;
use super::fleet::RecordedFleet;
use super::store::Store;

const FOUND: &str = r#"{"version":1,"target":"arn:web","tags":{"rolling:lease":"a","x":"y"}}"#;

/// A fleet that has only the id of its target, and the tags on it.
struct Bare(Tags);

#[async_trait]
impl Fleet for Bare {
    async fn resolve(&self) -> Result<Target, ProviderError> {
        Ok(Target { ..Target::new("arn:web", "web", "fleet", "lt-1:2".into()) })
    }

    async fn observe(&self) -> Result<Observation, ProviderError> {
        Ok(Observation {
            controller: None,
            at: Timestamp(0),
            instances: Default::default(),
            reserve: Default::default(),
            capacity: None,
            template: None,
            shifted: None,
            suspended: BTreeSet::new(),
            record: self.0.clone(),
        })
    }

    async fn activities(&self, _: Timestamp) -> Result<Vec<Activity>, ProviderError> {
        Ok(Vec::new())
    }

    async fn act(&self, action: &Action) -> Result<Done, ProviderError> {
        Err(ProviderError::invalid("the inner fleet", "", action.to_string()))
    }

    fn clock(&self) -> Arc<dyn Clock> {
        unreachable!("nothing here takes time")
    }
}

/// An answer: a status, an ETag and a body; `None` cuts the connection.
type Answer = Option<(u16, &'static str, String)>;

fn ok(etag: &'static str, body: &str) -> Answer {
    Some((200, etag, body.into()))
}

fn refusal(status: u16, code: &str) -> Answer {
    Some((status, "", format!("<Error><Code>{code}</Code><Message>{code} it is</Message></Error>")))
}

/// Returns a fleet in front of a server with these answers, and the heads and bodies of the
/// requests that the server got.
async fn fleet(answers: Vec<Answer>) -> (RecordedFleet, Arc<Mutex<Vec<String>>>) {
    fleet_tagged(answers, Tags::new()).await
}

async fn fleet_tagged(
    answers: Vec<Answer>,
    tags: Tags,
) -> (RecordedFleet, Arc<Mutex<Vec<String>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut text = String::new();
            loop {
                let mut some = [0; 4096];
                let count = stream.read(&mut some).await.expect("a request");
                text.push_str(&String::from_utf8_lossy(&some[..count]));
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let head = head.to_lowercase();
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
                if count == 0 || body.len() >= length.unwrap_or_default() {
                    break;
                }
            }
            log.lock().expect("the log").push(text);
            let Some((status, etag, text)) = answer else { continue };
            let head = format!(
                "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nETag: \"{etag}\"\r\n\
                 Connection: close\r\n\r\n",
                text.len()
            );
            stream.write_all(format!("{head}{text}").as_bytes()).await.expect("an answer sent");
        }
    });
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(endpoint)
        .force_path_style(true)
        .retry_config(aws_config::retry::RetryConfig::disabled())
        .credentials_provider(Credentials::new("a", "b", None, None, "test"))
        .build();
    let object = S3Object { bucket: "b-1".into(), key: "k/web.json".into() };
    let store = Store { client: aws_sdk_s3::Client::from_conf(config), object };
    (RecordedFleet::new(Arc::new(Bare(tags)), store), asked)
}

fn write() -> Action {
    Action::WriteRecord { tags: Tags::from([("rolling:lease".into(), "b".into())]) }
}

fn erase(keys: &[&str]) -> Action {
    Action::EraseRecord { keys: keys.iter().map(|key| (*key).to_owned()).collect() }
}

/// Returns the head of the last request, in lower case, and its body.
fn last(asked: &Mutex<Vec<String>>) -> (String, String) {
    let asked = asked.lock().expect("the log");
    let (head, body) = asked.last().expect("a request").split_once("\r\n\r\n").expect("a head");
    (head.to_lowercase(), body.to_owned())
}

#[tokio::test]
async fn a_write_replaces_exactly_what_was_seen_and_the_next_one_that() {
    let answers = vec![ok("1", FOUND), ok("2", ""), ok("3", ""), ok("", "")];
    let (fleet, asked) = fleet(answers).await;
    let look = fleet.observe().await.expect("a look");
    assert_eq!(look.record["rolling:lease"], "a");

    fleet.act(&write()).await.expect("written");
    let (head, body) = last(&asked);
    assert!(head.starts_with("put /b-1/k/web.json") && head.contains("if-match: \"1\""), "{head}");
    assert!(body.contains(r#""rolling:lease":"b""#) && body.contains(r#""x":"y""#), "{body}");
    assert!(body.contains(r#""target":"arn:web""#) && body.contains(r#""version":1"#), "{body}");

    fleet.act(&erase(&["rolling:lease", "absent"])).await.expect("erased");
    let (head, body) = last(&asked);
    assert!(head.starts_with("put ") && head.contains("if-match: \"2\""), "{head}");
    assert!(!body.contains("rolling:lease") && body.contains(r#""x":"y""#), "{body}");

    fleet.act(&erase(&["x"])).await.expect("erased");
    let (head, _) = last(&asked);
    assert!(head.starts_with("delete ") && head.contains("if-match: \"3\""), "{head}");
    // Writing or erasing nothing makes no call; a fifth request would go unanswered.
    fleet.act(&erase(&["x"])).await.expect("nothing done");
    fleet.act(&Action::WriteRecord { tags: Tags::new() }).await.expect("nothing done");
    assert_eq!(asked.lock().expect("the log").len(), 4);
}

#[tokio::test]
async fn where_there_was_no_object_none_may_be_there() {
    let (fleet, asked) = fleet(vec![refusal(404, "NoSuchKey"), ok("1", "")]).await;
    assert!(fleet.observe().await.expect("a look").record.is_empty());
    fleet.act(&write()).await.expect("written");
    let (head, _) = last(&asked);
    assert!(head.contains("if-none-match: *") && !head.contains("if-match"), "{head}");
}

#[tokio::test]
async fn what_has_changed_is_not_written_before_it_was_looked_at_again() {
    for answer in [
        refusal(412, "PreconditionFailed"),
        refusal(409, "ConditionalRequestConflict"),
        refusal(404, "NoSuchKey"),
    ] {
        let again = refusal(412, "PreconditionFailed");
        let (fleet, asked) =
            fleet(vec![ok("1", FOUND), answer, again, ok("7", FOUND), ok("8", "")]).await;
        fleet.observe().await.expect("a look");
        for _ in 0..2 {
            let error = fleet.act(&write()).await.expect_err("it has changed");
            let kinds = (error.kind, error.effect);
            assert_eq!(kinds, (ErrorKind::Transient, Effect::NotApplied), "{error:?}");
            assert!(last(&asked).0.contains("if-match: \"1\""), "not before a look");
        }
        fleet.observe().await.expect("a look");
        fleet.act(&write()).await.expect("written");
        assert!(last(&asked).0.contains("if-match: \"7\""));
    }
}

#[tokio::test]
async fn to_delete_what_has_changed_fails_and_what_has_gone_is_deleted() {
    let keys = ["rolling:lease", "x"];
    let changed = refusal(412, "PreconditionFailed");
    let (one, _) = fleet(vec![ok("1", FOUND), changed]).await;
    one.observe().await.expect("a look");
    let error = one.act(&erase(&keys)).await.expect_err("it has changed");
    assert_eq!((error.kind, error.effect), (ErrorKind::Transient, Effect::NotApplied));
    let (two, _) = fleet(vec![ok("1", FOUND), refusal(404, "NoSuchKey")]).await;
    two.observe().await.expect("a look");
    two.act(&erase(&keys)).await.expect("gone");
}

#[tokio::test]
async fn a_lost_answer_leaves_the_effect_open_and_throttling_does_not() {
    let (fleet, _) = fleet(vec![ok("1", FOUND), None, refusal(503, "SlowDown")]).await;
    fleet.observe().await.expect("a look");
    let lost = fleet.act(&write()).await.expect_err("lost");
    assert_eq!((lost.kind, lost.effect), (ErrorKind::Transient, Effect::Unknown));
    let slow = fleet.act(&write()).await.expect_err("throttled");
    assert_eq!((slow.kind, slow.effect), (ErrorKind::Throttled, Effect::NotApplied));
}

#[tokio::test]
async fn what_cannot_be_read_is_never_taken_for_none() {
    let large = "x".repeat(70_000);
    let cases = [
        (ok("1", ""), "record/s3/key", "not JSON"),
        (ok("1", &large), "record/s3/key", "too large"),
        (ok("1", r#"{"version":9}"#), "record/s3/key", "version is 9"),
        (ok("1", r#"{"version":1}"#), "record/s3/key", "names no target"),
        (ok("1", r#"{"version":1,"target":"arn:db"}"#), "record/s3/key", "the record of arn:db"),
        (
            ok("1", r#"{"version":1,"target":"arn:web","tags":{"a":1}}"#),
            "record/s3/key",
            "not text",
        ),
        (refusal(404, "NoSuchBucket"), "record/s3/bucket", "NoSuchBucket it is"),
        (refusal(301, "PermanentRedirect"), "record/s3/bucket", "PermanentRedirect"),
        (refusal(403, "AccessDenied"), "record/s3/bucket", "AccessDenied"),
    ];
    for (answer, place, message) in cases {
        let (fleet, _) = fleet(vec![answer]).await;
        let error = fleet.observe().await.expect_err(message);
        assert_eq!(error.kind, ErrorKind::Invalid, "{error:?}");
        assert_eq!(error.attribute.as_deref(), Some(place), "{error:?}");
        assert!(error.message.contains(message), "{error:?}");
        assert!(error.remedy.is_some_and(|remedy| !remedy.is_empty()));
    }
}

#[tokio::test]
async fn a_rollout_on_the_target_itself_is_named() {
    let tags = Tags::from([("rolling:rollout".into(), "v=1 id=abc gen=1".into())]);
    let (fleet, _) = fleet_tagged(vec![refusal(404, "NoSuchKey")], tags).await;
    let error = fleet.observe().await.expect_err("two records");
    assert_eq!(error.attribute.as_deref(), Some("record"));
    assert!(error.message.starts_with("rollout abc is recorded"), "{error:?}");
    assert!(error.message.contains("s3://b-1/k/web.json"), "{error:?}");
}

#[tokio::test]
async fn doctor_tries_what_it_may_with_conditions_that_never_hold() {
    let gone = || refusal(404, "NoSuchKey");
    let (fleet, asked) = fleet(vec![gone(), gone(), refusal(403, "AccessDenied")]).await;
    let found = tokio::time::timeout(Duration::from_secs(10), fleet.examine()).await;
    let found = found.expect("an end");
    let [denied] = &found.errors[..] else { panic!("{found:?}") };
    assert_eq!(denied.operation, "PutObject");
    for request in &asked.lock().expect("the log")[1..] {
        assert!(request.to_lowercase().contains("if-match: \"never\""), "{request}");
    }
}
