"""Runs the rows, peer by peer in turn, round after round. Used by bench/__main__.py.

In each round of a scene all peers are mounted anew, side by side: kernel and peers know nothing from before. Then row
by row each peer has its turn while the others idle, in another order each round, so that a busy moment of the machine
hits all of them alike.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.fast_s3 import MEMORY, FastS3
from bench.mounts import Mount, mount
from bench.peers import BUCKET, Peer
from bench.results import Measure, Shown, rounded
from bench.rows import BEGINNING, Row, Scene, lay
from bench.workloads import CHUNK_BYTES, PATIENCE_SECONDS, Done, Failed, carry_out, content_for

# How long a workload goes on; what is done by then is its rate. Long against the start of a connection, short enough
# for `make bench` to end within a quarter of an hour.
LIMIT_SECONDS: Final = 2.5

Tell = Callable[[str], None]


def written(scene: Scene, row: Row, peer: Peer, number: int) -> str:
    """The directory that is a peer's to write to."""
    return f"written/{scene.name}-{row.name}-{number}-{peer.name}"


@dataclass(frozen=True)
class Plan:
    """What to run."""

    scenes: Sequence[Scene]
    peers: Sequence[Peer]
    rounds: int
    limit: float = LIMIT_SECONDS

    def directories(self) -> Iterator[str]:
        """Where peers write."""
        for scene in self.scenes:
            for row in scene.rows:
                for peer in self.peers if row.writes else ():
                    yield from (written(scene, row, peer, number) for number in range(self.rounds))

    def shown(self) -> list[Shown]:
        """The lines of the table."""
        return [
            Shown(scene.name, scene.title, row.name, row.title, row.unit, row.topic, row.less)
            for scene in self.scenes
            for row in scene.rows
        ]


def run(plan: Plan, tell: Tell) -> Generator[Measure, None, None]:
    """Measure all, one by one; `tell` hears how it goes, a line a measure."""
    root = Path(tempfile.mkdtemp(prefix="mountctl-bench-", dir=MEMORY))
    try:
        lay([row for scene in plan.scenes for row in scene.rows], root, list(plan.directories()))
        for scene in plan.scenes:
            with FastS3(scene.manners, tls=scene.tls, clients=len(plan.peers), root=root) as s3:
                for number in range(plan.rounds):
                    yield from _round(plan, scene, s3, number, tell)
    finally:
        shutil.rmtree(root)


def _round(plan: Plan, scene: Scene, s3: FastS3, number: int, tell: Tell) -> Iterator[Measure]:
    """All rows of a scene once."""
    with contextlib.ExitStack() as stack:
        mounts: list[Mount] = []
        for client, peer in enumerate(plan.peers):
            try:
                mounts.append(stack.enter_context(mount(peer, s3, client=client, ttl=scene.ttl)))
            except RuntimeError as error:
                tell(f"{scene.name}, round {number + 1}: {peer.name} {error}")
                rows = [row for row in scene.rows if scene.takes_part(row, peer)]
                yield from (Measure(scene.name, row.name, peer.name, number, None, failed=f"{error}") for row in rows)
        first = number % len(mounts) if mounts else 0
        for row in scene.rows:
            for served in mounts[first:] + mounts[:first]:
                if scene.takes_part(row, served.peer):
                    measure = _measured(plan, scene, row, served, s3, number)
                    tell(_line(row, measure))
                    yield measure


def _measured(plan: Plan, scene: Scene, row: Row, served: Mount, s3: FastS3, number: int) -> Measure:
    """One row by one peer."""
    directory = written(scene, row, served.peer, number)
    told = {**row.work, "seed": number}
    if row.writes:
        told |= {"directory": directory, "published": str(s3.root / BUCKET / directory)}
    if row.first is not None:
        _done(row, row.first, served, PATIENCE_SECONDS)
    before, cpu, server = s3.requests(served.client), served.cpu_seconds(), s3.cpu_seconds()
    with served.watched():
        done, failed = _done(row, told, served, plan.limit)
    spent = [after - begun for after, begun in zip(s3.cpu_seconds(), server, strict=True)]
    cpu = served.cpu_seconds() - cpu
    requests = s3.requests(served.client) - before
    if row.writes:
        failed = failed or _written_wrong(row, s3, directory)
    if done is not None and not done.units:
        failed = failed or f"nothing was done in {done.seconds:.0f} s"
    if failed or done is None:
        return Measure(scene.name, row.name, served.peer.name, number, None, failed=failed)
    return Measure(
        scene.name,
        row.name,
        served.peer.name,
        number,
        rounded(done.value * row.scale),
        units=done.units,
        seconds=rounded(done.seconds),
        cpu_seconds=rounded(cpu),
        requests=dict(requests),
        memory=served.peak,
        server=rounded(max(spent)),
    )


def _done(row: Row, told: Mapping[str, Any], served: Mount, limit: float) -> tuple[Done | None, str]:
    """What the workload did, or why it failed."""
    try:
        return carry_out(row.workload, served.directory, told, limit), ""
    except Failed as error:
        return None, str(error)


def _written_wrong(row: Row, s3: FastS3, directory: str) -> str:
    """Look at what was written, then delete it: its memory is needed. Says what is wrong."""
    s3.settle()
    wrong = ""
    for path in {*(s3.root / BUCKET / directory).iterdir()} - {s3.root / BUCKET / directory / BEGINNING}:
        if row.topic == "write" and not _is_as_written(path, row.work["size"]):
            wrong = f"{path.name} is not what was written"
        s3.forget(BUCKET, f"{directory}/{path.name}")
    return wrong


def _is_as_written(path: Path, size: int) -> bool:
    content = content_for(str(path))
    with path.open("rb") as file:
        for offset in range(0, size, CHUNK_BYTES):
            if file.read(CHUNK_BYTES) != content[: min(CHUNK_BYTES, size - offset)]:
                return False
        return not file.read(1)


def _line(row: Row, measure: Measure) -> str:
    head = f"{measure.scene:12} {row.title:45} {measure.peer:10}"
    if measure.value is None:
        return f"{head} failed: {measure.failed}"
    return f"{head} {measure.value:10.1f} {row.unit}"
