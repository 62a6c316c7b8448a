//! How fast the cluster is, and what it is made of.

use std::time::Duration;

/// The settings of a cluster.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The seed of names and delays.
    pub seed: u64,
    /// The least and the most time from a change to the Deployment controller that looks at it.
    /// The controllers of pods take a tenth of it.
    pub sync: (Duration, Duration),
    /// The times of pods.
    pub times: Times,
    /// The nodes: name and zone.
    pub nodes: Vec<(String, String)>,
    /// Whether pods are scheduled and run. Without, a test or another process writes their status.
    pub kubelet: bool,
    /// The user that messages name.
    pub user: String,
    /// The bearer token that requests must have, if any.
    pub token: Option<String>,
    /// The version of the server: major and minor.
    pub version: (u32, u32),
}

impl Settings {
    /// Returns whether statuses have `terminatingReplicas` (beta, and on, since 1.35).
    pub fn counts_terminating(&self) -> bool {
        self.version >= (1, 35)
    }
}

impl Default for Settings {
    fn default() -> Self {
        let node = |zone: char| (format!("node-{zone}"), format!("zone-{zone}"));
        Self {
            seed: 1,
            sync: (Duration::from_millis(10), Duration::from_millis(50)),
            times: Times::default(),
            nodes: ['a', 'b', 'c'].map(node).to_vec(),
            kubelet: true,
            user: "system:serviceaccount:shop:rolling".to_owned(),
            token: None,
            version: (1, 32),
        }
    }
}

/// How long the steps of a pod's life take.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// From its creation until it is on a node.
    pub schedule: Duration,
    /// From the node until its containers run. The real boot is up to a third longer, by chance.
    pub boot: Duration,
    /// From running until it is ready.
    pub ready: Duration,
    /// How often as long a `slow` image takes to boot.
    pub slow: u32,
    /// From its deletion until it is gone.
    pub drain: Duration,
    /// From running until a `crash` or `oom` image ends.
    pub crash: Duration,
    /// The first pause before a container is started or an image is pulled again. It doubles each
    /// time up to 30 times of it (kubelet: 10 s up to 5 min).
    pub back_off: Duration,
    /// Between two readiness probes that fail.
    pub probe: Duration,
    /// How long a `flap` image is ready, and then not.
    pub flap: (Duration, Duration),
    /// From ready containers until the readiness gates that nobody holds open.
    pub gate: Duration,
    /// From the deletion of an owner until what it owns is deleted.
    pub collect: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            schedule: Duration::from_millis(20),
            boot: Duration::from_millis(1500),
            ready: Duration::from_millis(300),
            slow: 5,
            drain: Duration::from_secs(2),
            crash: Duration::from_secs(1),
            back_off: Duration::from_secs(10),
            probe: Duration::from_secs(10),
            flap: (Duration::from_secs(2), Duration::from_secs(2)),
            gate: Duration::from_secs(2),
            collect: Duration::from_millis(100),
        }
    }
}

/// How the pods of an image behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodBehaviour {
    /// They run and are ready.
    Good,
    /// They take long to boot.
    Slow,
    /// They run and fail their readiness probe.
    Unhealthy,
    /// They end with exit code 1.
    Crash,
    /// They are killed for their memory.
    OutOfMemory,
    /// The registry does not have the image.
    NoImage,
    /// The image's name cannot be read.
    InvalidName,
    /// A ConfigMap that they need is not there.
    ConfigError,
    /// They are ready and not ready by turns.
    Flap,
    /// No node has room for them.
    Unschedulable,
    /// They have a readiness gate, which the door opens.
    Gate,
    /// They do not end before their grace period is over.
    Hang,
}

/// The words in a tag. Some have two, since the control plane of the recordings has others.
const BEHAVIOUR_TAGS: [(&str, PodBehaviour); 14] = [
    ("slow", PodBehaviour::Slow),
    ("unhealthy", PodBehaviour::Unhealthy),
    ("unready", PodBehaviour::Unhealthy),
    ("crash", PodBehaviour::Crash),
    ("oom", PodBehaviour::OutOfMemory),
    ("no-image", PodBehaviour::NoImage),
    ("bad", PodBehaviour::NoImage),
    ("invalid-name", PodBehaviour::InvalidName),
    ("invalid-image-name", PodBehaviour::InvalidName),
    ("config-error", PodBehaviour::ConfigError),
    ("flap", PodBehaviour::Flap),
    ("unschedulable", PodBehaviour::Unschedulable),
    ("gate", PodBehaviour::Gate),
    ("hang", PodBehaviour::Hang),
];

impl PodBehaviour {
    /// Returns the behaviour by the image's tag: a word, alone, before a hyphen or a digit
    /// (`crash-2`, `bad1`), or after a hyphen (`2.1-crash`).
    pub fn of_image(image: &str) -> Self {
        let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
        let begins = |word: &str| {
            tag.strip_prefix(word).is_some_and(|remainder| {
                remainder.is_empty() || remainder.starts_with(|next: char| !next.is_alphabetic())
            })
        };
        let ends =
            |word: &str| tag.strip_suffix(word).is_some_and(|remainder| remainder.ends_with('-'));
        let found = BEHAVIOUR_TAGS.iter().find(|(word, _)| begins(word) || ends(word));
        found.map_or(Self::Good, |(_, behaviour)| *behaviour)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_says_how_pods_behave() {
        let cases = [
            ("web", PodBehaviour::Good),
            ("web:1", PodBehaviour::Good),
            ("web:crashproof", PodBehaviour::Good),
            ("images.example.com:5000/web:crash", PodBehaviour::Crash),
            ("web:2.1-no-image", PodBehaviour::NoImage),
            ("web:bad2", PodBehaviour::NoImage),
            ("web:slow-3", PodBehaviour::Slow),
        ];
        for (image, expected) in cases {
            assert_eq!(PodBehaviour::of_image(image), expected, "{image}");
        }
    }
}
