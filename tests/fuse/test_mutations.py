"""Names that are made and removed on a real mount: directories, deletes, renames, whole trees, and what hides what."""

import errno
import os
import shutil
import stat
import subprocess
import time
from pathlib import Path

import pytest

from tests.conformance.sharing import eventually
from tests.fuse.conftest import Place
from tests.fuse.mounted import Mounted
from tests.refusals import refused
from tests.servers import S3Server


def _sh(place: Place, command: str) -> str:
    return subprocess.run(["sh", "-ec", command], cwd=place.path, check=True, capture_output=True, text=True).stdout


def test_a_directory_that_was_made_is_here_only_until_there_is_a_file_in_it(free: Place) -> None:
    """S72: and it goes with that file."""
    inner = free.path / "d" / "e"
    inner.parent.mkdir()
    inner.mkdir()
    assert stat.S_ISDIR(inner.stat().st_mode)
    assert os.listdir(free.path / "d") == ["e"]
    assert os.listdir(inner) == []
    assert not free.has("d/")
    assert refused(inner.mkdir) == errno.EEXIST
    assert refused(lambda: os.mknod(free.path / "d")) == errno.EEXIST

    (inner / "f").write_bytes(b"x")
    assert free.has("d/e/f")
    free.delete("d/e/f")
    eventually(lambda: not (free.path / "d").exists())


def test_rmdir_takes_what_is_empty_and_here_only(place: Place) -> None:
    """S72: what is in S3 needs leave."""
    path = place.path / "d"
    path.mkdir()
    path.rmdir()
    assert refused(path.rmdir) == errno.ENOENT
    path.mkdir()
    file = (path / "f").open("wb")
    assert refused(path.rmdir) == errno.ENOTEMPTY
    file.write(b"x")
    file.close()
    assert refused(path.rmdir) == errno.EPERM, "it is in S3 now, and there is no leave to delete"
    assert refused((path / "f").rmdir) == errno.ENOTDIR
    assert place.has("d/f")


def test_nothing_can_be_made_in_a_directory_that_was_removed(place: Place) -> None:
    path = place.path / "d"
    path.mkdir()
    here = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        path.rmdir()
        assert refused(lambda: os.mkdir("e", dir_fd=here)) in (errno.ENOENT, errno.ESTALE)
        assert refused(lambda: os.open("f", os.O_WRONLY | os.O_CREAT, dir_fd=here)) in (errno.ENOENT, errno.ESTALE)
    finally:
        os.close(here)


def test_a_directory_in_s3_is_removed_with_leave_when_nothing_else_is_in_it(free: Place) -> None:
    """S74: the marker goes."""
    free.put("full/f", b"x")
    assert refused((free.path / "full").rmdir) == errno.ENOTEMPTY
    free.put("marked/", b"")
    (free.path / "marked").rmdir()
    assert not free.has("marked/")
    assert free.has("full/f")


def test_a_marker_stays_without_leave(place: Place) -> None:
    """S74: without leave."""
    place.put("marked/", b"")
    assert refused((place.path / "marked").rmdir) == errno.EPERM
    assert place.has("marked/")


def test_deleting_needs_leave(place: Place) -> None:
    """S73: without it."""
    place.put("f", b"x")
    assert refused((place.path / "f").unlink) == errno.EPERM
    assert refused((place.path / "none").unlink) == errno.ENOENT
    assert place.has("f")


def test_a_deleted_file_is_gone_here_and_in_s3_and_can_be_made_again(free: Place) -> None:
    path = free.path / "f"
    path.write_bytes(b"one")
    path.unlink()
    assert not free.has("f")
    assert not path.exists()
    assert refused(path.unlink) == errno.ENOENT
    path.write_bytes(b"two")
    assert path.read_bytes() == b"two"
    free.put("d/x", b"")
    assert refused((free.path / "d").unlink) in (errno.EISDIR, errno.EPERM)


def test_a_file_being_written_is_deleted_only_after_it_is_closed(free: Place) -> None:
    """S73: closed first."""
    path = free.path / "f"
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    assert refused(path.unlink) == errno.EPERM
    os.write(file, b"x")
    assert refused(path.unlink) == errno.EPERM
    os.close(file)
    path.unlink()
    assert not free.has("f")


def test_a_file_touched_and_deleted_at_once_is_gone(free: Place) -> None:
    for _ in range(5):
        _sh(free, "touch f && rm f")
        assert not (free.path / "f").exists()
    assert not free.has("f")


def test_a_reader_of_a_deleted_file_gets_the_end_of_what_was_fetched_and_then_eio(free: Place) -> None:
    free.put("f", os.urandom(40 * 1024 * 1024))
    with (free.path / "f").open("rb", buffering=0) as file:
        assert len(file.read(4096)) == 4096
        (free.path / "f").unlink()
        assert refused(lambda: os.pread(file.fileno(), 4096, 39 * 1024 * 1024)) == errno.EIO


