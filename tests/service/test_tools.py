"""Ordinary tools on mounts, as a new user would run them: exit code, message and what is in the bucket afterwards.

tool_tables.py has the cases, and docs/guides/tools.md the tables that tool_cases.py makes of them.
"""

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from engine.spec import MountSpec
from mountctl.config.words import fields
from tests.servers import MotoServer
from tests.service.running import Running, poll_until
from tests.service.tool_cases import (
    MOUNTS,
    OBJECTS,
    Case,
    Content,
    fails,
    make_database,
    make_repository,
    make_source,
    quoted,
    works,
)
from tests.service.tool_tables import CASES, CHAPTERS

PAGE: Final = Path(__file__).parents[2] / "docs/guides/tools.md"

# A command takes a second at most on a quiet machine.
COMMAND_SECONDS_MAX: Final = 60.0


class Bench:
    """The mounts, one of each kind, of one bucket."""

    def __init__(self, running: Running, server: MotoServer) -> None:
        self._running = running
        self._server = server
        self._bucket = server.bucket()
        all_options: dict[str, dict[str, Any]] = {
            "plain": {},
            "delete": {"allow_delete": True},
            "overwrite": {"allow_overwrite": True},
            "all": {"allow_delete": True, "allow_overwrite": True},
            "read": {"read_only": True},
        }
        running.configure(server, **{name: {"bucket": self._bucket, **all_options[name]} for name in MOUNTS})

    def place(self, mount: str) -> "Place":
        """A directory with OBJECTS in it."""
        name = uuid.uuid4().hex[:8]
        for key, data in OBJECTS.items():
            self._server.put(self._bucket, f"{name}/{key}", data)
        return Place(self._server, self._bucket, f"{name}/", self._running.mountpoint(mount) / name)


class Place:
    """A case's directory."""

    def __init__(self, server: MotoServer, bucket: str, prefix: str, path: Path) -> None:
        self._boto = server.boto
        self._bucket = bucket
        self._prefix = prefix
        self.path = path

    def names(self, free: str) -> list[str]:
        """The objects, but for those that begin with `free` (unless that is empty)."""
        found = self._boto.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix).get("Contents", [])
        names = [entry["Key"].removeprefix(self._prefix) for entry in found]
        return sorted(name for name in names if not (free and name.startswith(free)))

    def content(self, name: str) -> bytes:
        body: bytes = self._boto.get_object(Bucket=self._bucket, Key=self._prefix + name)["Body"].read()
        return body

    def uploads(self) -> list[str]:
        """Multipart uploads that are neither complete nor aborted."""
        found = self._boto.list_multipart_uploads(Bucket=self._bucket).get("Uploads", [])
        return [entry["Key"] for entry in found if entry["Key"].startswith(self._prefix)]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, moto: MotoServer) -> Iterator[Bench]:
    running = Running(tmp_path_factory.mktemp("tools"))
    made = Bench(running, moto)
    with running.running():
        yield made


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("template")
    make_source(directory)
    make_database(directory)
    if shutil.which("git") is not None:
        make_repository(directory)
    return directory


@pytest.fixture
def source(template: Path, tmp_path: Path) -> Path:
    """What `$SOURCE` is: a copy with its modes, times, links and holes, for some cases change it."""
    subprocess.run(["cp", "-a", template, tmp_path / "source"], check=True)
    return tmp_path / "source"


def _marked(case: Case) -> Any:
    slow = case.tool not in ("", "git")
    return pytest.param(case, id=f"{case.on}: {case.command}", marks=[pytest.mark.slow] if slow else [])


@pytest.mark.parametrize("case", [_marked(case) for case in CASES])
def test_a_tool_does_what_the_page_says(bench: Bench, source: Path, case: Case) -> None:
    if case.tool and shutil.which(case.tool) is None:
        pytest.skip(f"{case.tool} is not installed here")
    place = bench.place(case.on)

    ran = subprocess.run(
        ["sh", "-c", case.command],
        cwd=place.path,
        env=_environment(source),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=COMMAND_SECONDS_MAX,
        text=True,
    )

    assert ran.returncode == case.exit, ran.stdout
    assert case.says in ran.stdout
    if not case.says and not case.quiet:
        assert ran.stdout == ""
    expected = dict[str, Content](OBJECTS) | dict(case.adds)
    names = sorted(set(expected) - set(case.removes))
    # An empty file goes up a moment after its last descriptor is closed.
    poll_until(lambda: place.names(case.free) == names, f"{names}, not {place.names(case.free)}")
    for name in names:
        _compare(place.content(name), expected[name], source)
    assert place.uploads() == []


def _compare(found: bytes, expected: Content, source: Path) -> None:
    if isinstance(expected, int):
        assert len(found) == expected
    elif isinstance(expected, str):
        assert found == (source / expected).read_bytes()
    elif expected is not None:
        assert found == expected


def _environment(source: Path) -> dict[str, str]:
    return os.environ | {
        "SOURCE": str(source),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "LC_ALL": "C.UTF-8",
        "TERM": "dumb",
        "HOME": str(source),
        "GIT_CONFIG_NOSYSTEM": "1",
    }


def test_the_page_has_these_tables_and_no_others() -> None:
    tables = "".join(line + "\n" for line in PAGE.read_text().splitlines() if line.startswith(("|", "## ")))
    wanted = ""
    for title, cases in CHAPTERS.items():
        wanted += f"## {title}\n{works(cases)}"
        wanted += fails(cases) if any(case.fails for case in cases) else ""
    assert tables == wanted, "put these into the page:\n" + wanted


def test_what_the_page_tells_to_do_instead_is_an_option_or_was_run() -> None:
    good = {case.command for case in CASES if not case.fails} | set(fields(MountSpec))
    bad = [(case.command, words) for case in CASES for words in quoted(case) if words not in good]
    assert not bad
