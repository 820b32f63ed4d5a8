"""The rules of volumes: what their mounts are to be, where they may be bound, why they can't be had, what is kept."""

import errno
import json
from pathlib import Path
from typing import Any

import pytest
import trio

from engine.link import Unavailable
from engine.spec import MountSpec
from mountctl.config.composing import CannotCompose, compose
from mountctl.config.model import Config, CsiSpec, Shared, SupervisorSpec
from mountctl.supervisor.endings import Ending, Gone
from mountctl.supervisor.volumes import composing, targets
from mountctl.supervisor.volumes.causes import CannotApply, of_end, of_unavailable
from mountctl.supervisor.volumes.kept import VolumesFile
from mountctl.supervisor.volumes.model import KeptVolume, Request
from mountctl.supervisor.volumes.turns import Turns
from mountctl.volume import Cause, Consumer

SHARED = Shared(
    defaults={"region": "eu-1", "debug": True},
    templates={"fast": {"memory-target": 1024, "region": "eu-2"}, "quiet": {"no-log": True, "debug": False}},
)


def spec(**options: Any) -> MountSpec:
    return MountSpec(**({"name": "v", "bucket": "bucket", "mountpoint": "/run/v"} | options))


def config(**options: Any) -> Config:
    return Config(path=Path("/m.toml"), files=(), supervisor=SupervisorSpec(), mounts={}, **options)


def test_options_win_over_templates_and_these_over_defaults() -> None:
    made = compose("v", "/run/v", SHARED, ("fast", "quiet"), {"bucket": "bucket", "memory-target": 16})

    assert (made.region, made.memory_target, made.no_log, made.debug) == ("eu-2", 16, True, False)
    assert (made.name, made.mountpoint, made.bucket) == ("v", "/run/v", "bucket")


@pytest.mark.parametrize(
    ("use", "options", "told"),
    [
        ((), {}, "bucket: missing: this mount needs a bucket"),
        (("fsat",), {"bucket": "bucket"}, "no template 'fsat': did you mean fast?"),
        ((), {"bucket": "bucket", "regoin": "x"}, "regoin: unknown option: did you mean region?"),
        ((), {"bucket": "bucket", "use": "fast"}, "use: not an option of a volume"),
        ((), {"bucket": "bucket", "name": "w"}, "name: not an option of a volume"),
        ((), {"bucket": "bucket", "cache": "/c"}, "cache: not supported, because what was read is kept by the kernel"),
        ((), {"bucket": "bucket", "memory-target": "much"}, 'memory-target: must be an integer, not the string "much"'),
        (("quiet",), {"bucket": "bucket", "debug": True}, "no-log conflicts with debug: keep one"),
    ],
)
def test_what_makes_no_mount_is_told_in_the_words_of_check(
    use: tuple[str, ...], options: dict[str, Any], told: str
) -> None:
    with pytest.raises(CannotCompose) as caught:
        compose("v", "/run/v", SHARED, use, options)

    assert told in str(caught.value)


def test_a_volume_may_not_have_the_name_of_a_mount_of_the_file() -> None:
    taken = Config(path=Path("/m.toml"), files=(), supervisor=SupervisorSpec(), mounts={"v": spec()})
    with pytest.raises(CannotApply) as caught:
        composing.composed("v", "/run/v", Request(options={"bucket": "bucket"}), taken)

    assert caught.value.cause is Cause.INVALID


@pytest.mark.parametrize(
    ("patterns", "allowed"), [((), False), (("other",), False), (("buck?t",), True), (("x", "b*"), True)]
)
def test_an_inline_volume_is_allowed_by_its_bucket(patterns: tuple[str, ...], allowed: bool) -> None:
    given = config(csi=CsiSpec(inline_buckets=patterns))
    request = Request(options={"bucket": "bucket"}, inline=True)
    if allowed:
        assert composing.composed("v", "/run/v", request, given).bucket == "bucket"
        return
    with pytest.raises(CannotApply) as caught:
        composing.composed("v", "/run/v", request, given)
    assert caught.value.cause is Cause.NOT_ALLOWED


def test_what_needs_another_session_waits_and_the_rest_comes() -> None:
    running = spec(allow_other=True)
    wanted = spec(read_only=True, prefix="p/", debug=True, memory_target=64)

    now, waiting = composing.held_back(wanted, running)

    assert waiting == ("prefix", "read-only", "allow-other")
    assert now == spec(allow_other=True, debug=True, memory_target=64)
    assert composing.held_back(running, running) == (running, ())


def test_when_what_comes_does_not_go_with_what_waits_all_of_it_waits() -> None:
    arn = "arn:aws:s3:eu-central-1:123456789012:accesspoint/name"
    running = spec(bucket=arn)
    wanted = spec(force_path_style=True)

    now, waiting = composing.held_back(wanted, running)

    assert now == running
    assert waiting == ("bucket", "force-path-style")


