"""The same calls and changes on real mounts, with the kernel's caches between, and moto behind them."""

import time
import uuid
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from engine.spec import PART_BYTES, MiB
from engine.write.budget import writers_max
from tests.fuse.mounted import Mounted
from tests.model.host import EVENTUALLY_POLL_SECONDS, EVENTUALLY_SECONDS_MAX, Host
from tests.model.machine import Configuration, MountMachine
from tests.model.promises import EMPTIED_SECONDS, Promised
from tests.model.test_direct import QUICK
from tests.model.things import AnyOf, Node, Reader, Refused, Ttl, Writer
from tests.servers import MotoServer

MEMORY_MIB = 64

# A directory that was emptied is let go between two calls, not in one: half the time is enough for any call.
_MARGIN_SECONDS = EMPTIED_SECONDS / 2


class PromisedWithPages(Promised):
    """What the kernel answers from the pages that it has, it does not ask the mount."""

    def read(self, reader: Reader | Writer, offset: int, size: int) -> AnyOf:
        """Bytes that were read or written by this handle may be given, where the mount would refuse."""
        data = reader.version.data if isinstance(reader, Reader) else reader.data
        try:
            return super().read(reader, offset, size)
        except Refused as error:
            # It asks for the size first, and passes on what that fails with.
            sizes = [told for told in self.fstat(reader) if isinstance(told, Refused)]
            return AnyOf([error, data[offset : offset + size], *sizes])


class MountedMachine(MountMachine):
    """On a mount of its own for each run, in a prefix of its own."""

    server: MotoServer
    bucket: str

    def begin(self, configuration: Configuration) -> None:
        prefix = f"{uuid.uuid4().hex}/{configuration.prefix}"
        rights = configuration.rights
        wanted = {"read_only": rights.read_only, "allow_delete": rights.delete, "allow_overwrite": rights.overwrite}
        options: dict[str, Any] = {name: True for name, given in wanted.items() if given}
        self.mounted = Mounted(self.server, f"{self.bucket}/{prefix}", memory_target=MEMORY_MIB, **options)
        self.mounted.__enter__()
        self.mount = Host(self.mounted.path, self.server, self.bucket, prefix)
        writers = writers_max(MEMORY_MIB * MiB, read_part=PART_BYTES, write_part=PART_BYTES)
        self.promised = PromisedWithPages(prefix, rights, Ttl(), part_bytes=PART_BYTES, writers_max=writers)
        self.revealing: set[Node] = set()
        self.passed()

    def passed(self) -> None:
        self.promised.now = time.monotonic()
        emptied = max(node.emptied for node in self.promised.known.values())
        if _MARGIN_SECONDS < self.promised.now - emptied < EMPTIED_SECONDS + 1:
            time.sleep(EMPTIED_SECONDS + 1 + 0.1 - (self.promised.now - emptied))
            self.promised.now = time.monotonic()
        revealing = {node for node in self.promised.known.values() if self._reveals(node)}
        if (
            revealing - self.revealing
        ):  # the kernel believes in the directory for a moment, whoever has emptied it (S30)
            self.mount.changed()
        self.revealing = revealing

    def _reveals(self, node: Node) -> bool:
        """It was a directory, and hides an object of its name no more."""
        hides = node.directory and not node.pending and self.promised.key(node.path) in self.promised.bucket
        return hides and not self.promised.keys_below(node.path)

    def _close_twin(self, file: Reader | Writer, opened: Any, *, by_opener: bool) -> None:
        if by_opener:
            super()._close_twin(file, opened, by_opener=True)
        else:  # whether that fails is nobody's to hear
            self.mount.close_twin(opened, by_opener=False)
            for each, _ in self.files:  # the child has inherited all until it begins, and closes all at its end
                if not isinstance(each, Writer) or each.error is None:
                    self.promised.close_twin(each, by_opener=False)

    @precondition(lambda self: False)
    @rule()
    def write_a_part(self) -> None:
        """8 MiB through the kernel for each would take most of the time; test_direct.py does it."""

    def check_bucket(self) -> None:
        expected = {key: version.data for key, version in self.promised.bucket.items()}
        deadline = time.monotonic() + EVENTUALLY_SECONDS_MAX
        while (got := self.mount.bucket.content()) != expected:
            assert time.monotonic() < deadline, f"{sorted(got)} are in the bucket, not {sorted(expected)}"
            time.sleep(EVENTUALLY_POLL_SECONDS)

    def teardown(self) -> None:
        if not hasattr(self, "mount"):
            if hasattr(self, "mounted"):
                self.mounted.__exit__(None, None, None)
            return
        try:
            while self.files:
                self.close(0)
            self.check_bucket()
            assert self.mount.bucket.uploads() == []
            self.tree()
        finally:
            for _file, opened in self.files:
                self.mount.release(opened)
            counters = self.mounted.stop()
            self.mounted.__exit__(None, None, None)
        assert self.mounted.exit_code == 0
        assert counters["open_files"] == counters["open_directories"] == counters["uploads"] == 0
        assert counters["arena_bytes"] == 0
        assert not [line for line in self.mounted.log.splitlines() if "Traceback" in line or "unexpected" in line]


@pytest.fixture
def machine(moto: MotoServer) -> type[MountedMachine]:
    """The machine, with a bucket of its own."""
    return type("Machine", (MountedMachine,), {"server": moto, "bucket": moto.bucket()})


def test_random_calls_on_a_mount_do_what_is_promised(machine: type[MountedMachine]) -> None:
    run_state_machine_as_test(machine, settings=settings(QUICK, max_examples=2, stateful_step_count=15))


@pytest.mark.slow
def test_many_random_calls_on_mounts_do_what_is_promised(machine: type[MountedMachine]) -> None:
    run_state_machine_as_test(
        machine, settings=settings(QUICK, max_examples=25, stateful_step_count=40, derandomize=False)
    )
