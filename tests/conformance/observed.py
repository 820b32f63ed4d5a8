"""Mounts whose engine can be looked into while it serves: counters, descriptors, connections, memory."""

import dataclasses
import json
import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from engine.link import Access, Credentials
from engine.namespace.crowd import NAMES_BYTES_MAX
from tests.conformance.observed_engine import Order
from tests.faults import FaultyProxy
from tests.fuse.mounted import Mounted
from tests.servers import ACCESS_KEY, REGION, SECRET_KEY

# An engine answers in a millisecond unless it is busy with something else.
TELL_SECONDS_MAX: Final = 30.0

# An engine sends what is left to be sent a moment after the last descriptor is closed.
LATE_SECONDS_MAX: Final = 20.0


class Observed(Mounted):
    """A mount served by observed_engine.py: enter to mount, leave to unmount."""

    def __init__(self, order: Order) -> None:
        order.options = {"bucket": "observed", **order.options}
        self._command = ["tests.conformance.observed_engine", json.dumps(dataclasses.asdict(order)), "MOUNTPOINT"]
        self.path = Path()
        self.exit_code = None

    def counters(self) -> dict[str, Any]:
        """What the engine counts, now."""
        assert self._process.stdout is not None
        self._process.send_signal(signal.SIGUSR1)
        readable, _, _ = select.select([self._process.stdout], [], [], TELL_SECONDS_MAX)
        assert readable, "the engine does not answer"
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found

    def descriptors(self) -> list[str]:
        """What the engine has open, sockets included."""
        directory = Path(f"/proc/{self.pid}/fd")
        return sorted(os.readlink(directory / name) for name in os.listdir(directory))

    def logged(self) -> str:
        """What the engine has logged so far."""
        return self._log.read_text()

    def resident_kib(self, *, most: bool = False) -> int:
        """Memory of the engine, in KiB, now or at its most."""
        name = "VmHWM" if most else "VmRSS"
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(name)).split()[1])


class ObservedMemory(Observed):
    """Objects in the engine's own memory; each has its key as its content."""

    def __init__(self, keys: Sequence[str], **options: Any) -> None:
        super().__init__(Order(options=options, keys=list(keys)))


class ObservedShape(Observed):
    """Any number of directories `d00000` with any number of files `f000000`.

    Args:
        directories: how many.
        files: in each.
        names_bytes_max: memory for names, so that a test of a small bucket shows what a large one does.
        options: MountSpec's.
    """

    def __init__(self, directories: int, files: int, *, names_bytes_max: int = NAMES_BYTES_MAX, **options: Any) -> None:
        super().__init__(Order(options=options, shape=(directories, files), names_bytes_max=names_bytes_max))


class ObservedProxy(Observed):
    """A bucket of a server, seen through a proxy that notes requests and may spoil answers.

    Args:
        proxy: must be running.
        bucket: the bucket's name.
        attempts: how often the engine tries a request.
        options: MountSpec's.
    """

    def __init__(self, proxy: FaultyProxy, bucket: str, *, attempts: int = 3, **options: Any) -> None:
        access = Access(
            name="observed",
            endpoint=f"{proxy.endpoint}/{bucket}",
            region=REGION,
            credentials=Credentials(access_key=ACCESS_KEY, secret_key=SECRET_KEY),
        )
        order = Order(options={"bucket": bucket, **options}, access=access.model_dump_json(), attempts=attempts)
        super().__init__(order)
        self._proxy = proxy

    def requests_of(self, operation: Callable[[], object], *, at_least: int = 0) -> dict[str, int]:
        """The requests that reach the server while `operation` runs, by S3's name of them.

        Some come after it, as when an empty file is closed: while there are not as many as `at_least`, they are waited
        for.
        """
        self._proxy.seen.clear()
        operation()
        deadline = time.monotonic() + LATE_SECONDS_MAX
        while len(self._proxy.seen) < at_least and time.monotonic() < deadline:
            time.sleep(0.01)
        counts: dict[str, int] = {}
        for seen in self._proxy.seen:
            name = name_of(seen.method, seen.target)
            counts[name] = counts.get(name, 0) + 1
        return counts


def name_of(method: str, target: str) -> str:
    """What a request is: S3's name of it where the method alone does not tell, and LIST."""
    query = target.partition("?")[2]
    if method == "GET" and "list-type=2" in query:
        return "LIST"
    if method == "POST":
        return "CompleteMultipartUpload" if "uploadId=" in query else "CreateMultipartUpload"
    if "uploadId=" in query:
        return {"PUT": "UploadPart", "DELETE": "AbortMultipartUpload"}[method]
    return method
