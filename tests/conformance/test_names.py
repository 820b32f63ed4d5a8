"""Keys and paths: which key is which name, what hides what, and which names there are not."""

import errno
import os
import stat
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance.observed import ObservedMemory
from tests.conformance.sharing import Place, eventually

# The kernel's limit for a component (FUSE_NAME_MAX) is that of a whole key in S3, so no key's name is too long for it.
NAME_BYTES_MAX = 1024

FILE_AND_DIRECTORY = pytest.mark.not_on("versitygw", "objects are files, so that none is below another")


def _errno(path: object) -> int | None:
    """What stat(2) of a path fails with, None if it does not."""
    try:
        os.stat(os.fspath(path))  # type: ignore[call-overload]
    except OSError as error:
        return error.errno
    return None


def test_a_keys_slashes_alone_make_directories(place: Place) -> None:
    """S1: the components of a key are directories and, last, a file."""
    place.put("d/sub/hello", b"1")
    place.put("d-1/sub/hello", b"2")
    place.put("d.txt", b"3")

    assert sorted(place.names()) == ["d", "d-1", "d.txt"]
    assert place.names("d") == place.names("d-1") == ["sub"]
    assert (place.path / "d").is_dir()
    assert (place.path / "d/sub/hello").read_bytes() == b"1"
    assert (place.path / "d-1/sub/hello").read_bytes() == b"2"
    assert (place.path / "d.txt").read_bytes() == b"3"


def test_a_deep_path_is_found_without_having_been_listed(able_place: Place) -> None:
    """S1: each directory of a path is looked up by itself."""
    key = "/".join(f"level-{number}" for number in range(20))
    able_place.put(key, b"deep")
    assert (able_place.path / key).read_bytes() == b"deep"


def test_a_directory_is_there_as_long_as_keys_are_below_it(able_place: Place) -> None:
    """S3: the first key below makes a directory, the last that goes takes it along, with all above it."""
    able_place.put("stays", b"")
    assert _errno(able_place.path / "d") == errno.ENOENT
    able_place.put("d/e/one", b"1")
    able_place.put("d/e/two", b"2")
    assert (able_place.path / "d/e").is_dir()
    able_place.delete("d/e/one")
    assert able_place.names("d/e") == ["two"]
    able_place.delete("d/e/two")
    assert able_place.names() == ["stays"]


def test_a_marker_shows_an_empty_directory_and_hides_behind_a_full_one(able_place: Place) -> None:
    """S4: keys that end in a slash are directories and nothing else."""
    for key in ("blue/", "blue/image.jpg", "red/"):
        able_place.put(key)

    assert sorted(able_place.names()) == ["blue", "red"]
    assert able_place.names("blue") == ["image.jpg"]
    assert able_place.names("red") == []
    assert (able_place.path / "red").is_dir()
    able_place.delete("blue/image.jpg")
    assert able_place.names("blue") == [], "its marker keeps it"


@FILE_AND_DIRECTORY
def test_a_directory_hides_a_file_of_its_name_whatever_sorts_between_them(able_place: Place) -> None:
    """S5: also where other keys stand between the object `a` and the keys below `a/` in S3's order."""
    for key in ("a", "a b", "a-b", "a.b/c", "a/x", "a0"):
        able_place.put(key, key.encode())

    assert sorted(able_place.names()) == ["a", "a b", "a-b", "a.b", "a0"]
    assert (able_place.path / "a").is_dir()
    assert able_place.names("a") == ["x"]
    assert (able_place.path / "a/x").read_bytes() == b"a/x"


@FILE_AND_DIRECTORY
@pytest.mark.parametrize("how", ["listing", "lookup"])
def test_a_name_that_changes_its_kind_is_another_inode_each_time(able_place: Place, how: str) -> None:
    """S5: file, then directory, then file again, as the keys below it come and go."""
    path = able_place.path / "n"
    able_place.put("n", b"file")
    numbers = [_number(able_place, how, stat.S_ISREG)]
    able_place.put("n/x", b"x")
    numbers.append(_number(able_place, how, stat.S_ISDIR))
    assert able_place.names("n") == ["x"]
    able_place.delete("n/x")
    numbers.append(_number(able_place, how, stat.S_ISREG))
    assert path.read_bytes() == b"file"
    assert len(set(numbers)) == 3


def _number(place: Place, how: str, is_kind: Callable[[int], bool]) -> int:
    """The inode number of `n`, once it is of a kind: at once by a listing, else when the kernel asks again."""
    if how == "listing":
        assert place.names() == ["n"]
        assert is_kind((place.path / "n").stat().st_mode)
    else:
        eventually(lambda: is_kind((place.path / "n").stat().st_mode))
    return (place.path / "n").stat().st_ino


