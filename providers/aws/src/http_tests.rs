//! Tests the adapter against canned answers on a real socket: what it asks, and what it makes of
//! the answers and of their absence.

mod errors;
mod requests;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_ec2::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use rolling_provider::{Action, Clock, Timestamp};

use crate::connect::ec2_config;
use crate::emulator::Reached;
use crate::skew::Skew;
use crate::{AutoScalingGroup, AutoScalingGroupFleet, Aws, LaunchTemplate};

/// What the server answers to a request with this body: a status and a body, or `None`, which cuts
/// the connection.
pub(crate) type Answer = fn(&str) -> Option<(u16, String)>;

/// The adapter asks this of every host that is not AWS.
const DESCRIBE_INSTANCE_REFRESHES: &str = "Action=DescribeInstanceRefreshes";
const NO_INSTANCE_REFRESHES: &str = "<DescribeInstanceRefreshesResponse><DescribeInstanceRefreshesResult/>\
     </DescribeInstanceRefreshesResponse>";

struct Zero;

#[async_trait]
impl Clock for Zero {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }

    async fn sleep(&self, _: Duration) {}
}

/// Returns a fleet whose calls all go to `endpoint`.
fn fleet_at(
    endpoint: &str,
    credentials: Option<SharedCredentialsProvider>,
) -> AutoScalingGroupFleet {
    let fixed = || SharedCredentialsProvider::new(Credentials::new("a", "b", None, None, "test"));
    let shared = aws_config::SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(endpoint)
        .retry_config(aws_config::retry::RetryConfig::disabled())
        .credentials_provider(credentials.unwrap_or_else(fixed))
        .build();
    let (skew, reached) = (Skew::default(), Reached::default());
    let watch = reached.watch("autoscaling");
    let autoscaling = aws_sdk_autoscaling::config::Builder::from(&shared).interceptor(watch);
    let aws = Aws {
        autoscaling: aws_sdk_autoscaling::Client::from_conf(autoscaling.build()),
        ec2: aws_sdk_ec2::Client::from_conf(ec2_config(&shared, &skew).build()),
        #[cfg(feature = "cloudwatch")]
        cloudwatch: aws_sdk_cloudwatch::Client::new(&shared),
        #[cfg(feature = "elasticbeanstalk")]
        elasticbeanstalk: aws_sdk_elasticbeanstalk::Client::new(&shared),
        elb: aws_sdk_elasticloadbalancingv2::Client::new(&shared),
        #[cfg(feature = "ssm")]
        ssm: aws_sdk_ssm::Client::new(&shared),
        #[cfg(feature = "s3")]
        s3: aws_sdk_s3::Client::new(&shared),
        region: "eu-west-1".into(),
        skew,
        reached,
        ends: crate::expiration::Ends::Never,
        default_tags: Arc::default(),
    };
    let launch_template =
        Some(LaunchTemplate { id: Some("lt-1".into()), name: None, version: "2".into() });
    let group = AutoScalingGroup {
        name: "web".into(),
        launch_template,
        target_group_arns: None,
        image_id: None,
        in_place: None,
        is_instance_refresh: false,
        traffic: None,
    };
    aws.auto_scaling_group(group, Arc::new(Zero))
}

/// Returns a fleet on a server that answers by `answer`, and the bodies of the requests it got.
pub(crate) fn fleet(answer: Answer) -> (AutoScalingGroupFleet, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut bytes = Vec::new();
            let body = loop {
                let mut some = [0; 4096];
                let count = stream.read(&mut some).expect("a request");
                if count == 0 {
                    break None;
                }
                bytes.extend_from_slice(&some[..count]);
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.lines().find_map(|line| {
                    line.to_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok()
                });
                if body.len() >= length.unwrap_or_default() {
                    break Some(body.to_owned());
                }
            };
            let Some(body) = body else { continue };
            log.lock().expect("the log").push(body.clone());
            let Some((status, text)) = answer(&body) else { continue };
            let length = text.len();
            let head = format!(
                "HTTP/1.1 {status} X\r\nContent-Type: text/xml\r\nContent-Length: {length}\r\n\
                 Date: Thu, 01 Jan 1970 00:10:00 GMT\r\nConnection: close\r\n\r\n"
            );
            stream.write_all(format!("{head}{text}").as_bytes()).expect("an answer sent");
        }
    });
    (fleet_at(&endpoint, None), asked)
}

fn refusal(status: u16, code: &str, message: &str) -> Option<(u16, String)> {
    let message = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message>\
         </Error><RequestId>r</RequestId></ErrorResponse>"
    );
    Some((status, message))
}

fn group_of(ids: &[&str]) -> String {
    let members: String = ids
        .iter()
        .map(|id| {
            format!(
                "<member><InstanceId>{id}</InstanceId><LifecycleState>InService</LifecycleState>\
                 <HealthStatus>Healthy</HealthStatus><AvailabilityZone>eu-west-1a\
                 </AvailabilityZone></member>"
            )
        })
        .collect();
    format!(
        "<DescribeAutoScalingGroupsResponse><DescribeAutoScalingGroupsResult><AutoScalingGroups>\
         <member><AutoScalingGroupName>web</AutoScalingGroupName><Instances>{members}</Instances>\
         </member></AutoScalingGroups></DescribeAutoScalingGroupsResult>\
         </DescribeAutoScalingGroupsResponse>"
    )
}

fn terminate() -> Action {
    Action::Terminate { instance: "i-1".into(), decrement: false }
}
