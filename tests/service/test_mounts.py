"""Several mounts of one file: what programs see, what an engine may do, what status tells."""

import hashlib
import json
import os
import random
import subprocess
from pathlib import Path
from typing import Final

from tests.servers import S3Server
from tests.service.running import MOUNTCTL, Running, poll_until

MiB: Final = 1 << 20


def test_three_mounts_of_two_buckets_show_the_right_bytes(running: Running, s3_server: S3Server) -> None:
    first, second = s3_server.bucket(), s3_server.bucket()
    body = random.Random(1).randbytes(3_000_001)
    s3_server.put(first, "a/deep/file.bin", body)
    s3_server.put(second, "top.txt", b"top")
    s3_server.put(second, "sub/inner.txt", b"inner")
    running.configure(
        s3_server,
        one={"bucket": first},
        two={"bucket": second, "read_only": True},
        sub={"bucket": second, "prefix": "sub/"},
    )

    with running.running():
        found = (running.mountpoint("one") / "a/deep/file.bin").read_bytes()
        assert hashlib.sha256(found).digest() == hashlib.sha256(body).digest()
        assert sorted(os.listdir(running.mountpoint("two"))) == ["sub", "top.txt"]
        assert (running.mountpoint("sub") / "inner.txt").read_bytes() == b"inner"
        assert running.run("status").returncode == 0


def test_status_json_is_the_contract(running: Running, moto: S3Server) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "p/x", b"12345")
    running.configure(moto, data={"bucket": bucket, "prefix": "p/"})

    with running.running():
        (running.mountpoint("data") / "x").read_bytes()
        running.wait_for("data", "ready")
        status = json.loads(running.run("status", "--json").stdout)
        (mount,) = status["mounts"]

    assert (status["schema"], status["health"]) == (1, "ready")
    assert status["supervisor"]["config"]["path"] == str(running.config)
    assert status["supervisor"]["config"]["last_reload"]["ok"] is True
    assert mount["source"] == f"s3://{bucket}/p/"
    assert mount["mountpoint"] == str(running.mountpoint("data"))
    assert mount["engine"]["takeovers"] == 0
    assert mount["engine"]["last_exit"] is None
    assert mount["session"]["takeover"] in ("resend", "interrupt")
    assert mount["session"]["replace"] in ("beneath", "gap")
    assert mount["backend"] == {"reachable": True, "error": None, "refused": None}
    assert set(mount) >= {"name", "mountpoint", "source", "state", "since", "reason", "engine", "backend", "stats"}


def test_stats_count_bytes_and_requests_of_a_read(running: Running, moto: S3Server) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "x", b"x" * 16384)
    running.configure(moto, data={"bucket": bucket})

    with running.running():
        before = running.mount("data")["stats"]["s3_requests"]
        (running.mountpoint("data") / "x").read_bytes()
        stats = poll_until(
            lambda: (s := running.mount("data")["stats"])["bytes_read"] and s, "a heartbeat with the bytes read"
        )

    assert stats["bytes_read"] >= 16384
    requests = {name: count - before.get(name, 0) for name, count in stats["s3_requests"].items()}
    assert requests["GetObject"] == 1
    assert requests.get("HeadObject", 0) <= 2
    assert requests.get("ListObjectsV2", 0) <= 1


def test_a_large_file_comes_by_requests_of_a_mib_and_few_gets(running: Running, moto: S3Server) -> None:
    bucket = moto.bucket()
    body = random.Random(1).randbytes(32 * MiB)
    moto.put(bucket, "large", body)
    running.configure(moto, data={"bucket": bucket})

    with running.running():
        with (running.mountpoint("data") / "large").open("rb", buffering=0) as file:
            found = b"".join(iter(lambda: file.read(MiB), b""))
        stats = poll_until(
            lambda: (s := running.mount("data")["stats"])["bytes_read"] >= len(body) and s, "a heartbeat with the rest"
        )

    assert hashlib.sha256(found).digest() == hashlib.sha256(body).digest()
    # The kernel's read-ahead asks for whole slots, now and then once more for a page that it has dropped, and
    # nobody asks for attributes between two reads.
    assert stats["fuse_requests"]["read"] <= 40
    assert stats["fuse_requests"]["getattr"] <= 8
    assert stats["s3_requests"]["GetObject"] <= 18


def test_an_engine_has_no_privileges_and_only_its_own_file_descriptors(running: Running, moto: S3Server) -> None:
    running.configure(moto, one={"bucket": moto.bucket()}, two={"bucket": moto.bucket()})

    with running.running():
        processes = [Path("/proc") / str(running.mount(name)["engine"]["pid"]) for name in ("one", "two")]
        statuses = [dict(x.split(":\t", 1) for x in (p / "status").read_text().splitlines()) for p in processes]
        links = [os.readlink(fd) for fd in (processes[0] / "fd").iterdir()]
        environment = (processes[0] / "environ").read_bytes()

    for status in statuses:
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == int(status["CapInh"], 16) == 0
        assert status["NoNewPrivs"] == "1"
        assert status["Groups"].strip() == ""
        assert 0 not in map(int, status["Uid"].split())
    assert statuses[0]["Uid"] != statuses[1]["Uid"]
    assert links.count("/dev/fuse") <= 2  # the session, and pyfuse3's name for it
    assert not [link for link in links if link.startswith(str(running.work / "run"))]
    assert b"AWS_SECRET_ACCESS_KEY" not in environment


def test_an_unprivileged_engine_writes_small_and_large_files_lists_and_deletes(
    running: Running, moto: S3Server
) -> None:
    bucket = moto.bucket()
    running.configure(moto, data={"bucket": bucket, "allow_delete": True, "allow_overwrite": True, "debug": True})
    body = random.Random(3).randbytes(20_000_000)

    with running.running():
        top = running.mountpoint("data")
        for name, data in (("small", b"x"), ("größe", body), ("small", b"replaced"), ("empty", b"")):
            (top / name).write_bytes(data)
        assert (top / "größe").read_bytes() == body
        assert (top / "small").read_bytes() == b"replaced"
        assert sorted(os.listdir(top)) == ["empty", "größe", "small"]
        (top / "größe").unlink()
        assert sorted(os.listdir(top)) == ["empty", "small"]

    assert "Traceback" not in running.log_text()
    assert not moto.boto.list_multipart_uploads(Bucket=bucket).get("Uploads")


def test_mount_of_one_without_a_file(running: Running, moto: S3Server) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "pre/fix.txt", b"fixed")
    directory = running.mountpoint("one")
    process = subprocess.Popen(
        [MOUNTCTL, "mount", f"s3://{bucket}/pre/", directory, "--endpoint-url", moto.endpoint, "--force-path-style"],
        env=running.environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        poll_until(lambda: str(directory) in running.mounted() or process.poll() is not None, "the mount")
        assert (directory / "fix.txt").read_text() == "fixed"
    finally:
        process.terminate()
        _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert running.mounted() == []


def test_mount_of_one_whose_bucket_is_missing_exits_1_and_says_so(running: Running, moto: S3Server) -> None:
    done = running.run(
        "mount",
        "no-such-bucket-here",
        str(running.mountpoint("x")),
        "--endpoint-url",
        moto.endpoint,
        "--force-path-style",
    )

    assert done.returncode == 1
    assert "no-such-bucket-here" in done.stderr
    assert "does not exist" in done.stderr
    assert "Traceback" not in done.stderr
    assert running.mounted() == []
