"""Builds the control plane's programs once, and keeps them in a cache folder outside the clone.

No package ships a kube-apiserver for tests, but the source package `kubernetes` of Debian 12
(1.20.2) is complete, with what it depends on. It is compiled with Debian's Go and runs on Debian's
etcd. Packages are unpacked in the cache folder, so the machine's own are left as they are, and no
root is needed, unless dpkg-dev or openssl must be installed first.
"""

import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

RELEASE = "1.20.2"
# A change to how it is built raises this, and so has its own folder.
RECIPE = 1
CODENAME = "bookworm"
COMPILED = ("kube-apiserver", "kube-controller-manager")
PACKAGES = ("golang-1.19-go", "golang-1.19-src", "etcd-server", "kubernetes-client")
UNPACKED = ("etcd", "kubectl")
PR_SET_PDEATHSIG = 1

OPENAPI = "k8s.io/kubernetes/pkg/generated/openapi"
# The folders of types that the API server describes in its OpenAPI document. Debian's package has
# that document's source neither generated nor in its list of files.
DESCRIBED = r"""
(find pkg cmd plugin -name '*.go' -not -name 'zz_*'
 find staging/src/k8s.io -name '*.go' -not -name 'zz_*' -not -path '*/code-generator/*' \
    -not -path '*/sample-apiserver/*' -not -path '*/testdata/*') |
xargs grep -l '+k8s:openapi-gen=' | xargs -n1 dirname | sort -u
"""


class Unavailable(Exception):
    """There is no control plane here, and none can be built; the message says why."""


def root() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "rolling-tests"


def folder() -> Path:
    return root() / f"kubernetes-{RELEASE}-{RECIPE}"


def programs(may_build: bool) -> Path:
    """Returns the folder with the programs, and builds them if they are missing."""
    require("openssl", "openssl")
    # It gets its name when it is complete, so whoever sees it may use it.
    if folder().is_dir():
        return folder()
    if not may_build:
        raise Unavailable(
            f"the control plane is not built ({folder()} is missing; "
            "`python3 tests/kubernetes/control_plane.py build` builds it)"
        )
    check_host()
    with lock():
        if not folder().is_dir():
            build(root() / f"{folder().name}.building")
    return folder()


def check_host() -> None:
    release = Path("/etc/os-release")
    words = release.read_text().split() if release.exists() else []
    if f"VERSION_CODENAME={CODENAME}" not in words:
        raise Unavailable(f"the control plane is built from packages of Debian 12 ({CODENAME})")
    require("apt-get", "apt")
    require("dpkg-source", "dpkg-dev")


def require(program: str, package: str) -> None:
    if not shutil.which(program) and not install(package):
        raise Unavailable(f"{program} is missing (Debian's package {package})")


def install(package: str) -> bool:
    """Installs a package of the machine's own archive, where that is allowed."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return False
    done = [
        subprocess.run(["apt-get", *words], capture_output=True, stdin=subprocess.DEVNULL)
        for words in (["update"], ["install", "-y", "--no-install-recommends", package])
    ]
    return done[-1].returncode == 0


@contextlib.contextmanager
def lock() -> Iterator[None]:
    """One builder at a time; the others wait for it. A killed one lets go."""
    root().mkdir(parents=True, exist_ok=True)
    with open(root() / f"{folder().name}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def build(work: Path) -> None:
    # What a killed builder left is of no use, but for Go's cache, which is valid at any moment.
    for path in work.glob("*"):
        if path.name != "gocache":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    out = work / "out"
    out.mkdir(parents=True)
    log = work / "build.log"
    report("fetching Debian's packages")
    fetch(work, log)
    report(f"compiling Kubernetes {RELEASE}, once; this takes minutes")
    compile_all(work, out, log)
    for name in UNPACKED:
        shutil.copy2(work / "root/usr/bin" / name, out / name)
    os.rename(out, folder())
    shutil.rmtree(work)
    report(f"built in {folder()}")


def report(message: str) -> None:
    print(f"control plane: {message}", file=sys.stderr, flush=True)


def sources() -> str:
    """Returns the machine's own sources of Debian, with those of source packages."""
    parts = []
    etc = Path("/etc/apt")
    for file in sorted(etc.glob("sources.list.d/*.sources")):
        for stanza in file.read_text().split("\n\n"):
            lines = [line for line in stanza.splitlines() if line and not line.startswith("#")]
            fields = dict(line.split(":", 1) for line in lines if ":" in line and line[0] != " ")
            if any(suite.startswith(CODENAME) for suite in fields.get("Suites", "").split()):
                kept = [line for line in lines if not line.startswith("Types:")]
                parts.append("\n".join(["Types: deb deb-src", *kept]))
    for file in [etc / "sources.list", *sorted(etc.glob("sources.list.d/*.list"))]:
        for line in file.read_text().splitlines() if file.exists() else []:
            parts += one_line(line)
    return "\n\n".join(parts) + "\n"


