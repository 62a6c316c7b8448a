//! Mutual TLS with the host, whose certificate this process receives at its start.
//!
//! The host's certificate is self-signed, is marked as an authority's, and has a P-521 key:
//! verifiers of certificate chains refuse it. So this module compares it byte by byte, and verifies
//! only its signature.

use std::fmt;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
};

/// The acceptor of connections, and the certificate that it presents.
pub(crate) struct Tls {
    /// Accepts only the host.
    pub(crate) acceptor: TlsAcceptor,
    /// As DER; the host reads it from standard output.
    pub(crate) certificate: Vec<u8>,
}

/// Why TLS cannot be set up.
#[derive(Debug)]
pub(crate) enum TlsError {
    /// The host's certificate is not valid PEM.
    HostCertificate(pem::Error),
    /// No certificate can be made for this process.
    Certificate(rcgen::Error),
    /// No key can be made for this process.
    Key(&'static str),
    /// The TLS library does not accept what it is given.
    Config(Error),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::HostCertificate(error) => {
                write!(f, "the host's certificate (PLUGIN_CLIENT_CERT) is invalid: {error}")
            }
            TlsError::Certificate(error) => write!(f, "failed to make a certificate: {error}"),
            TlsError::Key(error) => write!(f, "failed to make a key: {error}"),
            TlsError::Config(error) => write!(f, "failed to set TLS up: {error}"),
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TlsError::HostCertificate(error) => Some(error),
            TlsError::Certificate(error) => Some(error),
            TlsError::Key(_) => None,
            TlsError::Config(error) => Some(error),
        }
    }
}

/// Makes a certificate for this process, and an acceptor that accepts only the certificate `host`.
///
/// # Errors
/// When the host's certificate is none, or this process cannot make its own.
pub(crate) fn accept(host: &str) -> Result<Tls, TlsError> {
    let expected =
        CertificateDer::from_pem_slice(host.as_bytes()).map_err(TlsError::HostCertificate)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()])
        .map_err(TlsError::Certificate)?;
    let certificate = own.cert.der().to_vec();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).map_err(TlsError::Key)?;
    let verifier = OnlyTheHost { expected, provider: Arc::clone(&provider) };
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map(|config| config.with_client_cert_verifier(Arc::new(verifier)))
        .and_then(|config| config.with_single_cert(vec![own.cert.der().clone()], key));
    let mut config = config.map_err(TlsError::Config)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Tls { acceptor: TlsAcceptor::from(Arc::new(config)), certificate })
}

#[derive(Debug)]
struct OnlyTheHost {
    expected: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for OnlyTheHost {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match shown == &self.expected {
            true => Ok(ClientCertVerified::assertion()),
            false => Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is supported".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
