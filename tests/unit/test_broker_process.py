"""engine/broker.py as a process of its own, with botocore and files."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from engine import link
from engine.link import Access, AccessFailed, WatchAccess
from tests.unit.test_broker import ANSWER_SECONDS_MAX, spec

_PROCESS = "import socket, sys; from engine.broker import run_broker; sys.exit(run_broker(socket.socket(fileno=0)))"


class Process:
    """`run_broker` in a process of its own."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self.sock, theirs = link.pair()
        self.sock.settimeout(ANSWER_SECONDS_MAX)
        self.stderr = directory / "stderr"
        with theirs, self.stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _PROCESS], stdin=theirs, stderr=stderr, env=environment, cwd=Path.cwd()
            )

    def __enter__(self) -> socket.socket:
        return self.sock

    def __exit__(self, *exc: object) -> None:
        self.sock.close()
        try:
            self.exit_code = self.process.wait(ANSWER_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {
        "PATH": "/usr/bin:/bin",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def receive(sock: socket.socket) -> Access | AccessFailed:
    message, _ = link.receive(sock)
    assert isinstance(message, Access | AccessFailed)
    return message


def test_the_process_follows_an_edited_file_and_ends_with_its_link(tmp_path: Path, environment: dict[str, str]) -> None:
    process = Process(tmp_path, environment)
    with process as sock:
        link.send(sock, WatchAccess(spec=spec(profile="batch")))
        missing = receive(sock)
        (tmp_path / "credentials").write_text(
            "[batch]\naws_access_key_id = AKIDONE\naws_secret_access_key = very-secret\n"
        )
        found = receive(sock)

    assert isinstance(missing, AccessFailed)
    assert "profile 'batch' is not in" in missing.reason
    assert isinstance(found, Access)
    assert found.credentials is not None
    assert found.credentials.access_key == "AKIDONE"
    assert process.exit_code == 0
    assert "very-secret" not in process.stderr.read_text()


def test_the_process_looks_up_again_for_the_mount_whose_own_file_was_edited_and_for_no_other(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    def write(name: str, access_key: str) -> None:
        new = tmp_path / f"{name}.new"
        new.write_text(f"[default]\naws_access_key_id = {access_key}\naws_secret_access_key = very-secret\n")
        new.rename(tmp_path / name)

    def key(message: Access | AccessFailed) -> tuple[str, str]:
        assert isinstance(message, Access)
        assert message.credentials is not None
        return message.name, message.credentials.access_key

    process = Process(tmp_path, environment)
    with process as sock:
        for name in ("a", "b"):
            write(name, f"{name.upper()}-FIRST")
            own = {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / name)}
            link.send(sock, WatchAccess(spec=spec(name, environment=own)))
        first = {key(receive(sock)), key(receive(sock))}
        write("b", "B-SECOND")
        second = key(receive(sock))
        write("a", "A-SECOND")
        third = key(receive(sock))

    assert first == {("a", "A-FIRST"), ("b", "B-FIRST")}
    assert (second, third) == (("b", "B-SECOND"), ("a", "A-SECOND"))
    assert process.stderr.read_text().count("looking up") <= 2
    assert "very-secret" not in process.stderr.read_text()


def test_the_process_renews_keys_of_a_credential_process_by_itself(tmp_path: Path, environment: dict[str, str]) -> None:
    """When is test_broker.py's business."""
    helper = tmp_path / "helper"
    helper.write_text(
        "#!/bin/sh\n"
        f"echo x >> {tmp_path}/calls; n=$(wc -l < {tmp_path}/calls); until=$(date -u -d '+6 seconds' +%FT%TZ)\n"
        'echo "{\\"Version\\": 1, \\"AccessKeyId\\": \\"KEY$n\\", \\"SecretAccessKey\\": \\"hush-hush\\", '
        '\\"SessionToken\\": \\"t\\", \\"Expiration\\": \\"$until\\"}"\n'
    )
    helper.chmod(0o755)
    (tmp_path / "config").write_text(f"[default]\ncredential_process = {helper}\n")
    process = Process(tmp_path, environment)
    with process as sock:
        link.send(sock, WatchAccess(spec=spec()))
        first, second = receive(sock), receive(sock)

    assert isinstance(first, Access)
    assert isinstance(second, Access)
    assert first.credentials is not None
    assert second.credentials is not None
    assert first.credentials.access_key != second.credentials.access_key
    assert first.credentials.expires is not None
    assert second.credentials.expires is not None
    assert first.credentials.expires < second.credentials.expires
    assert "hush-hush" not in process.stderr.read_text()
