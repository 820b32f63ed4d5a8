"""Whatever of the driver dies or is replaced on a node, pods read and write on: no ENOTCONN, no wrong or lost byte."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
import pytest

from tests.csi.kubelet import Pod, Use, Volume
from tests.csi.node_host import NodeHost
from tests.csi.workloads import (
    HOST_TO_CONTAINER,
    PRIVATE,
    Reader,
    Writer,
    fill,
    killed_at_the_end,
)
from tests.servers import MotoServer
from tests.service.running import WAIT_SECONDS_MAX, gone, poll_until

# kubelet's is a minute or two.
REPUBLISH_SECONDS: Final = 0.2
# Events of the long version; a seed makes them the same ones again.
LONG: Final = 25


@dataclass
class Busy:
    """A node with two pods of one volume: programs read and write, and kubelet publishes again and again."""

    node: NodeHost
    uses: list[Use]
    readers: list[Reader]
    writers: list[Writer]

    def go_on(self) -> None:
        """Returns when each program has gone on, and nothing is under way on the node."""
        for program in (*self.readers, *self.writers):
            program.go_on()
        self.node.wait_until_whole()

    @property
    def engine(self) -> int:
        return self.node.engine(self.uses[0])


@contextlib.contextmanager
def busy(moto: MotoServer) -> Iterator[Busy]:
    """At the end programs have seen nothing, S3 has what they wrote, and nothing is left of the volume."""
    bucket = moto.bucket()
    fill(moto, bucket)
    volume = Volume("data", {"bucketName": bucket})
    uses = [(Use(Pod(propagation), volume), propagation) for propagation in (HOST_TO_CONTAINER, PRIVATE)]
    with NodeHost(Path(tempfile.mkdtemp()), moto.endpoint) as node:
        for use, _ in uses:
            node.kubelet.mount(use)
        readers = [Reader(node.kubelet, use, f"reader-{how}", how) for use, how in uses]
        writers = [Writer(node.kubelet, use, f"writer-{how}", how) for use, how in uses]
        with killed_at_the_end(*readers, *writers):
            it = Busy(node, [use for use, _ in uses], readers, writers)
            it.go_on()
            with node.kubelet.republishing(REPUBLISH_SECONDS):
                yield it
            for reader in readers:
                reader.check()
            for writer in writers:
                writer.check(moto, bucket)
        node.kubelet.unmount_all()
        assert node.mounted() == [], node.logs()
        assert node.status()["mounts"] == []
    node.remove()


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    poll_until(lambda: gone(pid), "it to be gone")


def engine_killed(it: Busy) -> None:
    kill(it.engine)


def zygote_killed(it: Busy) -> None:
    (zygote,) = it.node.supervisor.find("python.*engine.zygote")  # what it has forked is called otherwise
    kill(zygote)
    kill(it.engine)  # which the next zygote is needed for


def broker_killed(it: Busy) -> None:
    (broker,) = it.node.supervisor.find("s3:broker")
    kill(broker)
    poll_until(lambda: it.node.supervisor.find("s3:broker"), "another broker")


def holder_killed(it: Busy) -> None:
    kill(_holder(it.node))


def supervisor_killed(it: Busy) -> None:
    it.node.supervisor.kill()
    it.node.supervisor.start()


def supervisor_killed_before_its_engines(it: Busy) -> None:
    it.node.supervisor.kill_first()
    it.node.supervisor.start()


def csi_node_killed(it: Busy) -> None:
    it.node.csi_node.kill()
    it.node.csi_node.start()


def supervisor_replaced(it: Busy) -> None:
    assert it.node.supervisor.stop() == 0, it.node.logs()
    it.node.supervisor.start()


def csi_node_replaced(it: Busy) -> None:
    assert it.node.csi_node.stop() == 0, it.node.logs()
    it.node.csi_node.start()


def both_told_to_end(it: Busy) -> None:
    """As `helm upgrade` does it when both DaemonSets are new: whichever pod has ended is followed by its next one."""
    pods = [it.node.supervisor, it.node.csi_node]
    for pod in pods:
        pod.tell_to_end()
    while pods:
        ended = poll_until(lambda: [pod for pod in pods if not pod.is_running], "a pod to end")
        for pod in ended:
            pods.remove(pod)
            assert pod.wait() == 0, it.node.logs()
            pod.start()


def holder_killed_and_then_the_supervisor(it: Busy) -> None:
    holder_killed(it)
    poll_until(lambda: it.node.csi_node.find(".*holder.sock"), "another holder")
    it.node.wait_until_whole()
    supervisor_killed(it)


Event = Callable[[Busy], None]
# Of these kubelet hears nothing, or that there is no driver.
UNHEARD: Final[dict[str, tuple[Event, ...]]] = {
    "processes killed": (engine_killed, zygote_killed, broker_killed, holder_killed),
    "supervisor's pod killed": (
        supervisor_killed,
        supervisor_killed_before_its_engines,
        holder_killed_and_then_the_supervisor,
    ),
    "supervisor's pod replaced": (supervisor_replaced,),
}
HEARD: Final[dict[str, tuple[Event, ...]]] = {
    "CSI node's pod killed and replaced": (csi_node_killed, csi_node_replaced),
    "both replaced": (both_told_to_end,),
}
EVENTS: Final = UNHEARD | HEARD


@pytest.mark.parametrize("events", EVENTS)
def test_pods_read_and_write_on(moto: MotoServer, events: str) -> None:
    with busy(moto) as it:
        for event in EVENTS[events]:
            event(it)
            it.go_on()
        codes = {failure.code for failure in it.node.kubelet.failures}
        assert codes <= ({grpc.StatusCode.UNAVAILABLE} if events in HEARD else set())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_pods_read_and_write_on_whatever_happens_one_after_the_other(moto: MotoServer, seed: int) -> None:
    chance = random.Random(seed)
    events = [event for group in EVENTS.values() for event in group]
    with busy(moto) as it:
        for _ in range(LONG):
            chance.choice(events)(it)
            it.go_on()


def _holder(node: NodeHost) -> int:
    """The process of the FD holder in the CSI node's pod."""
    return poll_until(lambda: node.csi_node.find(".*holder.sock"), "a holder")[0]


def test_when_both_pods_are_killed_at_once_pods_that_can_have_the_volume_again(moto: MotoServer) -> None:
    bucket = moto.bucket()
    fill(moto, bucket)
    alone = ("unshare", "--mount", "--propagation", "private", "--")
    done = subprocess.run(
        [*alone, sys.executable, "-m", "tests.csi.both_killed", moto.endpoint, bucket],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=4 * WAIT_SECONDS_MAX,
    )
    assert done.returncode == 0, done.stderr