NAMES = [
    "with space",
    " leading and trailing ",
    "percent%20%2F%",
    "plus+and+more",
    "a&b=c;d,e",
    "question?mark#hash",
    "\"double\" and 'single'",
    "<tag>&amp;",
    "back\\slash",
    "tab\tand",
    "control\x01character",
    "~!@$^*()[]{}|`:",
    "...",
    ".hidden",
    "-rf",
    "مرحبًا",
    "こんにちは",
    "\U0001f1e6\U0001f1fa",
    "x" * 255,
    "\u00fc" * 127,
]


def _named(name: str) -> Any:
    unlisted = pytest.mark.not_on("versitygw", "its listings ignore encoding-type, and XML has no such character")
    return pytest.param(name, id=ascii(name)[:24], marks=[unlisted] if "\x01" in name else [])


@pytest.mark.parametrize("name", [_named(name) for name in NAMES])
def test_any_text_is_a_name(able_place: Place, name: str) -> None:
    """S7: as a file's name, as a directory's, listed, looked up and read."""
    able_place.put(name, b"file")
    able_place.put(f"d/{name}/{name}", b"inner")

    assert sorted(able_place.names()) == sorted(["d", name])
    assert (able_place.path / name).read_bytes() == b"file"
    assert able_place.names("d") == [name]
    assert able_place.names(f"d/{name}") == [name]
    assert (able_place.path / "d" / name / name).read_bytes() == b"inner"


def test_a_newline_is_part_of_a_name() -> None:
    """S7: in lookups and listings, as a file and as a directory."""
    names = ["two\nlines", "carriage\rreturn", "both\r\n"]
    with ObservedMemory([*names, *(f"d{name}/{name}" for name in names)]) as mounted:
        assert sorted(os.listdir(mounted.path)) == sorted([*names, *(f"d{name}" for name in names)])
        for name in names:
            assert (mounted.path / name).read_bytes() == name.encode()
            assert os.listdir(mounted.path / f"d{name}") == [name]


def test_names_differ_by_case_and_by_how_an_accent_is_written(able_place: Place) -> None:
    """S7: nothing is folded or normalised."""
    composed, decomposed = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    for name in ("A", "a", composed, decomposed):
        able_place.put(name, name.encode())
    assert sorted(able_place.names()) == sorted(["A", "a", composed, decomposed])
    for name in ("A", "a", composed, decomposed):
        assert (able_place.path / name).read_bytes() == name.encode()


@pytest.mark.not_on("versitygw", "a component of a key is a file name, of 255 bytes at most")
def test_a_name_as_long_as_a_key_can_be_is_listed_and_found(able_place: Place) -> None:
    """S7: beyond the 255 bytes that statfs tells, up to what S3 allows."""
    name = "n" * (NAME_BYTES_MAX - len(able_place.prefix))
    able_place.put(name, b"long")
    assert able_place.names() == [name]
    assert (able_place.path / name).read_bytes() == b"long"


@pytest.mark.not_on("versitygw", "it tidies keys as if they were paths, or refuses them")
def test_keys_without_a_path_are_left_out_and_do_not_disturb_the_others(able_place: Place) -> None:
    """S6: empty components, `.` and `..`, as files and as directories, at the start and in the middle."""
    for key in ("ok", "/lead", "a//b", "a/c", "b/./x", "b/../y", "c/.", "c/..", "d//", "./e"):
        able_place.put(key, b"x")

    assert sorted(able_place.names()) == ["a", "b", "c", "d", "ok"]
    assert able_place.names("a") == ["c"]
    assert able_place.names("b") == able_place.names("c") == able_place.names("d") == []
    assert (able_place.path / "ok").read_bytes() == b"x"


def test_a_name_that_is_not_utf8_is_invalid(place: Place) -> None:
    """S8: no key can have it, so it is not simply missing."""
    place.put("a")
    for name in (b"\xff\xfe", b"caf\xe9", b"\xed\xa0\x80"):
        assert _errno(bytes(place.path) + b"/" + name) == errno.EINVAL


def test_a_name_longer_than_any_key_is_too_long(place: Place) -> None:
    """S8: the kernel says so without asking anybody."""
    place.put("a")
    assert _errno(place.path / ("n" * (NAME_BYTES_MAX + 1))) == errno.ENAMETOOLONG


def test_what_is_not_there_is_missing_and_below_a_file_there_is_nothing(place: Place) -> None:
    """S9: each with the errno that local file systems give."""
    place.put("file", b"x")
    assert _errno(place.path / "missing") == errno.ENOENT
    assert _errno(place.path / "missing/below") == errno.ENOENT
    assert _errno(place.path / "file/below") == errno.ENOTDIR
    assert _errno(f"{place.path / 'file'}/") == errno.ENOTDIR
    with pytest.raises(NotADirectoryError):
        os.listdir(place.path / "file")
    with pytest.raises(IsADirectoryError):
        place.path.open("rb")