def test_unlink_of_what_was_looked_up_costs_one_request(able_server: S3Server) -> None:
    bucket = able_server.bucket()
    able_server.put(bucket, "f", b"x")
    with Mounted(able_server, bucket, allow_delete=True) as mounted:
        (mounted.path / "f").unlink()
        requests = mounted.stop()["s3_requests"]
    assert requests["DeleteObject"] == 1
    assert requests["HeadObject"] == 1
    assert requests["ListObjectsV2"] == 1 + 1, "preflight and lookup"


def test_renaming_is_copying_and_deleting_where_that_is_allowed(free: Place) -> None:
    """S75: files and trees."""
    (free.path / "a").write_bytes(b"x")
    assert refused(lambda: os.rename(free.path / "a", free.path / "b")) == errno.EXDEV
    _sh(free, "mv a b")
    assert free.content("b") == b"x"
    assert not free.has("a")
    _sh(free, "mkdir d; echo 1 > d/1; mkdir d/e; echo 2 > d/e/2; mv d moved")
    assert sorted(key for key in free.stored() if key.startswith(("d/", "moved/"))) == ["moved/1", "moved/e/2"]


def test_renaming_is_refused_where_deleting_is(place: Place) -> None:
    """S75: without leave to delete."""
    place.put("a", b"x")
    assert refused(lambda: os.rename(place.path / "a", place.path / "b")) == errno.EPERM
    assert subprocess.run(["mv", "a", "b"], cwd=place.path, capture_output=True).returncode != 0
    assert place.has("a")


def test_files_can_not_be_exchanged(free: Place) -> None:
    free.put("a", b"1")
    free.put("b", b"2")
    run = subprocess.run(["mv", "--exchange", "a", "b"], cwd=free.path, capture_output=True, check=False)
    assert run.returncode != 0
    assert (free.content("a"), free.content("b")) == (b"1", b"2")


def test_links_and_devices_are_refused(place: Place) -> None:
    """S77: each kind."""
    place.put("f", b"x")
    assert refused(lambda: os.link(place.path / "f", place.path / "g")) == errno.EPERM
    assert refused(lambda: (place.path / "g").symlink_to("f")) == errno.EPERM
    assert refused(lambda: os.mkfifo(place.path / "g")) == errno.EINVAL


def test_modes_owners_and_times_of_objects_stay(place: Place) -> None:
    """S76: each verb."""
    place.put("f", b"x")
    path = place.path / "f"
    for call in (
        lambda: path.chmod(0o600),
        lambda: os.chown(path, 1, 1),
        lambda: os.utime(path),
        lambda: os.truncate(path, 0),
        lambda: place.path.chmod(0o700),
    ):
        assert refused(call) == errno.EPERM
    assert place.content("f") == b"x"


def test_times_of_directories_are_kept_here(place: Place, tmp_path: Path) -> None:
    """S15, S76: so that trees are copied and unpacked without complaints; of the mount's own directory, too."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_bytes(b"x")
    os.utime(tmp_path / "d", (10**9, 10**9))
    copied = subprocess.run(["cp", "-a", tmp_path / "d", place.path], capture_output=True, text=True)
    assert (copied.returncode, copied.stderr) == (0, "")
    assert place.has("d/f")
    eventually(lambda: (place.path / "d").stat().st_mtime == 10**9)
    for directory in (place.path, place.mounted.path):
        os.utime(directory, (2 * 10**9, 10**9))
        found = directory.stat()
        assert (found.st_atime, found.st_mtime) == (2 * 10**9, 10**9)


def test_setting_what_is_so_already_succeeds(place: Place, tmp_path: Path) -> None:
    """S76: as copying programs do."""
    (tmp_path / "source").write_bytes(b"x")
    (tmp_path / "source").chmod(0o644)
    shutil.copy(tmp_path / "source", place.path / "f")
    os.chown(place.path / "f", 0, 0)
    place.path.chmod(0o755)
    assert refused(lambda: os.chown(place.path / "f", 0, 1)) == errno.EPERM


def test_a_tree_is_copied_and_removed(free: Place, tmp_path: Path) -> None:
    source = tmp_path / "source"
    for number in range(12):
        file = source / f"d{number % 3}" / f"e{number % 2}" / f"f{number}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes([number]) * number * 1000)
    (source / "empty").mkdir()

    subprocess.run(["cp", "-r", str(source), "copy"], cwd=free.path, check=True)
    assert subprocess.run(["diff", "-r", str(source), "copy"], cwd=free.path).returncode == 0
    assert sum(key.startswith("copy/") for key in free.stored()) == 12
    _sh(free, "rm -r copy")
    assert not (free.path / "copy").exists()
    assert not any(key.startswith("copy/") for key in free.stored())


def test_an_archive_is_unpacked_and_packed(free: Place, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for number in range(6):
        (tmp_path / "d" / f"f{number}").write_bytes(os.urandom(number * 3000))
    archive = tmp_path / "a.tar"
    subprocess.run(["tar", "cf", archive, "-C", tmp_path, "d"], check=True)
    subprocess.run(["tar", "xf", archive], cwd=free.path, check=True)
    assert subprocess.run(["diff", "-r", tmp_path / "d", "d"], cwd=free.path).returncode == 0
    _sh(free, "tar cf packed.tar d")
    assert subprocess.run(["tar", "df", "packed.tar"], cwd=free.path).returncode == 0


def test_rm_r_ends_well_though_directories_vanish_with_their_last_file(free: Place) -> None:
    """S74: however long a machine takes."""
    for number in range(30):
        free.put(f"d/{number % 3}/{number % 5}/{number}", b"x")
    # Seconds between emptying a directory and removing it: as long as the kernel believes that it is there, and longer.
    _sh(free, "ls -R d > /dev/null; find d -type f -delete; sleep 1.5; rmdir d/0/0 && rm -r d")
    assert not (free.path / "d").exists()
    assert [key for key in free.stored() if key.startswith("d/")] == []


def test_a_listing_shows_what_is_being_written_in_its_place(place: Place) -> None:
    for name in ("a", "c", "e-x", "g/x"):
        place.put(name, b"x")
    files = [(place.path / name).open("wb") for name in ("b", "d", "e", "z")]
    (place.path / "f").mkdir()
    expected = [".here", "a", "b", "c", "d", "e", "e-x", "f", "g", "z"]
    assert [entry.name for entry in os.scandir(place.path)] == expected
    for file in files:
        file.write(b"now in S3")
        file.close()
    assert [entry.name for entry in os.scandir(place.path)] == expected
    assert [entry.stat().st_size for entry in os.scandir(place.path) if entry.name in "bdez"] == [9] * 4


@pytest.mark.not_on("versitygw", "objects are files, so that none is below another")
def test_a_directory_in_s3_hides_a_file_being_written_and_its_upload_goes_on(place: Place) -> None:
    """S78: and the file comes back with the directory's end."""
    path = place.path / "f"
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.write(file, b"one ")
    place.put("f/x", b"")
    eventually(lambda: stat.S_ISDIR(path.stat().st_mode))
    os.write(file, b"two")
    assert os.fstat(file).st_size == 7
    os.close(file)
    assert place.content("f") == b"one two"
    assert os.listdir(place.path) == [".here", "f"]
    assert os.listdir(path) == ["x"]
    place.delete("f/x")
    eventually(path.is_file)
    assert path.read_bytes() == b"one two"


