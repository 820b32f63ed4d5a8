"""`mountctl check --online` against real servers: what S3 would let mounts do, told without a trace in the bucket."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.servers import ACCESS_KEY, REGION, SECRET_KEY, S3Server
from tests.service.guarded import Guarded
from tests.service.running import Running

MOUNTCTL: Final = Path(sys.executable).parent / "mountctl"
# What a busy machine may need; a test that passes never waits for it.
SECONDS_MAX: Final = 120.0
PERMISSIONS: Final = ("s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload")


@dataclass(frozen=True)
class _Keys:
    access_key: str = ACCESS_KEY
    secret_key: str = SECRET_KEY


def _mount(name: str, endpoint: str, bucket: str, *lines: str) -> str:
    told = [f"[mount.{name}]", f'bucket = "{bucket}"', f'mountpoint = "/mnt/{name}"', f'endpoint-url = "{endpoint}"']
    return "\n".join([*told, "force-path-style = true", f'region = "{REGION}"', *lines, ""])


def _check(directory: Path, text: str, *arguments: str, keys: _Keys = _Keys()) -> subprocess.CompletedProcess[str]:
    path = directory / "m.toml"
    path.write_text(text)
    environment = {"AWS_ACCESS_KEY_ID": keys.access_key, "AWS_SECRET_ACCESS_KEY": keys.secret_key}
    done = subprocess.run(
        [MOUNTCTL, "--runtime-dir", directory / "run", "check", "--online", "--config", path, *arguments],
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        env={**os.environ, **environment},
    )
    assert done.stderr == ""
    assert keys.secret_key == SECRET_KEY or keys.secret_key not in done.stdout
    return done


def _states(done: subprocess.CompletedProcess[str], mount: str = "a") -> dict[str, bool | None]:
    [found] = [each for each in json.loads(done.stdout)["online"] if each["name"] == mount]
    return {step["name"]: step["ok"] for step in found["steps"]}


def _objects(server: S3Server, bucket: str) -> list[tuple[str, str]]:
    return [(each["Key"], each["ETag"]) for each in server.boto.list_objects_v2(Bucket=bucket).get("Contents", [])]


def _uploads(server: S3Server, bucket: str) -> list[Any]:
    return list(server.boto.list_multipart_uploads(Bucket=bucket).get("Uploads", []))


@pytest.mark.parametrize(("kind", "keys"), [("moto", ()), ("rclone", ("p/a", "p/b/c"))])
def test_a_mount_that_may_do_all_is_told_so_and_nothing_is_left(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str, keys: tuple[str, ...]
) -> None:
    server = request.getfixturevalue(kind)
    bucket = server.bucket()
    for key in keys:
        server.put(bucket, key, b"data")
    before = _objects(server, bucket)
    done = _check(tmp_path, _mount("a", server.endpoint, bucket, 'prefix = "p/"'), "--json")
    assert done.returncode == 0
    assert _states(done) == dict.fromkeys(("credentials", "bucket", "region", "list", "get", "put"), True)
    assert _objects(server, bucket) == before
    assert _uploads(server, bucket) == []


def test_a_person_reads_a_line_for_each_question(tmp_path: Path, moto: S3Server) -> None:
    bucket = moto.bucket()
    text = _mount("a", moto.endpoint, bucket, "read-only = true") + _mount("b", moto.endpoint, "gone-for-a-test")
    done = _check(tmp_path, text)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines[:6]] == [
        ["mount.a:"],
        ["credentials", "ok"],
        ["bucket", "ok"],
        ["region", "ok"],
        ["list", "ok"],
        ["get", "ok"],
    ]
    assert "    bucket      NO  bucket 'gone-for-a-test' does not exist at " in done.stdout
    assert lines[-2] == "(asked in the environment of this command, as no supervisor runs)"
    assert lines[-1] == f"{tmp_path}/m.toml: 2 mounts, no errors; S3 refuses 1 mount"


def test_s3_is_asked_in_the_environment_of_the_supervisor_that_runs(
    running: Running, moto: S3Server, bucket: str
) -> None:
    running.configure(moto, a={"bucket": bucket})
    with running.running():
        assert running.process is not None
        pid = running.process.pid
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            running.environment.pop(name)
        done = running.run("check", "--online", "--json")

    told = json.loads(done.stdout)
    assert done.returncode == 0, done.stdout
    assert told["environment"] == {"supervisor": pid, "told": f"asked in the environment of the supervisor ({pid})"}


def test_a_secret_key_that_does_not_fit_is_told(tmp_path: Path, rclone: S3Server) -> None:
    text = _mount("a", rclone.endpoint, rclone.bucket())
    done = _check(tmp_path, text, "--json", keys=_Keys(secret_key="not-the-one"))
    assert done.returncode == 1
    assert "secret key does not fit" in _step_refused(done)["told"]


def _step_refused(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    [found] = [step for step in json.loads(done.stdout)["online"][0]["steps"] if step["ok"] is False]
    return dict(found)


def test_a_server_that_is_not_there_is_told_and_the_others_are_asked(tmp_path: Path, moto: S3Server) -> None:
    text = _mount("a", "http://127.0.0.1:1", "bucket") + _mount("b", moto.endpoint, moto.bucket())
    done = _check(tmp_path, text, "--json")
    assert done.returncode == 1
    assert "is endpoint-url right?" in _step_refused(done)["told"]
    assert set(_states(done, "b").values()) == {True}


def test_mounts_with_errors_are_not_asked_about(tmp_path: Path, moto: S3Server) -> None:
    text = _mount("a", moto.endpoint, moto.bucket()) + _mount("b", moto.endpoint, "bucket", "uid = 0")
    done = _check(tmp_path, text, "--json")
    assert done.returncode == 2
    assert [each["name"] for each in json.loads(done.stdout)["online"]] == ["a"]


def test_a_file_without_mounts_asks_nothing(tmp_path: Path) -> None:
    assert _check(tmp_path, "").stdout == f"{tmp_path}/m.toml: 0 mounts, no errors\n"


@pytest.mark.parametrize(
    ("lacking", "step"), [*zip(PERMISSIONS, ("list", "get", "put", "put"), strict=True), (None, None)]
)
def test_the_permission_that_a_policy_lacks_is_named_and_nothing_is_left(
    tmp_path: Path, guarded: Guarded, lacking: str | None, step: str | None
) -> None:
    guarded.allow({each for each in PERMISSIONS if each != lacking})
    text = _mount("a", guarded.server.endpoint, guarded.bucket, 'prefix = "p/"')
    guarded.guard(on=True)
    try:
        done = _check(tmp_path, text, "--json", keys=_Keys(guarded.access_key, guarded.secret_key))
    finally:
        guarded.guard(on=False)
    refused = [each for each in json.loads(done.stdout)["online"][0]["steps"] if each["ok"] is False]
    assert [(each["name"], each["permission"]) for each in refused] == ([] if step is None else [(step, lacking)])
    assert done.returncode == (0 if step is None else 1)
    assert [key for key, _ in _objects(guarded.server, guarded.bucket)] == ["p/a"]
    assert _uploads(guarded.server, guarded.bucket) == []
