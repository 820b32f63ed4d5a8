"""Fixtures for every test, and what a test run owes the machine: no process, mount or file of ours stays behind.

The suite makes real FUSE mounts, so it needs root and /dev/fuse and says so at once when it has neither. Temporary
files go to a directory of the run's own; AWS settings of whoever runs the suite are put out of reach.
"""

import os
import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.servers import MotoServer, RcloneServer, S3Server, VersityServer

# All processes of a run inherit this variable, so that one that lost its parent is still known to be ours.
RUN_VARIABLE: Final = "MOUNTCTL_TEST_RUN"
RUN: Final = uuid.uuid4().hex

# A process that was killed just now may take a moment to be gone, and on a busy machine many.
GONE_SECONDS_MAX: Final = 20.0
GONE_POLL_SECONDS: Final = 0.02

_BASE: Final = pytest.StashKey[Path]()
_LEFT_BY_WORKERS: Final = pytest.StashKey[list[str]]()
_LEFT: Final = "mountctl_left"  # in what a worker tells at its end


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Put the user's AWS settings out of reach; have paths in a worker be no longer than without workers."""
    if hasattr(config, "workerinput"):
        # pytest-xdist puts a worker's directories into the run's, and a socket's path has 107 bytes at most (unix(7)).
        config.option.basetemp = tempfile.mkdtemp(prefix="m-", dir=os.environ["PYTEST_DEBUG_TEMPROOT"])
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        RUN_VARIABLE: RUN,
    }
    # A shell that runs the suite in the background has it ignored, and so would all programs that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Say what is missing before many tests fail for it; give temporary files a place of the run's own."""
    lacking = []
    if os.geteuid() != 0:
        lacking.append("root (it mounts file systems): run it with sudo or in a privileged container")
    if not Path("/dev/fuse").exists():
        lacking.append("/dev/fuse: `modprobe fuse`, or start the container with `--device /dev/fuse`")
    if lacking:
        pytest.exit("the suite needs " + "; and ".join(lacking), returncode=pytest.ExitCode.USAGE_ERROR)
    # pytest's tmp_path stays where it always is, and is kept after a failure; only what tests make themselves moves.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    base = Path(tempfile.mkdtemp(prefix="mountctl-tests-", dir=os.environ["PYTEST_DEBUG_TEMPROOT"]))
    session.config.stash[_BASE] = base
    os.environ["TMPDIR"] = tempfile.tempdir = str(base)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked as `not_on` a server, on that server, with the mark's reason."""
    for item in items:
        params = (
            item.callspec.params.values() if isinstance(item, pytest.Function) and hasattr(item, "callspec") else ()
        )
        for mark in item.iter_markers("not_on"):
            server, reason = mark.args
            if server in params:
                item.add_marker(pytest.mark.skip(f"{server}: {reason}"))


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """Fail the run if it left something behind. Runs after the last fixture is gone."""
    yield
    base = session.config.stash.get(_BASE, None)
    if base is None:
        return  # it did not begin
    left = _left_processes()
    mounts = [f"mount at {mountpoint}" for mountpoint in _mounts_below(_bases(session.config, base))]
    left += mounts
    left += [f"file {path}" for path in sorted(base.iterdir())]
    if not mounts:
        shutil.rmtree(base)
    if (worker_output := getattr(session.config, "workeroutput", None)) is not None:
        worker_output[_LEFT] = _sendable(left)
        if not session.testsfailed and not mounts:
            shutil.rmtree(session.config.option.basetemp)
        return
    left += session.config.stash.get(_LEFT_BY_WORKERS, [])
    if left:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        assert reporter is not None
        reporter.section("left behind by this run", red=True)
        for thing in left:
            reporter.write_line(thing)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """pytest-xdist: a worker has ended. What it left behind is told by who started it."""
    left = getattr(node, "workeroutput", {}).get(_LEFT, [])
    node.config.stash.setdefault(_LEFT_BY_WORKERS, []).extend(left)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Iterator[Any]:
    """pytest-xdist: have all that a test has said be text that a worker can send: names of files may be no UTF-8."""
    return _sendable((yield))


def _sendable(told: Any) -> Any:
    match told:
        case str():
            return told.encode(errors="backslashreplace").decode()
        case dict():
            return {key: _sendable(value) for key, value in told.items()}
        case list() | tuple():
            return type(told)(map(_sendable, told))
        case _:
            return told


def _bases(config: pytest.Config, base: Path) -> list[Path]:
    """The directories below which this run makes files and mounts. (Other mounts may be another run's.)"""
    factory = getattr(config, "_tmp_path_factory", None)
    given = getattr(factory, "_basetemp", None)
    return [base] if given is None else [base, Path(given)]


def _mounts_below(bases: list[Path]) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    mountpoints = [line.split(" ")[4].encode().decode("unicode_escape") for line in lines]
    return [path for path in mountpoints if any(Path(path).is_relative_to(base) for base in bases)]


def _left_processes() -> list[str]:
    deadline = time.monotonic() + GONE_SECONDS_MAX
    while (left := _our_processes()) and time.monotonic() < deadline:
        time.sleep(GONE_POLL_SECONDS)
    return left


def _our_processes() -> list[str]:
    """Children of this process, reaped or not, and those that inherited RUN_VARIABLE."""
    marker = f"{RUN_VARIABLE}={RUN}".encode()
    ours = []
    for process in Path("/proc").glob("[0-9]*"):
        if process.name == str(os.getpid()):
            continue
        try:
            parent = process.joinpath("stat").read_text().rpartition(")")[2].split()[1]
            started_by_us = parent == str(os.getpid()) or marker in process.joinpath("environ").read_bytes()
            command = process.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # ended while we looked, or PID 1 of another's making, or guarded even from root
        if started_by_us:
            ours.append(f"process {process.name}: {command or '(not waited for)'}")
    return ours


@pytest.fixture(scope="session")
def moto() -> Iterator[MotoServer]:
    """moto, for the whole run: use a bucket of your own."""
    with MotoServer() as server:
        yield server


@pytest.fixture(scope="session")
def rclone() -> Iterator[RcloneServer]:
    """`rclone serve s3`, for the whole run: use a bucket of your own."""
    with RcloneServer() as server:
        yield server


@pytest.fixture(scope="session")
def versitygw() -> Iterator[VersityServer]:
    """versitygw, for the whole run: use a bucket of your own. Not in `make test`: parameters are marked slow."""
    if VersityServer.program() is None:
        pytest.skip("versitygw is not installed (packaging/setup-go builds it where Go is present)")
    with VersityServer() as server:
        yield server


@pytest.fixture(scope="session", params=["moto", "rclone", pytest.param("versitygw", marks=pytest.mark.slow)])
def s3_server(request: pytest.FixtureRequest) -> S3Server:
    """Each of the servers in turn."""
    server: S3Server = request.getfixturevalue(request.param)
    return server


@pytest.fixture(scope="session", params=["moto", pytest.param("versitygw", marks=pytest.mark.slow)])
def able_server(request: pytest.FixtureRequest) -> S3Server:
    """Each of the servers that objects may be deleted from while others list them, and that tell true ETags."""
    server: S3Server = request.getfixturevalue(request.param)
    return server
