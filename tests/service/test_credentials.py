"""Credentials over a mount's life, as an operator sees them: refused, edited, expired, renewed, and never shown."""

import contextlib
import json
import os
import signal
import socket
import stat
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.faults import Answer, FaultyProxy, Seen, error
from tests.servers import S3Server
from tests.service.running import Running, poll_until


def signer(seen: Seen) -> str:
    """The access key that a request was signed with."""
    return seen.headers.get("authorization", "").partition("Credential=")[2].partition("/")[0]


@pytest.fixture
def profile(running: Running) -> Callable[[str], None]:
    """Writes the profile `batch`, in place of the environment's keys."""
    del running.environment["AWS_ACCESS_KEY_ID"], running.environment["AWS_SECRET_ACCESS_KEY"]
    file = running.work / "aws-config"
    running.environment["AWS_CONFIG_FILE"] = str(file)

    def write(body: str) -> None:
        new = file.with_suffix(".new")
        new.write_text(f"[profile batch]\nregion = us-east-1\n{body}\n")
        new.rename(file)

    return write


def keys(access_key: str) -> str:
    return f"aws_access_key_id = {access_key}\naws_secret_access_key = test"


SEALED = "echo 'the vault is sealed: helper-very-secret' >&2; exit 1"


def vault(running: Running, answer: dict[str, Any] | None, *, seconds: int | None = None) -> str:
    """A credential_process that prints the answer, or says that it is sealed.

    `seconds`: keys that live so long from the first time that somebody asks, and are old ever after.
    """
    program = running.work / "vault"
    if seconds is not None:
        soon, until = json.dumps((answer or {}) | {"Expiration": "SOON"}), f"{program}.until"
        body = f"""[ -e {until} ] || date -u -d '+{seconds} seconds' +%FT%TZ > {until}.$$
[ -e {until} ] || mv {until}.$$ {until}
echo '{soon}' | sed "s/SOON/$(cat {until})/" """
    else:
        body = SEALED if answer is None else f"echo '{json.dumps(answer)}'"
    program.with_suffix(".new").write_text(f"#!/bin/sh\n{body}\n")
    program.with_suffix(".new").chmod(stat.S_IRWXU)
    program.with_suffix(".new").rename(program)
    return f"credential_process = {program}"


def issued(seconds: float, *, secret: str = "test", token: str | None = None) -> dict[str, Any]:
    """What a vault says of keys that live so long."""
    expires = datetime.fromtimestamp(time.time() + seconds, UTC)
    keys_ = {"Version": 1, "AccessKeyId": "ISSUED", "SecretAccessKey": secret, "Expiration": expires.isoformat()}
    return keys_ | ({} if token is None else {"SessionToken": token})


def test_revoked_keys_degrade_a_mount_that_is_ready_again_once_its_profile_has_others(
    running: Running, moto: S3Server, profile: Callable[[str], None]
) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "x", b"mine")
    revoked: set[str] = set()

    def decide(seen: Seen) -> Answer | None:
        return error(403, "InvalidAccessKeyId") if signer(seen) in revoked else None

    with FaultyProxy(moto.endpoint, decide) as server:
        profile(keys("OLD"))
        running.configure(server.endpoint, data={"bucket": bucket, "profile": "batch"})
        with running.running():
            mount = running.mount("data")
            assert mount["credentials"] == {"source": "profile", "profile": "batch", "expires": None, "error": None}
            revoked.add("OLD")
            with pytest.raises(PermissionError):
                (running.mountpoint("data") / "x").read_bytes()

            degraded = running.wait_for("data", "degraded")
            assert "S3 does not know the access key (InvalidAccessKeyId, key OLD)" in degraded["reason"]
            assert degraded["backend"]["reachable"] is True
            assert degraded["backend"]["refused"] == degraded["reason"]
            assert running.run("status").returncode == 3
            profile(keys("NEW"))
            ready = running.wait_for("data", "ready")
            assert ready["engine"]["pid"] == mount["engine"]["pid"]
            assert ready["reason"] is None
            assert (running.mountpoint("data") / "x").read_bytes() == b"mine"


def test_a_403_of_one_object_is_that_objects_and_the_mount_stays_ready(running: Running, moto: S3Server) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "theirs", b"x")

    def decide(seen: Seen) -> Answer | None:
        return error(403, "AccessDenied") if seen.method == "GET" and seen.target.endswith("/theirs") else None

    with FaultyProxy(moto.endpoint, decide) as server:
        running.configure(server.endpoint, data={"bucket": bucket})
        with running.running():
            with pytest.raises(PermissionError):
                (running.mountpoint("data") / "theirs").read_bytes()
            poll_until(lambda: running.mount("data")["stats"]["s3_errors"].get("AccessDenied"), "it to be counted")

            assert running.mount("data")["state"] == "ready"
            assert running.mount("data")["backend"] == {"reachable": True, "error": None, "refused": None}


def test_keys_that_cannot_be_renewed_are_a_warning_until_they_expire_and_then_the_mounts_trouble(
    running: Running, moto: S3Server, profile: Callable[[str], None]
) -> None:
    until = running.work / "vault.until"

    def decide(_seen: Seen) -> Answer | None:
        try:
            expiry = datetime.fromisoformat(until.read_text().strip())
        except FileNotFoundError:
            return None
        return error(400, "ExpiredToken") if datetime.now(UTC) >= expiry else None

    profile(vault(running, issued(3600)))
    with FaultyProxy(moto.endpoint, decide) as server:
        running.configure(server.endpoint, data={"bucket": moto.bucket(), "profile": "batch"})
        with running.running():
            first = running.mount("data")["credentials"]
            assert (first["source"], first["error"]) == ("credential-process", None)
            profile(vault(running, None))
            poll_until(lambda: running.mount("data")["credentials"]["error"], "a renewal to fail")
            warned = running.mount("data")
            assert warned["state"] == "ready"
            assert warned["credentials"]["expires"] == first["expires"]
            shown = " ".join(running.run("status").stdout.split())
            assert "can't be renewed: profile 'batch': credential_process failed: vault ended with exit code 1" in shown

            profile(vault(running, issued(0), seconds=10))
            degraded = running.wait_for("data", "degraded")
            assert "the credentials have expired" in degraded["reason"]
            assert "profile 'batch'" in degraded["credentials"]["error"]
            profile(vault(running, issued(3600)))
            until.unlink()
            assert running.wait_for("data", "ready")["credentials"]["error"] is None


