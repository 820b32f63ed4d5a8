"""The files of uploads in the state directory: what is believed of them, and what becomes of one that is broken."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from mountctl.supervisor.uploads_file import FILE_BYTES_MAX, Begun, SessionUploads, UploadFiles

OWN = Path("/run/a b")


def noted(files: UploadFiles, **told: Any) -> SessionUploads:
    made = SessionUploads(machine=files.machine, boot=files.boot, mount="m", bucket="b")
    return made.model_copy(update={"uploads": {"id-1": Begun(key="k", since=1.0)}} | told)


def write(files: UploadFiles, token: str, uploads: SessionUploads) -> Path:
    files.write(files.path_of(token), uploads.model_dump_json().encode())
    return files.path_of(token)


def reopened(directory: Path, runtime_dir: Path = OWN) -> dict[Path, SessionUploads]:
    files = UploadFiles(directory, runtime_dir)
    try:
        return files.open()
    finally:
        files.close()


def opened(directory: Path, runtime_dir: Path = OWN) -> UploadFiles:
    files = UploadFiles(directory, runtime_dir)
    files.open()
    return files


def test_what_was_written_is_read_and_is_roots_alone(tmp_path: Path) -> None:
    files = opened(tmp_path / "state")
    uploads = noted(files, asked={"ü\n": 2.0}, endpoint_url="http://x", region="eu-west-1")
    path = write(files, "t", uploads)
    files.close()

    assert reopened(tmp_path / "state") == {path: uploads}
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_what_there_is_nothing_of_any_more_is_removed(tmp_path: Path) -> None:
    files = opened(tmp_path)
    path = write(files, "t", noted(files))
    files.write(path, None)
    files.write(path, None)
    files.close()

    assert reopened(tmp_path) == {}
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 100,
        b"\xff\xfe{",
        b"[]",
        b"[" * 100_000,
        b'{"machine": "", "boot": "", "mount": "m", "bucket": "b", "uploads": {"a": 3}}',
        b'{"machine": "", "boot": "", "mount": "m", "bucket": "b", "uploads": {"a": {"key": "\\ud800", "since": 1}}}',
    ],
)
def test_a_broken_file_is_told_and_the_others_are_read(
    tmp_path: Path, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    files = opened(tmp_path)
    good = write(files, "good", noted(files))
    files.path_of("broken").write_bytes(data)
    files.close()

    assert list(reopened(tmp_path)) == [good]
    assert "broken.json is broken" in caplog.text
    assert files.path_of("broken").read_bytes() == data


def test_a_torn_file_is_told_and_one_that_was_not_finished_is_removed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = opened(tmp_path)
    path = write(files, "t", noted(files))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    path.with_suffix(".new").write_bytes(whole[:10])
    files.close()

    assert reopened(tmp_path) == {}
    assert "t.json is broken" in caplog.text
    assert list(path.parent.iterdir()) == [path]


def test_a_huge_file_and_what_is_no_file_are_told_and_wait_for_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = opened(tmp_path)
    with files.path_of("huge").open("wb") as file:
        file.truncate(FILE_BYTES_MAX + 1)
    os.mkfifo(files.path_of("pipe"))
    files.path_of("directory").mkdir()
    files.path_of("link").symlink_to("huge.json")
    files.close()

    assert reopened(tmp_path) == {}
    for name in ("huge", "pipe", "directory", "link"):
        assert f"{name}.json" in caplog.text


def test_a_file_of_a_younger_version_is_read_without_what_is_not_understood(tmp_path: Path) -> None:
    files = opened(tmp_path)
    told = noted(files).model_dump() | {"moon": "full"}
    files.path_of("t").write_text(json.dumps(told))
    files.close()

    assert reopened(tmp_path) == {files.path_of("t"): noted(files)}


def test_another_supervisors_are_read_if_they_are_of_another_boot_and_another_hosts_never(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other, own = opened(tmp_path, Path("/run/other")), opened(tmp_path)
    write(other, "living", noted(other))
    before = write(other, "before", noted(other, boot="another"))
    write(other, "copied", noted(other, boot="another", machine="another"))
    write(own, "copied", noted(own, machine="another"))
    mine = write(own, "mine", noted(own))
    for files in (other, own):
        files.close()

    assert sorted(reopened(tmp_path)) == sorted([before, mine])
    assert "2 multipart uploads are another host's" in caplog.text


def test_two_supervisors_whose_runtime_directories_have_one_name_dont_share_files(tmp_path: Path) -> None:
    first = opened(tmp_path)
    second = UploadFiles(tmp_path, OWN)
    for _ in range(2):
        with pytest.raises(OSError, match="another supervisor"):
            second.open()
    first.close()
    second.open()
    second.close()