def one_line(line: str) -> list[str]:
    """Returns a line of the older form as a stanza, if it is about this release of Debian."""
    words = line.split("#")[0].split()
    if not words or words[0] != "deb":
        return []
    options = []
    if words[1].startswith("["):
        end = next(at for at, word in enumerate(words) if word.endswith("]"))
        options = " ".join(words[1 : end + 1]).strip("[] ").split()
        words = words[:1] + words[end + 1 :]
    if not words[2].startswith(CODENAME):
        return []
    known = {"signed-by": "Signed-By", "trusted": "Trusted"}
    pairs = [option.split("=", 1) for option in options]
    more = [f"{known[name]}: {value}" for name, value in pairs if name in known]
    head = ["Types: deb deb-src", f"URIs: {words[1]}", f"Suites: {words[2]}"]
    return ["\n".join([*head, f"Components: {' '.join(words[3:])}", *more])]


def fetch(work: Path, log: Path) -> None:
    apt = work / "apt"
    for name in ("parts", "lists/partial", "cache/archives/partial"):
        (apt / name).mkdir(parents=True)
    (apt / "parts/debian.sources").write_text(sources())
    settings = (
        "Dir::Etc::sourcelist=/dev/null",
        f"Dir::Etc::sourceparts={apt}/parts",
        f"Dir::State::lists={apt}/lists",
        f"Dir::Cache={apt}/cache",
        "APT::Sandbox::User=",
        "Acquire::Languages=none",
        "Acquire::http::Timeout=30",
    )
    command = ["apt-get", "-q", *(word for each in settings for word in ("-o", each))]
    try:
        run([*command, "update"], work, log)
        run([*command, "download", *PACKAGES], work, log)
        run([*command, "source", "kubernetes"], work, log)
    except subprocess.CalledProcessError as error:
        raise Unavailable(
            "the control plane is not built, and Debian's archive cannot be reached "
            f"or lacks a package: {first_error(log)} (all of it in {log})"
        ) from error
    if not list(work.glob("kubernetes-1.20*/")):
        raise Unavailable(f"Debian's source package kubernetes is not {RELEASE}")
    for package in work.glob("*.deb"):
        run(["dpkg-deb", "-x", package, work / "root"], work, log)


def first_error(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    errors = [line for line in lines if line.startswith(("E:", "Err"))] or lines or ["?"]
    return errors[-1].strip()


def compile_all(work: Path, out: Path, log: Path) -> None:
    goroot = work / "root/usr/lib/go-1.19"
    for link in goroot.iterdir():
        # They lead to where the package would be installed.
        if link.is_symlink():
            target = work / "root" / os.path.normpath(goroot / link.readlink()).lstrip("/")
            shared = work / "root/usr/share/go-1.19" / link.name
            link.unlink()
            link.symlink_to(shared if shared.exists() else target)
    tree = next(path for path in work.glob("kubernetes-1.20*") if path.is_dir())
    at = work / "gopath/src/k8s.io/kubernetes"
    at.parent.mkdir(parents=True)
    at.symlink_to(tree)
    env = {
        **{k: v for k, v in os.environ.items() if not k.startswith("GO")},
        "GOROOT": str(goroot),
        "GOPATH": str(work / "gopath"),
        "GOCACHE": str(work / "gocache"),
        "GO111MODULE": "off",
        "GOPROXY": "off",
        "CGO_ENABLED": "0",
        "HOME": str(work),
        "PATH": f"{goroot}/bin:{os.environ['PATH']}",
        # Go looks for the vendor folder from the path that has the link in it.
        "PWD": str(at),
    }
    go = ["go", "build", "-ldflags", ldflags(), "-o"]
    generator = work / "openapi-gen"
    vendored = "./vendor/k8s.io/kube-openapi/cmd/openapi-gen"
    run([*go, generator, vendored], at, log, env)
    listed = subprocess.run(
        ["bash", "-c", DESCRIBED], cwd=at, capture_output=True, text=True, check=True
    ).stdout.split()
    types = ("k8s.io/kubernetes/" + each.replace("staging/src/", "vendor/", 1) for each in listed)
    words = ["--logtostderr", "-i", ",".join(types), "-p", OPENAPI, "-O", "zz_generated.openapi"]
    words += ["-h", "vendor/k8s.io/code-generator/hack/boilerplate.go.txt", "-r", work / "report"]
    run([generator, *words], at, log, env)
    for program in COMPILED:
        run([*go, out / program, f"./cmd/{program}"], at, log, env)


def ldflags() -> str:
    major, minor, _ = RELEASE.split(".")
    values = {"gitVersion": f"v{RELEASE}", "gitMajor": major, "gitMinor": minor}
    path = "k8s.io/component-base/version"
    return " ".join(["-s -w", *(f"-X {path}.{name}={value}" for name, value in values.items())])


def die_with_parent(number: int = signal.SIGKILL):
    """Returns what a child does first so that the kernel ends it when its parent is gone."""
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(PR_SET_PDEATHSIG, number)


def run(command: list, cwd: Path, log: Path, env: dict | None = None) -> None:
    with open(log, "ab") as out:
        subprocess.run(
            [str(word) for word in command],
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent(),
            check=True,
        )