def test_mounts_with_environments_of_their_own_have_their_own_identity_and_a_change_of_it_restarts_no_engine(
    running: Running, moto: S3Server
) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "x", b"mine")
    signers: dict[str, set[str]] = {}

    def decide(seen: Seen) -> Answer | None:
        signers.setdefault(seen.headers.get("user-agent", "").split()[0], set()).add(signer(seen))
        return None

    def own(name: str, access_key: str) -> dict[str, Any]:
        new = running.work / f"{name}.new"
        new.write_text(f"[default]\n{keys(access_key)}\n")
        new.rename(running.work / name)
        files = {"AWS_SHARED_CREDENTIALS_FILE": str(running.work / name), "AWS_CONFIG_FILE": "/nonexistent/config"}
        return {"bucket": bucket, "environment": files, "user_agent_prefix": name}

    def signed_as(name: str, access_key: str) -> bool:
        (running.mountpoint(name) / "nothing").exists()
        return access_key in signers[name]

    with FaultyProxy(moto.endpoint, decide) as server:
        mounts = {"one": own("one", "ONE"), "two": own("two", "TWO")}
        running.configure(server.endpoint, **mounts)
        with running.running():
            engines = {name: running.mount(name)["engine"]["pid"] for name in mounts}
            assert signers == {"one": {"ONE"}, "two": {"TWO"}}

            own("one", "ONE-LATER")
            poll_until(lambda: signed_as("one", "ONE-LATER"), "the file's new keys to be used")
            running.configure(
                server.endpoint, one=mounts["one"], two=own("third", "THREE") | {"user_agent_prefix": "two"}
            )
            done = running.run("reload")
            assert "changed live" in done.stdout
            poll_until(lambda: signed_as("two", "THREE"), "the other environment's keys to be used")

            assert {name: running.mount(name)["engine"]["pid"] for name in mounts} == engines
            assert [running.mount(name)["engine"]["takeovers"] for name in mounts] == [0, 0]
    assert signers == {"one": {"ONE", "ONE-LATER"}, "two": {"TWO", "THREE"}}


SECRETS = {
    "environment": "env-very-secret",
    "secret": "issued-very-secret",
    "token": "token-very-secret",
    "helper": "helper-very-secret",
}


def ask_socket(path: Path, request: str) -> str:
    """One request over the control socket, by hand; all of the answer."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        sock.sendall(f"{request} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        said = b""
        while more := sock.recv(65536):
            said += more
    return said.decode(errors="replace")


def test_secrets_are_nowhere_to_be_seen_after_a_life_with_failures(
    running: Running, moto: S3Server, profile: Callable[[str], None]
) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "x", b"mine")
    refusing = False

    def decide(seen: Seen) -> Answer | None:
        return error(400, "ExpiredToken") if refusing and signer(seen) else None

    profile(vault(running, issued(3600, secret=SECRETS["secret"], token=SECRETS["token"])))
    running.environment |= {"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": SECRETS["environment"]}
    seen: dict[str, str] = {}
    with FaultyProxy(moto.endpoint, decide) as server:
        running.configure(
            server.endpoint,
            plain={"bucket": bucket, "debug": True},
            batch={"bucket": bucket, "debug": True, "profile": "batch"},
            none={"bucket": "no-such-bucket-of-secrets", "debug": True},
        )
        with running.running("ready", "backoff"):
            for name in ("plain", "batch"):
                assert (running.mountpoint(name) / "x").read_bytes() == b"mine"
            refusing = True
            for name in ("plain", "batch"):
                with pytest.raises(PermissionError):
                    (running.mountpoint(name) / "another").stat()
                running.wait_for(name, "degraded")
            os.kill(running.mount("batch")["engine"]["pid"], signal.SIGKILL)
            poll_until(lambda: running.mount("batch")["engine"]["takeovers"], "a takeover")
            profile(vault(running, None))
            poll_until(lambda: running.mount("batch")["credentials"]["error"], "the vault's failure")

            seen["status"] = running.run("status").stdout
            seen["status --json"] = running.run("status", "--json").stdout
            control = running.work / "run" / "control.sock"
            for request in ("GET /v1/status", "GET /v1/status?name=nobody", "POST /v1/mounts", "POST /v1/reload"):
                seen[request] = ask_socket(control, request)
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    seen[f"{process}/cmdline"] = (process / "cmdline").read_text(errors="replace")
                except (FileNotFoundError, ProcessLookupError):
                    continue  # ended while we looked
            for mount in running.status()["mounts"]:
                # One without a bucket may be between two engines.
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    pid = mount["engine"]["pid"] or "nobody"
                    seen[f"environ of {mount['name']}"] = Path(f"/proc/{pid}/environ").read_text(errors="replace")
    seen["log"] = running.log_text()

    assert "DEBUG batch" in seen["log"]
    assert {"environ of plain", "environ of batch"} <= seen.keys()
    for place, text in seen.items():
        for what, secret in SECRETS.items():
            assert secret not in text, f"{what} in {place}"
