"""The CSI driver on a node: what kubelet waits for, and memory. `python -m bench.csi [--help]`, as root.

kubelet is tests/csi/kubelet.py, with a connection for each call as kubelet has it, and the node has both pods in mount
namespaces of their own (tests/csi/node_host.py). The bench's S3 answers within a millisecond, so that what is printed
is the driver's. Needs Debian's nginx (bench/fast_s3.py).
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.fast_s3 import FastS3, telling_what_is_missing
from bench.peers import BUCKET
from bench.processes import memory, memory_of
from tests.csi.kubelet import Pod, Use, Volume
from tests.csi.node_host import NodeHost

MIB: Final = 1 << 20
ROUNDS: Final = 20
REPUBLICATIONS: Final = 300
VOLUMES: Final = 50
FILE: Final = "object"
FILE_MIB: Final = 64
# What the issue of the driver asks for, in ms and MiB.
NEW_MS_MAX, REPUBLISH_MS_MAX, VOLUME_MIB_MAX = 300, 5, 15
# After a volume is ready its engine has a moment's work still, such as giving back what it needed to start.
SETTLE_SECONDS: Final = 3.0


def use(number: int, pod: str = "pod") -> Use:
    """A volume of its own."""
    keys = {"key_id": "test", "access_key": "test"}
    attributes = {"bucketName": BUCKET, "authenticationSource": "secret"}
    return Use(Pod(f"{pod}-{number}"), Volume(f"volume-{number}", attributes, secret=lambda: keys))


def timed(what: Callable[[], object]) -> float:
    """How many ms it takes."""
    began = time.perf_counter()
    what()
    return (time.perf_counter() - began) * 1000


def told(name: str, times: list[float], goal: int | None = None) -> None:
    """Print it, with what it should be at most."""
    ninth = statistics.quantiles(times, n=10)[-1]
    text = f"{name}: median {statistics.median(times):.1f} ms, 90% {ninth:.1f}, worst {max(times):.1f}"
    print(text + (f" (goal: {goal} ms)" if goal is not None else ""))


@contextmanager
def node(s3: FastS3) -> Iterator[NodeHost]:
    """With all of its pods, and nothing published."""
    with NodeHost(Path(tempfile.mkdtemp(prefix="mountctl-bench-")), s3.endpoint) as it:
        yield it
        it.kubelet.unmount_all()
    it.remove()


def measure_one(it: NodeHost, rounds: int) -> None:
    """A volume after the other."""
    kubelet = it.kubelet
    kubelet.mount(use(0))  # the zygote has all that engines need from then on
    new, second, gone = [], [], []
    for number in range(1, rounds + 1):
        first, other = use(number), use(number, "another-pod")
        new.append(timed(lambda first=first: kubelet.mount(first)))  # type: ignore[misc]
        second.append(timed(lambda other=other: kubelet.mount(other)))  # type: ignore[misc]
        kubelet.unmount(other)
        gone.append(timed(lambda first=first: kubelet.unmount(first)))  # type: ignore[misc]
    told("publish a new volume", new, NEW_MS_MAX)
    told("publish it for a second pod", second)
    told("unpublish the last one", gone)
    again = use(0)
    told("publish again", [timed(lambda: kubelet.publish(again)) for _ in range(REPUBLICATIONS)], REPUBLISH_MS_MAX)
    kubelet.unmount_all()


def measure_many(it: NodeHost, volumes: int) -> None:
    """All at once, and what they take."""
    kubelet = it.kubelet
    before = pods(it)
    uses = [use(number) for number in range(volumes)]
    with ThreadPoolExecutor(volumes) as pool:
        began = time.perf_counter()
        times = list(pool.map(lambda each: timed(lambda: kubelet.mount(each)), uses))
        print(f"{volumes} new volumes at once: all within {time.perf_counter() - began:.2f} s")
        told("  each", times)
        began = time.perf_counter()
        times = list(pool.map(lambda each: timed(lambda: kubelet.publish(each)), uses))
        print(f"all {volumes} again at once: within {time.perf_counter() - began:.3f} s")
        told("  each", times)
    time.sleep(SETTLE_SECONDS)
    after = pods(it)
    for name in before:
        each_mib = (after[name] - before[name]) / volumes
        print(f"{name}: {before[name]:.1f} MiB PSS without a volume, and {each_mib:.2f} for each")
    told_memory("an engine that has done nothing", it)
    for each in uses[:: max(1, volumes // 10)]:
        (kubelet.target(each) / FILE).read_bytes()
    time.sleep(SETTLE_SECONDS)
    told_memory(f"one that has read {FILE_MIB} MiB", it, read=True)


def pods(it: NodeHost) -> dict[str, float]:
    """MiB of the processes of each pod, engines aside."""
    engines = set(it.supervisor.find("s3:(?!broker)"))
    others = [pid for pid in it.supervisor.pids() if pid not in engines]
    return {
        "supervisor's pod (supervisor, zygote, broker)": memory(others) / MIB,
        "CSI node's pod (driver, FD holder)": memory(it.csi_node.pids()) / MIB,
    }


def told_memory(name: str, it: NodeHost, *, read: bool = False) -> None:
    """Of engines: all but the memory for data of files on their way, in use or kept for the next (engine/arena.py)."""
    pids = [mount["engine"]["pid"] for mount in it.status()["mounts"] if (mount["stats"]["bytes_read"] > 0) == read]
    found = [(memory([pid]) - memory_of(pid, "memfd:mountctl-arena")) / MIB for pid in pids]
    middle = statistics.median(found)
    print(f"{name}: median {middle:.1f} MiB PSS beyond buffers, worst {max(found):.1f} (goal: {VOLUME_MIB_MAX})")


@telling_what_is_missing
def main() -> int:
    """Measure, print, return 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of one volume after the other")
    parser.add_argument("--volumes", type=int, default=VOLUMES, help="at once")
    arguments = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with FastS3() as s3:
        s3.put(BUCKET, FILE, FILE_MIB * MIB)
        with node(s3) as it:
            measure_one(it, arguments.rounds)
            measure_many(it, arguments.volumes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
