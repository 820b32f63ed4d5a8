"""`make demo`: an embedded S3 server, two buckets of real files, three mounts in one TOML file, and how they look.

Uses mountctl as an operator would: a configuration file, `mountctl run`, `mountctl status`, ordinary programs on the
mountpoints. Needs root and /dev/fuse. Leaves nothing behind.
"""

import argparse
import contextlib
import hashlib
import os
import random
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import boto3
from botocore.config import Config

BIN: Final = Path(sys.executable).parent
REPOSITORY: Final = Path(__file__).resolve().parent.parent
START_SECONDS_MAX: Final = 60.0
KEYS: Final = {
    "AWS_ACCESS_KEY_ID": "demo",
    "AWS_SECRET_ACCESS_KEY": "demo-secret",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def main() -> int:
    """Run the demo; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="stay up until Ctrl-C")
    keep = parser.parse_args().keep
    if os.geteuid() != 0 or not Path("/dev/fuse").exists():
        print("make demo needs root and /dev/fuse: it mounts file systems. Try: sudo make demo", file=sys.stderr)
        return 1
    for number in (signal.SIGINT, signal.SIGTERM):  # however it is ended, it cleans up
        signal.signal(number, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="mountctl-demo-") as work, embedded_s3(Path(work)) as endpoint:
        sums = fill(endpoint)
        with mountctl_run(Path(work), endpoint) as environment:
            show(Path(work), environment)
            good = compare(Path(work), sums)
            if keep:
                stay(Path(work), environment)
    left = [
        line for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines() if work in line
    ]
    if left:
        print("still mounted:", *left, sep="\n", file=sys.stderr)
    if not keep:
        print("\nTo try it by hand: make demo KEEP=1. Step by step: docs/tutorial.md")
    return 0 if good and not left else 1


@contextlib.contextmanager
def embedded_s3(work: Path) -> Iterator[str]:
    """A moto server; gives its URL."""
    say("Starting an embedded S3 server (moto)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (work / "s3.log").open("w") as log:
        server = subprocess.Popen(
            [BIN / "moto_server", "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log, start_new_session=True
        )
    endpoint = f"http://127.0.0.1:{port}"
    try:
        until(lambda: urllib.request.urlopen(f"{endpoint}/moto-api/").status == 200, "the S3 server does not answer")
        print(endpoint)
        yield endpoint
    finally:
        server.terminate()
        server.wait()


def fill(endpoint: str) -> dict[str, str]:
    """Two buckets of real files. Returns the SHA-256 of each file by its path below the mountpoints."""
    say("Filling two buckets")
    s3 = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="demo",
        aws_secret_access_key="demo",
        config=Config(s3={"addressing_style": "path"}),
    )
    sums = {}
    s3.create_bucket(Bucket="sources")
    for file in [*sorted(REPOSITORY.glob("engine/**/*.py")), REPOSITORY / "README.md"]:
        key = str(file.relative_to(REPOSITORY))
        body = file.read_bytes()
        s3.put_object(Bucket="sources", Key=key, Body=body)
        sums[f"sources/{key}"] = hashlib.sha256(body).hexdigest()
    s3.create_bucket(Bucket="datasets")
    noise = random.Random(0)
    for name, size in (
        ("train/images-000.bin", 24 << 20),
        ("train/images-001.bin", 5 << 20),
        ("notes/größe 1.txt", 42),
    ):
        body = noise.randbytes(size)
        s3.put_object(Bucket="datasets", Key=name, Body=body)
        sums[f"datasets/{name}"] = hashlib.sha256(body).hexdigest()
        if name.startswith("train/"):
            sums[name] = sums[f"datasets/{name}"]
    print(f"{len(sums)} files in s3://sources and s3://datasets")
    return sums


@contextlib.contextmanager
def mountctl_run(work: Path, endpoint: str) -> Iterator[dict[str, str]]:
    """The supervisor on a TOML file of three mounts. Gives the environment of its commands."""
    config = work / "mountpoint-s3.toml"
    config.write_text(f"""\
[defaults]
endpoint-url = "{endpoint}"
force-path-style = true
region = "us-east-1"

[mount.sources]
bucket = "sources"
mountpoint = "{work}/sources"

[mount.datasets]
bucket = "datasets"
mountpoint = "{work}/datasets"
metadata-ttl = 60

[mount.train]
bucket = "datasets"
prefix = "train/"
mountpoint = "{work}/train"
read-only = true
""")
    say(f"cat {config}")
    print(config.read_text(), end="")
    environment = {**os.environ, **KEYS, "MOUNTCTL_CONFIG": str(config), "MOUNTCTL_RUNTIME_DIR": f"{work}/run"}
    environment["MOUNTCTL_STATE_DIR"] = f"{work}/state"
    say("mountctl run &")
    supervisor = subprocess.Popen([BIN / "mountctl", "run"], env=environment, start_new_session=True)
    try:
        until(lambda: mountctl("status", environment) == 0, "the mounts did not come up", supervisor)
        yield environment
    finally:
        say("kill -TERM: unmounting all")
        supervisor.send_signal(signal.SIGTERM)
        code = supervisor.wait()
        print(f"mountctl run exited with {code}")


def show(work: Path, environment: dict[str, str]) -> None:
    """What an operator and a program see."""
    run(["mountctl", "status"], environment)
    run(["ls", "-l", f"{work}/datasets", f"{work}/train", f"{work}/sources"], environment)
    run(["findmnt", "--types", "fuse.mountctl"], environment)


def compare(work: Path, sums: dict[str, str]) -> bool:
    """Checksums through the mounts against those of what was uploaded."""
    say("sha256sum through the mounts")
    bad = [name for name, sha in sums.items() if hashlib.sha256((work / name).read_bytes()).hexdigest() != sha]
    print(f"{len(sums) - len(bad)} of {len(sums)} files are what was uploaded")
    for name in bad:
        print(f"BAD {name}")
    return not bad


def stay(work: Path, environment: dict[str, str]) -> None:
    """Until Ctrl-C."""
    say("It stays up. In another terminal, as root:")
    names = ("MOUNTCTL_CONFIG", "MOUNTCTL_RUNTIME_DIR", "MOUNTCTL_STATE_DIR")
    print("  export", *(f"{name}={shlex.quote(environment[name])}" for name in names), f"PATH={BIN}:$PATH")
    print("  mountctl status")
    print(f"  ls -lR {work}/datasets; md5sum {work}/train/*")
    print(f"  $EDITOR {environment['MOUNTCTL_CONFIG']}; mountctl check; mountctl reload")
    print("  kill -9 an engine's pid (see status) while reading; mountctl status")
    print("Ctrl-C here ends it.")
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()


def run(command: list[str], environment: dict[str, str]) -> None:
    """Show a command and what it prints."""
    say(shlex.join(command))
    sys.stdout.flush()
    program = str(BIN / command[0]) if command[0] == "mountctl" else command[0]
    subprocess.run([program, *command[1:]], env=environment, check=False)


def mountctl(command: str, environment: dict[str, str]) -> int:
    """The exit code of a mountctl command, its output unseen."""
    return subprocess.run([BIN / "mountctl", command], env=environment, capture_output=True, check=False).returncode


def until(true: object, failure: str, process: subprocess.Popen[bytes] | None = None) -> None:
    """Wait until `true()` holds; end the demo with `failure` if it does not in START_SECONDS_MAX."""
    assert callable(true)
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline and (process is None or process.poll() is None):
        with contextlib.suppress(OSError):
            if true():
                return
        time.sleep(0.1)
    raise SystemExit(f"demo: {failure}")


def say(text: str) -> None:
    """A heading."""
    print(f"\n\033[1m# {text}\033[0m" if sys.stdout.isatty() else f"\n# {text}", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