@pytest.mark.parametrize(
    ("target", "normal"),
    [("/a/b", "/a/b"), ("/a//b/", "/a/b"), ("//a/b", "/a/b"), ("/a/./b", "/a/b")],
)
def test_a_target_has_one_form(target: str, normal: str) -> None:
    assert targets.normal(target) == normal


@pytest.mark.parametrize("target", ["a", "", "/", "//", "/a/../b", "/a\0b", "/" + "a" * 256, "/a" * 2048])
def test_what_is_no_target(target: str) -> None:
    with pytest.raises(CannotApply) as caught:
        targets.normal(target)

    assert caught.value.cause is Cause.INVALID


def test_targets_are_below_their_directory() -> None:
    targets.judge("/var/lib/kubelet/pods/1", "/var/lib/kubelet")
    targets.judge("/anywhere", None)
    for target in ("/var/lib/kubelet", "/var/lib/kubelet-2/pods", "/etc"):
        with pytest.raises(CannotApply):
            targets.judge(target, "/var/lib/kubelet")


@pytest.mark.parametrize(
    ("code", "status", "cause"),
    [
        ("NoSuchBucket", 404, Cause.BUCKET_MISSING),
        ("", 404, Cause.BUCKET_MISSING),
        ("AccessDenied", 403, Cause.ACCESS_DENIED),
        ("", 403, Cause.ACCESS_DENIED),
        ("ExpiredToken", 400, Cause.CREDENTIALS),
        ("InvalidAccessKeyId", 403, Cause.CREDENTIALS),
        ("SignatureDoesNotMatch", 403, Cause.CREDENTIALS),
        ("PermanentRedirect", 301, Cause.INVALID),
        ("SlowDown", 503, Cause.UNREACHABLE),
        ("", 0, Cause.UNREACHABLE),
    ],
)
def test_what_s3_says_has_a_cause(code: str, status: int, cause: Cause) -> None:
    assert of_unavailable(Unavailable(reason="r", code=code, status=status)) is cause


def test_the_end_of_an_engine_has_a_cause() -> None:
    def gone(cause: Cause | None) -> Gone:
        return Gone("reason", Ending.REFUSED, 0.0, unanswered=False, cause=cause)

    assert of_end(None, None) is Cause.NODE
    assert of_end(gone(None), None) is Cause.INTERNAL
    assert of_end(gone(Cause.UNREACHABLE), None) is Cause.UNREACHABLE
    assert of_end(gone(Cause.UNREACHABLE), "no keys") is Cause.CREDENTIALS
    assert of_end(gone(Cause.BUCKET_MISSING), "no newer keys") is Cause.BUCKET_MISSING


def kept(name: str) -> dict[str, KeptVolume]:
    consumer = Consumer(target="/t", volume="id")
    return {name: KeptVolume(request=Request(options={"bucket": "bucket"}), spec=spec(), consumers=[consumer])}


def test_the_file_has_what_was_written_and_many_writes_at_once_are_one(tmp_path: Path) -> None:
    async def main() -> None:
        file = VolumesFile(tmp_path / "state", tmp_path / "run")
        assert file.read() == {}
        asked = 0

        def now() -> dict[str, KeptVolume]:
            nonlocal asked
            asked += 1
            return kept(f"v{asked}")

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(file.write, now)

        assert asked <= 3
        assert VolumesFile(tmp_path / "state", tmp_path / "run").read() == kept(f"v{asked}")

    trio.run(main)


def test_a_file_that_cannot_be_written_is_an_error_of_all_that_wait(tmp_path: Path) -> None:
    async def main() -> None:
        (tmp_path / "state").write_text("a file where the directory is to be")
        file = VolumesFile(tmp_path / "state", tmp_path / "run")
        for _ in range(2):
            with pytest.raises(OSError) as caught:
                await file.write(lambda: kept("v"))
            assert caught.value.errno in (errno.ENOTDIR, errno.EEXIST)

    trio.run(main)


def test_a_file_of_another_boot_says_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        file = VolumesFile(tmp_path / "state", tmp_path / "run")
        await file.write(lambda: kept("v"))
        (path,) = (tmp_path / "state" / "volumes").iterdir()
        path.write_text(json.dumps(json.loads(path.read_text()) | {"boot": "another"}))

        assert file.read() == {}

    trio.run(main)


def test_one_at_a_time_has_a_turn_and_nothing_is_left_of_it() -> None:
    async def main() -> None:
        turns, inside = Turns(), set[str]()

        async def visit(name: str) -> None:
            async with turns.of(name):
                assert name not in inside
                inside.add(name)
                await trio.lowlevel.checkpoint()
                inside.remove(name)

        async with trio.open_nursery() as nursery:
            for number in range(30):
                nursery.start_soon(visit, str(number % 3))

        assert turns._locks == {}

    trio.run(main)
