"""Certificates and keys for one control plane, by openssl, strict enough for any client."""

import base64
import subprocess
from pathlib import Path

DAYS = "30"
CURVE = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
# rustls refuses an end entity that may sign, and a name that is only in the subject.
SECTIONS = """\
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = IP:127.0.0.1, DNS:localhost, DNS:kubernetes.default.svc
authorityKeyIdentifier = keyid
[client]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
authorityKeyIdentifier = keyid
"""


def openssl(folder: Path, *words: str) -> None:
    done = subprocess.run(
        ["openssl", *words], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"openssl {' '.join(words)} failed: {done.stderr.strip()}")


def make(folder: Path) -> None:
    """Writes ca, server and client, each `.crt` and `.key`, and the service accounts' pair."""
    (folder / "openssl.cnf").write_text(SECTIONS)
    key(folder, "ca")
    request = ("req", "-new", "-sha256", "-config", "openssl.cnf")
    new = ("-x509", "-extensions", "authority", "-days", DAYS, "-subj", "/CN=rolling-test-ca")
    openssl(folder, *request, *new, "-key", "ca.key", "-out", "ca.crt")
    for name, subject in [
        ("server", "/CN=kube-apiserver"),
        ("client", "/O=system:masters/CN=admin"),
    ]:
        key(folder, name)
        words = ("-key", f"{name}.key", "-subj", subject, "-out", f"{name}.csr")
        openssl(folder, *request, *words)
        authority = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial")
        extensions = ("-extfile", "openssl.cnf", "-extensions", name)
        words = ("-in", f"{name}.csr", "-out", f"{name}.crt", "-days", DAYS, "-sha256")
        openssl(folder, "x509", "-req", *authority, *extensions, *words)
    key(folder, "accounts")
    openssl(folder, "pkey", "-in", "accounts.key", "-pubout", "-out", "accounts.pub")


def key(folder: Path, name: str) -> None:
    openssl(folder, "genpkey", *CURVE, "-out", f"{name}.key")


def encoded(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()