def test_a_directory_made_here_stays_one_when_an_object_of_its_name_appears(place: Place) -> None:
    """S78: directories."""
    path = place.path / "d"
    path.mkdir()
    place.put("d", b"object")
    time.sleep(1.2)
    assert path.is_dir()
    assert sorted(os.listdir(place.path)) == [".here", "d"]
    path.rmdir()
    eventually(path.is_file)
    assert path.read_bytes() == b"object"


def test_a_file_being_written_hides_an_object_that_appears_by_its_name(place: Place) -> None:
    """S78: files."""
    path = place.path / "f"
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.write(file, b"mine")
    place.put("f", b"another's")
    time.sleep(0.3)
    assert path.stat().st_size == 4
    assert sorted(os.listdir(place.path)) == [".here", "f"]
    os.close(file)
    assert place.content("f") == b"mine"


def test_inode_numbers_stay_while_a_file_is_written_and_uploaded(place: Place) -> None:
    path = place.path / "f"
    with path.open("wb") as file:
        number = os.fstat(file.fileno()).st_ino
        file.write(b"x")
    assert path.stat().st_ino == number
    time.sleep(0.3)
    assert path.stat().st_ino == number, "S3's answer is what we have sent"


def test_with_a_ttl_what_was_made_and_removed_here_is_known_without_asking(able_server: S3Server) -> None:
    bucket = able_server.bucket()
    with Mounted(able_server, bucket, metadata_ttl=300, allow_delete=True, allow_overwrite=True) as mounted:
        path = mounted.path / "f"
        assert not path.exists()
        path.write_bytes(b"one")
        assert path.stat().st_size == 3
        assert path.read_bytes() == b"one"
        path.write_bytes(b"other")
        assert path.read_bytes() == b"other"
        path.unlink()
        assert not path.exists()
        assert os.listdir(mounted.path) == []
        path.write_bytes(b"again")
        assert path.read_bytes() == b"again"
        assert os.listdir(mounted.path) == ["f"]


def test_a_name_seen_missing_under_a_ttl_is_made_all_the_same(able_server: S3Server) -> None:
    bucket = able_server.bucket()
    with Mounted(able_server, bucket, metadata_ttl="indefinite") as mounted:
        (mounted.path / "d").mkdir()
        assert not (mounted.path / "d" / "f").exists()
        (mounted.path / "d" / "f").write_bytes(b"x")
        assert (mounted.path / "d" / "f").read_bytes() == b"x"
        assert os.listdir(mounted.path / "d") == ["f"]


def test_everything_that_changes_is_refused_where_only_reading_is_asked_for(able_server: S3Server) -> None:
    bucket = able_server.bucket()
    with Mounted(able_server, bucket, read_only=True, allow_delete=True, allow_overwrite=True) as mounted:
        assert refused(lambda: (mounted.path / "f").write_bytes(b"x")) == errno.EROFS
        assert refused((mounted.path / "d").mkdir) == errno.EROFS
