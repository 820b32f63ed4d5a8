"""The command line as a program: exit codes, one sentence for what fails, never a traceback."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
import trio

import engine
from mountctl import cli
from mountctl.control.protocol import ReloadResult
from tests.unit.controlled import Supervisor, serving

MOUNTCTL = Path(sys.executable).parent / "mountctl"
COMMANDS = (
    "run",
    "check",
    "status",
    "metrics",
    "events",
    "logs",
    "log-level",
    "wait",
    "plan",
    "reload",
    "confirm",
    "stop",
    "start",
    "import",
    "restart",
    "restore",
    "upgrade",
    "mount",
    "schema",
    "completion",
    "version",
    "doctor",
    "iam-policy",
    "bench",
    "csi-node",
    "csi-controller",
)
# They go on until they are stopped, and print nothing.
WITHOUT_JSON = ("run", "mount", "metrics", "csi-node", "csi-controller")
GROUPS = ("config",)
GOOD = ("bucket", "/mnt/x")
KMS_KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd"
# What a busy machine may need; a test that passes never waits for it.
SECONDS_MAX = 60.0

Done = subprocess.CompletedProcess[str]


def program(command: Sequence[str | Path], **environment: str) -> Done:
    return subprocess.run(
        command, capture_output=True, text=True, timeout=SECONDS_MAX, env={**os.environ, **environment}, cwd="/"
    )


def mountctl(*arguments: str | Path, **environment: str) -> Done:
    return program([MOUNTCTL, *arguments], **environment)


def with_status(body: str, *arguments: str, **environment: str) -> Done:
    """`mountctl status` whose body is this Python instead."""
    script = f"import sys, trio\nfrom mountctl import cli\nfrom mountctl.commands import status\n{body}\ncli.main()"
    return program([sys.executable, "-c", script, "status", *arguments], **environment)


def assert_one_sentence(done: Done, *, exit_code: int, about: str) -> None:
    assert done.returncode == exit_code, done
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith("mountctl: ")
    assert about in line


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_the_places_of_its_files(command: str) -> None:
    done = mountctl(command, "--help")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: mountctl {command} ")
    for option in ("--runtime-dir", "--config", "--state-dir"):
        assert option in done.stdout


@pytest.mark.parametrize("command", [each for each in COMMANDS if each not in WITHOUT_JSON])
def test_every_command_that_prints_something_can_print_json(command: str) -> None:
    assert " --json " in mountctl(command, "--help").stdout


def test_what_was_done_to_mounts_is_told_as_json(tmp_path: Path) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        for command, code in (("restart one", 0), ("start one", 0), ("stop one", 1), ("reload", 1), ("upgrade", 1)):
            ask = partial(mountctl, *command.split(), "--json", "--runtime-dir", runtime_dir)
            done = await trio.to_thread.run_sync(ask)
            assert (done.returncode, done.stderr) == (code, "")
            assert json.loads(done.stdout)["mounts"]["one"]
        done = await trio.to_thread.run_sync(partial(mountctl, "confirm", "--json", "--runtime-dir", runtime_dir))
        assert (done.returncode, json.loads(done.stdout)) == (0, {"confirmed": True})

    serving(tmp_path, body)


def test_the_version_and_the_schema_are_json_if_wanted() -> None:
    assert json.loads(mountctl("version", "--json").stdout) == {"version": engine.__version__}
    assert mountctl("schema", "--json").stdout == mountctl("schema").stdout


def test_help_lists_all_commands() -> None:
    listed = [line.split()[0] for line in mountctl("--help").stdout.partition("Commands:\n")[2].splitlines()]

    assert set(listed) == {*COMMANDS, *GROUPS}


@pytest.mark.parametrize("arguments", [["version"], ["--version"]])
def test_the_version_is_told(arguments: list[str]) -> None:
    assert mountctl(*arguments).stdout == f"mountctl {engine.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "about"),
    [
        (["frobnicate"], "no such command 'frobnicate'"),
        (["status", "--jsno"], "--jsno"),
        (["--runtime-dir"], "--runtime-dir"),
        (["mount", "s3://bucket/"], "missing argument 'DIR'"),
        (["mount", "s3://bucket/pre/", "/mnt/x", "--prefix", "y/"], "--prefix: not together with an s3:// URL"),
        (["mount", "bucket", "/mnt/x", "--prefix", "y"], "--prefix: must end in '/': write 'y/'"),
        (["mount", "bucket", "/mnt/x", "--no-such-option", "1"], "--no-such-option"),
        (["mount", "bucket", "/mnt/x", "--cache", "/var/cache"], "--cache: not supported, because"),
        (["mount", "s3://arn:aws:s3:::b/", "/mnt/x"], "ARNs have no s3:// in front"),
    ],
)
def test_wrong_usage_is_one_sentence_and_2(arguments: list[str], about: str) -> None:
    assert_one_sentence(mountctl(*arguments), exit_code=2, about=about)


@pytest.mark.parametrize(
    ("arguments", "about"),
    [
        (["s3://bucket", "/mnt/x", "--prefix="], "--prefix: not together with an s3:// URL"),
        (["s3://bucket/pre", "/mnt/x"], "s3://bucket/pre: prefix must end in '/': write 'pre/'"),
        (["/mnt/x", "bucket"], "/mnt/x: is no bucket: the bucket comes first"),
        (["b", "/mnt/x"], "b: bucket names must be 3-255 characters long"),
        (["buc ket", "/mnt/x"], "buc ket: bucket names have only letters"),
        ([*GOOD, "--dir-mode", "1000"], "--dir-mode: only user, group and other permissions"),
        ([*GOOD, "--file-mode", "rwx"], "--file-mode: must be an octal number"),
        ([*GOOD, "--uid", "0"], "--uid: must be between 1 and"),
        ([*GOOD, "--gid", "me"], '--gid: must be an integer, not the string "me"'),
        ([*GOOD, "--metadata-ttl", "soon"], "--metadata-ttl: must be a number of seconds"),
        ([*GOOD, "--metadata-ttl", "3153600001"], "--metadata-ttl: must be between 0 and"),
        ([*GOOD, "--negative-metadata-ttl", "-1"], "--negative-metadata-ttl: must be between"),
        ([*GOOD, "--sse="], '--sse: must be "aws:kms", "aws:kms:dsse" or "AES256"'),
        ([*GOOD, "--sse-kms-key-id", KMS_KEY], "sse-kms-key-id needs sse"),
        (
            [*GOOD, "--sse", "AES256", "--sse-kms-key-id", KMS_KEY],
            "sse-kms-key-id conflicts with sse 'AES256'",
        ),
        ([*GOOD, "--sse", "aws:kms", "--sse-kms-key-id="], "--sse-kms-key-id: must be a key's"),
        (
            [*GOOD, "--sse", "aws:kms", "--sse-kms-key-id", "alias/mine"],
            "--sse-kms-key-id: must be a key's ARN",
        ),
        (
            [*GOOD, "--sse", "aws:kms", "--sse-kms-key-id", KMS_KEY.replace("key/", "alias/")],
            "--sse-kms-key-id: must be a key's ARN",
        ),
        ([*GOOD, "--allow-other", "--allow-root"], "allow-root conflicts with allow-other"),
        (
            [*GOOD, "--part-size", "8388608", "--read-part-size", "8388608"],
            "part-size conflicts with read-part-size",
        ),
        (
            [*GOOD, "--part-size", "8388608", "--write-part-size", "8388608"],
            "part-size conflicts with write-part-size",
        ),
        ([*GOOD, "--part-size", "5242879"], "--part-size: must be between 5242880 and"),
        ([*GOOD, "--write-part-size", "1"], "--write-part-size: must be between 5242880"),
        ([*GOOD, "--maximum-throughput-gbps", "0"], "--maximum-throughput-gbps: must be"),
        ([*GOOD, "--max-threads", "0"], "--max-threads: must be between 1"),
        ([*GOOD, "--fetchers", "-1"], "--fetchers: must be 'auto' or a number from 0 to 16"),
        ([*GOOD, "--upload-checksums", "md5"], '--upload-checksums: must be "crc32c", '),
        ([*GOOD, "--no-log", "-d"], "no-log conflicts with debug: keep one"),
        ([*GOOD, "--no-log", "--debug-crt"], "no-log conflicts with debug-crt"),
        ([*GOOD, "--no-log", "--log-metrics"], "no-log conflicts with log-metrics"),
        ([*GOOD, "--no-log", "-l", "/logs"], "no-log conflicts with log-directory"),
        ([*GOOD, "--max-cache-size=1"], "--max-cache-size: not supported, because"),
        ([*GOOD, "--incremental-upload"], "--incremental-upload: not supported, because"),
        ([*GOOD, "--otlp-endpoint", "http://x"], "--otlp-endpoint: not supported, because"),
        ([*GOOD, "--bucket-type=directory"], "--bucket-type: 'directory' is not supported yet"),
        ([*GOOD, "--bucket-type=flat"], '--bucket-type: must be "general-purpose"'),
        (["data--use1-az4--x-s3", "/mnt/x"], "bucket: a directory bucket (S3 Express) is not supported yet"),
    ],
)
def test_what_is_no_mount_of_mountpoints_is_none_of_ours_and_2(
    arguments: list[str], about: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["mount", *arguments])

    printed = capsys.readouterr()
    assert (ended.value.code, printed.out) == (2, "")
    [line] = printed.err.splitlines()
    assert line.startswith(f"mountctl: {about}")


def test_every_wrong_option_of_mount_is_told_at_once() -> None:
    done = mountctl("mount", "b!", "/", "--uid", "0", "--dir-mode", "999", "--endpoint-url", "ftp://x")

    assert done.returncode == 2
    abouts = [line.split(": ")[1] for line in done.stderr.splitlines()]
    assert sorted(abouts) == ["--dir-mode", "--endpoint-url", "--uid", "DIR", "b!"]


def test_without_a_supervisor_status_is_4_and_reload_is_1(tmp_path: Path) -> None:
    about = f"nothing listens on {tmp_path}/control.sock"

    assert_one_sentence(mountctl("status", "--runtime-dir", tmp_path), exit_code=4, about=about)
    assert_one_sentence(mountctl("status", "--json", "--runtime-dir", tmp_path), exit_code=4, about=about)
    assert_one_sentence(mountctl("reload", "--wait", "--runtime-dir", tmp_path), exit_code=1, about=about)


def test_an_option_after_the_command_wins_over_one_before_and_that_over_the_environment() -> None:
    for arguments, place in (
        (["status"], "/from-env/"),
        (["--runtime-dir", "/before", "status"], "/before/"),
        (["--runtime-dir", "/before", "status", "--runtime-dir", "/after"], "/after/"),
    ):
        assert place in mountctl(*arguments, MOUNTCTL_RUNTIME_DIR="/from-env").stderr


def test_status_shows_a_table_or_json_and_its_exit_code_is_the_health(tmp_path: Path) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        ask = partial(mountctl, "--runtime-dir", runtime_dir, "status")
        table = await trio.to_thread.run_sync(ask)
        assert (table.returncode, table.stderr) == (0, "")
        assert table.stdout.startswith("ready: 2 mounts;")
        supervisor.state = "degraded"
        as_json = await trio.to_thread.run_sync(ask, "--json", "one")
        assert as_json.returncode == 3
        told = json.loads(as_json.stdout)
        assert [mount["name"] for mount in told["mounts"]] == ["one"]
        supervisor.state = "backoff"
        assert (await trio.to_thread.run_sync(ask)).returncode == 4
        unknown = await trio.to_thread.run_sync(ask, "three")
        assert_one_sentence(unknown, exit_code=4, about="no mount is named 'three'; there is: one")

    serving(tmp_path, body)


def test_whether_a_supervisor_is_alive_depends_on_no_mount(tmp_path: Path) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        supervisor.state = "failed"
        done = await trio.to_thread.run_sync(partial(mountctl, "--runtime-dir", runtime_dir, "status", "--alive"))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    about = f"nothing listens on {tmp_path}/control.sock"
    assert_one_sentence(mountctl("status", "--alive", "--runtime-dir", tmp_path), exit_code=4, about=about)
    serving(tmp_path, body)


def test_status_in_a_terminal_without_unicode_does_not_fail(tmp_path: Path) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        ask = partial(mountctl, "--runtime-dir", runtime_dir, "status", PYTHONIOENCODING="ascii")
        done = await trio.to_thread.run_sync(ask)
        assert (done.returncode, done.stderr) == (0, "")
        assert "zwei \\xfc" in done.stdout

    serving(tmp_path, body)


def test_restart_tells_each_mount_and_is_1_when_one_is_not_ready(tmp_path: Path) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        ask = partial(mountctl, "restart", "--runtime-dir", runtime_dir)
        both = await trio.to_thread.run_sync(ask, "one", "zwei ü")
        one = await trio.to_thread.run_sync(ask, "one")

        assert both.stdout == "one: restarted\nzwei ü: restarted, failed: x\n"
        assert (both.returncode, one.returncode) == (1, 0)
        assert_one_sentence(await trio.to_thread.run_sync(ask, "three"), exit_code=1, about="no mount is named 'three'")
        assert (await trio.to_thread.run_sync(ask)).returncode == 2

    serving(tmp_path, body)


def test_reload_tells_each_mount_and_is_1_when_it_was_refused_or_one_did_not_come_up(tmp_path: Path) -> None:
    async def body(runtime_dir: Path, supervisor: Supervisor) -> None:
        ask = partial(mountctl, "reload", "--runtime-dir", runtime_dir)
        troubled = await trio.to_thread.run_sync(ask)
        assert troubled.returncode == 1
        assert troubled.stdout == "one: unchanged\ntwo: added, backoff: no such bucket\n"
        supervisor.result = ReloadResult(ok=False, errors=["x.toml:3: mount.a: no bucket"])
        about = "reload refused, nothing changed: x.toml:3: mount.a: no bucket"
        assert_one_sentence(await trio.to_thread.run_sync(ask), exit_code=1, about=about)
        supervisor.result = ReloadResult(ok=True, mounts={"one": "unchanged", "two": "restarted"})
        assert (await trio.to_thread.run_sync(ask)).returncode == 0

    serving(tmp_path, body)


def test_status_imports_nothing_of_the_data_plane_and_no_event_loop(tmp_path: Path) -> None:
    seen = "import atexit\natexit.register(lambda: print(*sys.modules))"
    body = f"for name in list(sys.modules):\n    if name.startswith('trio'): del sys.modules[name]\n{seen}"
    imported = with_status(body, "--runtime-dir", str(tmp_path)).stdout.split()

    assert "mountctl.control.client" in imported
    for heavy in ("trio", "pyfuse3", "boto3", "botocore", "h11", "engine.spec", "engine.link", "mountctl.daemon"):
        assert heavy not in imported


def test_status_imports_neither_a_parser_nor_what_takes_as_long() -> None:
    script = "import sys; from mountctl import cli; from mountctl.commands import status; print(*sys.modules)"
    imported = program([sys.executable, "-c", script]).stdout.split()

    assert "mountctl.control.exchange" in imported
    for slow in ("typer", "click", "inspect", "dataclasses", "http.client", "ssl", "email", "logging", "traceback"):
        assert slow not in imported


def test_status_of_a_supervisor_imports_no_models(tmp_path: Path) -> None:
    seen = "import atexit\natexit.register(lambda: print(*sys.modules))"

    async def body(runtime_dir: Path, _supervisor: Supervisor) -> None:
        done = await trio.to_thread.run_sync(partial(with_status, seen, "--runtime-dir", str(runtime_dir)))
        assert done.stdout.startswith("ready: ")
        imported = done.stdout.split()
        assert "mountctl.status_table" in imported
        for heavy in ("pydantic", "pydantic_core", "mountctl.status", "tree_sitter", "tomli"):
            assert heavy not in imported

    serving(tmp_path, body)


def test_an_unexpected_error_is_one_sentence_and_a_traceback_only_on_demand() -> None:
    body = "def broken(*a, **k): raise ZeroDivisionError('no')\nstatus.status = broken"

    assert_one_sentence(with_status(body), exit_code=1, about="unexpected ZeroDivisionError: no; this is a bug")
    assert "Traceback" in with_status(body, MOUNTCTL_DEBUG="1").stderr


def test_errors_in_a_nursery_are_told_by_their_own_words() -> None:
    body = (
        "from mountctl.errors import ControlSocketUnusable\n"
        "def broken(*a, **k): raise ExceptionGroup('n', [ExceptionGroup('n', [ControlSocketUnusable('no place')])])\n"
        "status.status = broken"
    )

    assert_one_sentence(with_status(body), exit_code=1, about="mountctl: no place")


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "BaseExceptionGroup('n', [KeyboardInterrupt()])"])
def test_an_interrupt_is_130_and_silent(error: str) -> None:
    done = with_status(f"def broken(*a, **k): raise {error}\nstatus.status = broken")

    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_a_reader_that_has_gone_changes_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as gone:
        done = subprocess.run([MOUNTCTL, "--help"], stdout=gone, stderr=subprocess.PIPE, timeout=SECONDS_MAX)

    assert (done.returncode, done.stderr) == (0, b"")


def test_closed_outputs_are_no_trouble() -> None:
    for redirection, code in ((">&-", 0), ("2>&- >&- --oops", 2)):
        done = program(["sh", "-c", f'"$0" version {redirection}', MOUNTCTL])

        assert (done.returncode, done.stderr) == (code, "")


def test_output_that_cannot_be_written_is_told() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([MOUNTCTL, "version"], stdout=full, stderr=subprocess.PIPE, timeout=SECONDS_MAX)

    assert done.returncode == 1
    assert done.stderr == b"mountctl: cannot write the output: No space left on device\n"
