//! The handshake between the host and this process: the host states what it wants in the
//! environment, and this process answers with one line on standard output. The names are those of
//! HashiCorp's go-plugin.

use std::fmt;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// The value that the host sets so that a plugin knows that no person started it. It is no secret.
const COOKIE: &str = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2";
/// The only version of the plugin protocol that this process speaks.
pub(super) const PROTOCOL: &str = "6";

/// What the host sets in the environment.
#[derive(Clone, Debug, Default)]
pub struct Host {
    cookie: String,
    protocols: Option<String>,
    multiplexes: bool,
    without_tls: bool,
    /// The host's certificate, as PEM.
    pub(crate) certificate: Option<String>,
    /// The folder for the socket.
    pub(crate) socket_folder: PathBuf,
    /// Whether the host wants to log more than what happens.
    pub(crate) verbose: bool,
    /// The folder for progress files, for `rolling status --follow`.
    pub(crate) progress_folder: Option<PathBuf>,
}

/// How connections are secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Security<'a> {
    /// Mutual TLS; the host's certificate as PEM.
    Tls(&'a str),
    /// None: the socket's folder keeps others out.
    Unencrypted,
}

/// Why a host cannot be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HostError {
    /// It speaks these versions of the protocol alone.
    OtherProtocol(String),
    /// It has sent no certificate, and does not ask to go without.
    NoCertificate,
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostError::OtherProtocol(versions) => write!(
                f,
                "the host speaks version {versions:?} of the plugin protocol, and this provider \
                 version {PROTOCOL}; use Terraform 1.0 or later, or OpenTofu"
            ),
            HostError::NoCertificate => f.write_str(
                "the host sent no certificate (PLUGIN_CLIENT_CERT), so it cannot be authenticated; \
                 set TF_DISABLE_PLUGIN_TLS=1 to disable TLS",
            ),
        }
    }
}

impl std::error::Error for HostError {}

impl Host {
    /// Reads the environment through `get`.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Host {
        let get = |name: &str| get(name).filter(|value| !value.is_empty());
        let log = get("TF_LOG_PROVIDER").or(get("TF_LOG")).unwrap_or_default();
        let temporary = get("TMPDIR").unwrap_or_else(|| "/tmp".into());
        Host {
            cookie: get("TF_PLUGIN_MAGIC_COOKIE").unwrap_or_default(),
            protocols: get("PLUGIN_PROTOCOL_VERSIONS"),
            multiplexes: get("PLUGIN_MULTIPLEX_GRPC").is_some(),
            without_tls: get("TF_DISABLE_PLUGIN_TLS").is_some(),
            certificate: get("PLUGIN_CLIENT_CERT"),
            socket_folder: get("PLUGIN_UNIX_SOCKET_DIR").unwrap_or(temporary).into(),
            verbose: ["DEBUG", "TRACE", "JSON"].contains(&log.to_uppercase().as_str()),
            progress_folder: get("ROLLING_PROGRESS_DIR").map(PathBuf::from),
        }
    }

    /// Whether Terraform, or OpenTofu, has started this process.
    pub fn is_there(&self) -> bool {
        self.cookie == COOKIE
    }

    /// Returns how to secure connections with this host.
    ///
    /// # Errors
    /// Why this host cannot be served, and what to do.
    pub(crate) fn security(&self) -> Result<Security<'_>, HostError> {
        let protocols = self.protocols.as_deref().unwrap_or_default();
        if !protocols.split(',').any(|version| version.trim() == PROTOCOL) {
            return Err(HostError::OtherProtocol(protocols.to_owned()));
        }
        match (&self.certificate, self.without_tls) {
            (Some(certificate), _) => Ok(Security::Tls(certificate)),
            (None, true) => Ok(Security::Unencrypted),
            (None, false) => Err(HostError::NoCertificate),
        }
    }

    /// Returns the one line that the host reads: where this process listens, and its certificate.
    pub(crate) fn answer(&self, socket: &str, certificate: &[u8]) -> String {
        let certificate = STANDARD_NO_PAD.encode(certificate);
        let multiplexed = if self.multiplexes { "|false" } else { "" };
        format!("1|{PROTOCOL}|unix|{socket}|grpc|{certificate}{multiplexed}")
    }
}

/// Returns the `export` line with which a host uses a process that already runs.
pub(crate) fn reattachment(socket: &str) -> String {
    let provider = serde_json::json!({
        "Protocol": "grpc",
        "ProtocolVersion": 6,
        "Pid": std::process::id(),
        "Test": true,
        "Addr": { "Network": "unix", "String": socket },
    });
    let providers = serde_json::json!({
        "registry.terraform.io/rolling/rolling": provider,
        "registry.opentofu.org/rolling/rolling": provider,
    });
    format!("export TF_REATTACH_PROVIDERS='{providers}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(settings: &[(&str, &str)]) -> Host {
        let find = |name: &str| settings.iter().find(|(key, _)| *key == name);
        Host::read(|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_host_is_known_by_its_cookie() {
        assert!(host(&[("TF_PLUGIN_MAGIC_COOKIE", COOKIE)]).is_there());
        assert!(!host(&[("TF_PLUGIN_MAGIC_COOKIE", "x")]).is_there());
        assert!(!host(&[]).is_there());
    }

    #[test]
    fn without_a_certificate_there_is_no_service_unless_the_host_says_so() {
        let six = ("PLUGIN_PROTOCOL_VERSIONS", "5,6");
        let refused = host(&[six]).security().map(|_| ()).expect_err("no certificate");
        assert_eq!(refused, HostError::NoCertificate);
        assert!(refused.to_string().contains("PLUGIN_CLIENT_CERT"), "{refused}");
        let unencrypted = host(&[six, ("TF_DISABLE_PLUGIN_TLS", "1")]);
        assert_eq!(unencrypted.security(), Ok(Security::Unencrypted));
        let secure = host(&[six, ("PLUGIN_CLIENT_CERT", "PEM")]);
        assert_eq!(secure.security(), Ok(Security::Tls("PEM")));
        let old = host(&[("PLUGIN_PROTOCOL_VERSIONS", "5"), ("PLUGIN_CLIENT_CERT", "PEM")]);
        let refused = old.security().expect_err("too old");
        assert_eq!(refused, HostError::OtherProtocol("5".into()));
        assert!(refused.to_string().contains("Terraform 1.0"), "{refused}");
    }

    #[test]
    fn the_line_has_a_seventh_part_only_for_who_asks() {
        assert_eq!(host(&[]).answer("/a/b", b"abcd"), "1|6|unix|/a/b|grpc|YWJjZA");
        let asks = host(&[("PLUGIN_MULTIPLEX_GRPC", "true")]);
        assert_eq!(asks.answer("/a/b", b"abcd"), "1|6|unix|/a/b|grpc|YWJjZA|false");
        assert_eq!(host(&[]).answer("/a/b", b""), "1|6|unix|/a/b|grpc|");
    }
}
