"""Sessions on the real kernel: made, attached, detached, with no engine anywhere near."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import trio

from engine.kernel_read_ahead import READ_AHEAD_KIB
from engine.spec import MountSpec
from mountctl.supervisor import abilities, claims, mount_api, mountinfo, old_mounts, stale
from mountctl.supervisor.mounts_file import Noted
from mountctl.supervisor.session import FSTYPE, Session, SessionError


def spec(mountpoint: Path, **options: object) -> MountSpec:
    return MountSpec.model_validate({"name": "m", "bucket": "some-bucket", "mountpoint": str(mountpoint), **options})


@pytest.fixture
def mountpoint(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "mnt"
    yield path
    while mountinfo.at(str(path)) is not None:
        mount_api.umount(str(path), lazily=True)


def test_session_is_attached_with_our_type_source_and_flags(mountpoint: Path) -> None:
    session = Session.create(spec(mountpoint, **{"prefix": "a/", "read-only": True, "allow-other": True}))
    session.attach()
    line = next(
        x for x in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines() if str(mountpoint) in x
    )

    assert f"- {FSTYPE} s3://some-bucket/a/ ro," in line
    assert "allow_other" in line
    assert "default_permissions" in line
    assert "ro,nosuid,nodev,noatime" in line
    assert Path(f"/sys/class/bdi/0:{session.minor}/read_ahead_kb").read_text() == f"{READ_AHEAD_KIB}\n"
    assert session.alive()
    assert session.detach() is False
    session.close()
    assert mountinfo.at(str(mountpoint)) is None
    assert not mountpoint.exists()  # made by us, so gone with us


def test_attach_onto_a_file_is_refused_with_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("x")
    session = Session.create(spec(path))

    with pytest.raises(SessionError, match="is not a directory"):
        session.attach()
    session.close()


def test_attach_where_something_is_mounted_is_refused_and_names_it(mountpoint: Path) -> None:
    mountpoint.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "some-tmpfs", mountpoint], check=True)
    session = Session.create(spec(mountpoint))

    with pytest.raises(SessionError, match=r"some-tmpfs \(tmpfs\) is already mounted"):
        session.attach()
    session.close()


def test_unmounted_by_somebody_else_is_noticed(mountpoint: Path) -> None:
    session = Session.create(spec(mountpoint))
    session.attach()
    mount_api.umount(str(mountpoint))

    assert not session.alive()
    session.detach()
    session.close()


def test_a_mount_on_top_of_ours_is_left_alone_by_detach(mountpoint: Path) -> None:
    mountpoint.mkdir()
    session = Session.create(spec(mountpoint))
    session.attach()
    with pytest.raises(SessionError, match="already mounted"):
        Session.create(spec(mountpoint)).attach()
    other = Session.create(spec(mountpoint))
    mount_api.attach(other.mount_fd, str(mountpoint))

    session.detach()

    found = mountinfo.at(str(mountpoint))
    assert found is not None
    assert found.mount_id == other.mount_id
    other.close()
    session.close()


def test_a_dead_mount_of_ours_is_cleared_and_a_served_one_is_not(mountpoint: Path) -> None:
    dead = Session.create(spec(mountpoint))
    dead.attach()
    dead.close()  # nobody holds /dev/fuse any more: ENOTCONN

    trio.run(stale.clear, str(mountpoint))

    assert mountinfo.at(str(mountpoint)) is None
    held = Session.create(spec(mountpoint))
    held.attach()
    trio.run(stale.clear, str(mountpoint))
    assert mountinfo.at(str(mountpoint)) is not None
    held.detach()
    held.close()


def test_the_mount_that_is_given_the_id_of_one_that_is_gone_is_not_taken_for_it(mountpoint: Path) -> None:
    session = Session.create(spec(mountpoint))
    session.attach()
    mount_api.umount(str(mountpoint))
    subprocess.run(["mount", "-t", "tmpfs", "somebody's", mountpoint], check=True)
    (other,) = (entry for entry in mountinfo.entries() if entry.mountpoint == str(mountpoint))
    session.mount_id = other.mount_id

    assert (session.alive(), session.place()) == (False, None)
    session.close()
    mount_api.umount(str(mountpoint))


@pytest.mark.parametrize("forced", ["", "no-beneath"])
@pytest.mark.parametrize("dead", [False, True])
def test_a_session_takes_the_place_of_one_that_nobody_serves(
    mountpoint: Path, monkeypatch: pytest.MonkeyPatch, forced: str, dead: bool
) -> None:
    monkeypatch.setenv(abilities.FORCE_VARIABLE, forced)
    abilities.beneath.cache_clear()
    old, new = Session.create(spec(mountpoint)), Session.create(spec(mountpoint))
    old.attach()
    if dead:
        old.close()

    new.replace(old)

    found = [entry.mount_id for entry in mountinfo.entries() if entry.mountpoint == str(mountpoint)]
    assert found == [new.mount_id]
    assert (old.alive(), new.alive()) == (False, True)
    new.detach()
    assert not mountpoint.exists()  # the first one made it; the second one knows
    old.close()
    new.close()
    abilities.beneath.cache_clear()


def test_a_session_takes_the_place_of_another_where_the_kernel_refuses_to_put_it_beneath(
    mountpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(errno.EINVAL, "move_mount")

    old, new = Session.create(spec(mountpoint)), Session.create(spec(mountpoint))
    old.attach()
    assert abilities.beneath(), "which is found out once, and by the same call"
    with monkeypatch.context() as patched:
        move_mount = mount_api._move_mount
        patched.setattr(
            mount_api,
            "_move_mount",
            lambda *given: refuse() if given[3] & mount_api._MOVE_MOUNT_BENEATH else move_mount(*given),
        )
        new.replace(old)

    found = [entry.mount_id for entry in mountinfo.entries() if entry.mountpoint == str(mountpoint)]
    assert found == [new.mount_id]
    new.detach()
    old.close()
    new.close()


def test_a_session_whose_place_is_covered_by_somebody_is_not_replaced(mountpoint: Path) -> None:
    old, new = Session.create(spec(mountpoint)), Session.create(spec(mountpoint))
    old.attach()
    other = Session.create(spec(mountpoint))
    mount_api.attach(other.mount_fd, str(mountpoint))

    with pytest.raises(SessionError, match="is mounted over it"):
        new.replace(old)

    assert old.alive()
    for session in (other, old, new):
        session.detach()
        session.close()


def test_of_two_mounts_at_one_path_the_one_on_top_is_found_whichever_came_first(mountpoint: Path) -> None:
    first, second = Session.create(spec(mountpoint)), Session.create(spec(mountpoint))
    first.attach()
    mount_api.attach_beneath(second.mount_fd, str(mountpoint))

    found = mountinfo.at(str(mountpoint))

    assert found is not None
    assert found.mount_id == first.mount_id
    for session in (first, second):
        session.detach()
        session.close()


def test_a_connection_that_is_ended_from_outside_is_seen(mountpoint: Path) -> None:
    session = Session.create(spec(mountpoint))
    session.attach()
    assert session.connected()
    holder = os.open(mountpoint, os.O_PATH)

    subprocess.run(["umount", "--force", mountpoint], check=False, stderr=subprocess.DEVNULL)

    assert session.alive()
    assert not session.connected()
    os.close(holder)
    session.detach()
    session.close()


def test_detach_with_an_open_directory_goes_lazily_and_says_so(mountpoint: Path) -> None:
    session = Session.create(spec(mountpoint))
    session.attach()
    fd = os.open(mountpoint, os.O_PATH)

    assert session.detach() is True
    assert mountinfo.at(str(mountpoint)) is None
    os.close(fd)
    session.close()


def test_attach_through_a_link_onto_a_mount_is_refused_and_names_it(tmp_path: Path, mountpoint: Path) -> None:
    mountpoint.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "some-tmpfs", mountpoint], check=True)
    (tmp_path / "link").symlink_to(mountpoint)
    session = Session.create(spec(tmp_path / "link"))

    with pytest.raises(SessionError, match=r"some-tmpfs \(tmpfs\) is already mounted"):
        session.attach()
    session.close()


def test_a_dead_mount_of_ours_behind_a_link_is_cleared_away(tmp_path: Path, mountpoint: Path) -> None:
    dead = Session.create(spec(mountpoint))
    dead.attach()
    dead.close()
    (tmp_path / "link").symlink_to(mountpoint)

    trio.run(stale.clear, str(tmp_path / "link"))

    assert mountinfo.at(str(mountpoint)) is None


def test_below_a_file_system_that_hangs_nothing_is_touched(mountpoint: Path) -> None:
    hanging = Session.create(spec(mountpoint))
    hanging.attach()

    with pytest.raises(SessionError, match="does not answer"):
        trio.run(stale.clear, str(mountpoint / "below"))

    hanging.detach()
    hanging.close()


@pytest.fixture
def nothing_else(mountpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but the test's own mounts is seen: others on this host are not ours to take away."""
    entries = mountinfo.entries
    monkeypatch.setattr(mountinfo, "entries", lambda: [e for e in entries() if e.mountpoint == str(mountpoint)])


@pytest.mark.usefixtures("nothing_else")
def test_a_dead_mount_that_is_kept_is_its_supervisors_as_long_as_it_is_mounted(mountpoint: Path) -> None:
    session = Session.create(spec(mountpoint))
    session.attach()
    assert not claims.is_claimed(session.minor)

    session.abort(held=False)
    trio.run(old_mounts.clear_dead, (), lambda _place: False)

    assert claims.is_claimed(session.minor)
    assert session.alive()
    session.detach()
    assert not claims.is_claimed(session.minor)


@pytest.mark.usefixtures("nothing_else")
def test_a_dead_mount_that_nobody_keeps_is_taken_away(mountpoint: Path) -> None:
    session = Session.create(spec(mountpoint))
    session.attach()
    session.close()

    trio.run(old_mounts.clear_dead, (), lambda _place: False)

    assert not session.alive()


@pytest.mark.usefixtures("nothing_else")
def test_what_is_mounted_over_a_dead_mount_while_it_is_looked_at_stays(
    mountpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead, new = (Session.create(spec(mountpoint)) for _ in range(2))
    dead.attach()
    dead.close()
    probe = stale.probe

    async def mounted_meanwhile(path: str) -> stale.Answer:
        answer = await probe(path)
        if path == str(mountpoint.parent):
            mount_api.attach(new.mount_fd, str(mountpoint))
        return answer

    monkeypatch.setattr(stale, "probe", mounted_meanwhile)
    trio.run(old_mounts.clear_dead, (), lambda _place: False)

    assert new.alive()
    mount_api.umount(str(mountpoint), lazily=True)
    mount_api.umount(str(mountpoint), lazily=True)
    new.close()


def test_a_moved_session_is_the_same_file_system_with_another_number_at_one_place(mountpoint: Path) -> None:
    session = Session.create(spec(mountpoint))
    session.attach()
    before, there = session.mount_id, mountpoint.parent / "new" / "place"

    session.move(spec(there))

    entry = mountinfo.at(str(there))
    assert entry is not None
    assert (entry.mount_id, entry.minor) == (session.mount_id, session.minor)
    assert session.mount_id != before
    assert (session.place(), session.mountpoint) == (str(there), str(there))
    assert mountinfo.at(str(mountpoint)) is None
    assert not mountpoint.exists()
    assert session.connected()
    session.detach()
    session.close()
    assert not there.exists()


def test_where_a_session_was_is_taken_away_and_its_connection_stays_if_a_supervisor_died_while_moving_it(
    mountpoint: Path,
) -> None:
    session = Session.create(spec(mountpoint))
    session.attach()
    noted = Noted(
        mount_id=session.mount_id, minor=session.minor, mountpoint=str(mountpoint), source=session.spec.source
    )
    there = mountpoint.parent / "there"
    there.mkdir()
    mount_fd = mount_api.clone(str(mountpoint))
    _, session.mount_id = mount_api.identity(mount_fd)
    mount_api.attach(mount_fd, str(there))
    os.close(mount_fd)
    mount = SimpleNamespace(session=session)

    trio.run(old_mounts.clear, [noted], [mount])

    assert mountinfo.at(str(mountpoint)) is None
    assert session.connected()
    assert session.place() == str(there)
    session.detach()
    session.close()
