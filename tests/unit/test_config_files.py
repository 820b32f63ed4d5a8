"""Files that are no configuration: unreadable, not text, not TOML, hostile. Always a problem, never a traceback."""

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mountctl.config.findings import PROBLEMS_MAX
from mountctl.config.load import load
from mountctl.config.read import DROP_INS_MAX, FILE_BYTES_MAX, INTEGER_DIGITS_MAX, KEY_PARTS_MAX
from mountctl.errors import ConfigError, Problem

NO_FILE = "no such file: write it, or name another with --config"


def _problems(path: Path) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        load(path)
    return caught.value.problems


def _only(path: Path, source: bytes | str) -> Problem:
    path.write_bytes(source if isinstance(source, bytes) else source.encode())
    (problem,) = _problems(path)
    return problem


def test_a_missing_file_is_told_with_how_to_mend_it(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    assert [str(problem) for problem in _problems(path)] == [f"{path}: {NO_FILE}"]


def test_a_missing_file_does_not_hide_errors_in_drop_ins(tmp_path: Path) -> None:
    (tmp_path / "m.d").mkdir()
    (tmp_path / "m.d" / "1.toml").write_text("[defaults]\nuid = 0\n")
    assert [problem.key for problem in _problems(tmp_path / "m.toml")] == ["", "defaults.uid"]


def test_a_directory_is_told(tmp_path: Path) -> None:
    assert [problem.reason for problem in _problems(tmp_path)] == ["a directory, not a file: name the file in it"]


def test_what_is_no_regular_file_is_told_and_not_waited_for(tmp_path: Path) -> None:
    fifo = tmp_path / "m.toml"
    os.mkfifo(fifo)
    told = "not a regular file: a configuration is a file that can be read again and again"
    assert [problem.reason for problem in _problems(fifo)] == [told]
    assert [problem.reason for problem in _problems(Path("/dev/zero"))] == [told]


def test_a_socket_cannot_be_read(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "m.toml"))
        assert [problem.reason for problem in _problems(tmp_path / "m.toml")] == [
            "can't be read: No such device or address"
        ]


def test_a_link_that_goes_in_circles_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.symlink_to(path)
    assert [problem.reason for problem in _problems(path)] == ["can't be read: Too many levels of symbolic links"]


@pytest.mark.parametrize("name", ["\0", "a\nb", "ü", "\udcff", "/", ".", ".."])
def test_a_strange_name_is_one_printable_line(tmp_path: Path, name: str) -> None:
    for problem in _problems(tmp_path / name):
        told = str(problem)
        assert told.isprintable()
        assert told.encode().decode() == told


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not read")
def test_a_file_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.touch(0o600)
    path.with_suffix(".d").mkdir(0o700)
    for directory in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        directory.chmod(0o755)
    nobody = 65534
    os.seteuid(nobody)
    try:
        problems = _problems(path)
    finally:
        os.seteuid(0)
    assert [(problem.file, problem.reason) for problem in problems] == [
        (path, "permission denied: run as root, or let this user read it"),
        (path.with_suffix(".d"), "permission denied: run as root, or let this user read it"),
    ]


def test_drop_ins_that_are_no_directory_are_told(tmp_path: Path) -> None:
    (tmp_path / "m.d").touch()
    problem = _only(tmp_path / "m.toml", "")
    assert problem.file == tmp_path / "m.d"
    assert problem.reason == "not a directory: drop-ins are *.toml files in a directory of this name"


def test_a_directory_and_a_dangling_link_among_the_drop_ins_are_told(tmp_path: Path) -> None:
    (tmp_path / "m.d" / "1.toml").mkdir(parents=True)
    (tmp_path / "m.d" / "2.toml").symlink_to("nowhere")
    (tmp_path / "m.toml").touch()
    assert [problem.reason for problem in _problems(tmp_path / "m.toml")] == [
        "a directory, not a file: name the file in it",
        NO_FILE,
    ]


def test_too_many_drop_ins_are_told(tmp_path: Path) -> None:
    (tmp_path / "m.d").mkdir()
    for number in range(DROP_INS_MAX + 1):
        (tmp_path / "m.d" / f"{number}.toml").touch()
    problem = _only(tmp_path / "m.toml", "")
    assert problem.reason == "257 drop-ins are more than 256: join them into fewer files"


@pytest.mark.parametrize(
    ("source", "place", "reason"),
    [
        ("a = 1\na = 2", (2, 6), "not TOML: this key is set twice in its table: keep one"),
        ("a.b = 1\n[a.b]\n", (2, 5), "not TOML: this key is set twice in its table: keep one"),
        ("[x]\n[x]\n", (2, 3), "not TOML: table [x] is declared twice: keep one header"),
        ("[x.y]\n\n[x.y]\n", (3, 5), "not TOML: table [x.y] is declared twice: keep one header"),
        ('["it\'s".x]\n[y]\n["it\'s".x]\n', (3, 10), 'not TOML: table ["it\'s".x] is declared twice: keep one header'),
        ('a = "x\n', (1, 7), "not TOML: illegal character '\\n'"),
        ('a = "x', (1, 7), "not TOML: a string has no closing quote"),
        (
            "\n\na = yes\n",
            (3, 5),
            "not TOML: not a value of TOML: strings need quotes, and true and false are in lower case",
        ),
        ("\n= 1\n", (2, 1), "not TOML: neither KEY = VALUE nor [TABLE]"),
        ("a\n", (1, 2), "not TOML: a key needs '=' and a value behind it"),
        ("[a\n", (1, 3), "not TOML: expected ']' at the end of a table declaration"),
        ("a = 1 b = 2\n", (1, 7), "not TOML: expected newline or end of document after a statement"),
        ("\0", (1, 1), "not TOML: neither KEY = VALUE nor [TABLE]"),
        ('a = "\0"\n', (1, 6), "not TOML: illegal character '\\x00'"),
        (b"a = 1\nb = '\xc3\xa4\xff'\n", (2, 7), "not UTF-8: byte 0xff at offset 13; save the file as UTF-8"),
        ("a = 1".encode("utf-16"), (1, 1), "not UTF-8: byte 0xff at offset 0; save the file as UTF-8"),
        ("a = 1".encode("utf-8-sig"), (1, 1), "starts with a byte order mark: save the file as UTF-8 without it"),
        ("\na = " + "9" * (INTEGER_DIGITS_MAX + 1), (2, 5), "not TOML: a number is too large"),
        ("\n" + ".".join("a" * (KEY_PARTS_MAX + 1)) + " = 1", (2, 1), "a key has more than 16 parts"),
        ("\n[[" + " . ".join(['"."'] * (KEY_PARTS_MAX + 1)) + "]]", (2, 1), "a key has more than 16 parts"),
        ("a = " + "[" * 100_000, (None, None), "nested deeper than any configuration needs: options are plain values"),
    ],
)
def test_what_is_not_toml_is_told_with_its_place(
    tmp_path: Path, source: str | bytes, place: tuple[int | None, int | None], reason: str
) -> None:
    problem = _only(tmp_path / "m.toml", source)
    assert (problem.reason, (problem.line, problem.column)) == (reason, place)


def test_a_file_of_the_largest_size_is_read_and_one_byte_more_is_told(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_bytes(b"#" * FILE_BYTES_MAX)
    assert load(path).mounts == {}
    problem = _only(path, b"#" * (FILE_BYTES_MAX + 1))
    assert problem.reason == "larger than 1048576 bytes (1 MiB), which no configuration needs: is it the right file?"


def test_a_key_of_as_many_parts_as_allowed_is_an_unknown_key_only(tmp_path: Path) -> None:
    assert _only(tmp_path / "m.toml", ".".join("x" * KEY_PARTS_MAX) + " = 1\n").key == "x"


def test_errors_without_end_are_told_up_to_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_text("[mount.a]\n" + "".join(f"nonsense{number} = 1\n" for number in range(PROBLEMS_MAX + 1)))
    problems = _problems(path)
    assert len(problems) == PROBLEMS_MAX + 1
    assert problems[0].line == 2
    assert problems[-1].reason == "more than 1000 errors: the rest is not told"


def test_long_values_are_shortened_in_messages(tmp_path: Path) -> None:
    text = f'[mount.{"n" * 9000}]\nprefix = "{"x" * 9000}"\n{"k" * 9000} = 1\nread-only = "{"y" * 9000}"\n'
    (tmp_path / "m.toml").write_text(text)
    for problem in _problems(tmp_path / "m.toml"):
        assert len(problem.key) < 200
        assert len(problem.reason) <= 400


def test_a_large_array_is_told_as_one_wrong_value(tmp_path: Path) -> None:
    text = '[mount.a]\nbucket = "bbb"\nmountpoint = "/a"\nregion = [' + "1," * 20_000 + "]\n"
    problem = _only(tmp_path / "m.toml", text)
    assert str(problem).endswith("m.toml:4:1: mount.a.region: must be a string, not an array")


SAMPLE = b"""\
# every kind of thing that TOML has, and of ours
[supervisor]
[defaults]
region = "eu-west-1"
metadata-ttl = 60
[mount.a]
bucket = 'bucket-a'
mountpoint = "/mnt/a"
dir-mode = 0o755
uid = 0x10
[mount."b.c"]
bucket = "\\u0062ucket"
mountpoint = "/mnt/b"
prefix = '''
x/'''
[[other]]
x = [1, {y = 1979-05-27T07:32:00Z}, 1e9]
"""

_TOKENS = (
    rb"""[ ] [[ = " ' ''' . { } , \ mount defaults [mount.a] uid=1 name mount.a.uid=1 inf true 1979-02-30""".split()
)
_pieces = st.sampled_from([*_TOKENS, b"\n", b"\r\n", b"\0", b"\xff", b"\xc3\xa4", b"9" * 5000])
_edits = st.tuples(st.integers(0, len(SAMPLE)), st.integers(0, 12), _pieces | st.binary(max_size=3))


def _loads_or_tells(path: Path) -> None:
    """The one promise about any input: a Config, or problems with places inside the file."""
    lines = path.read_bytes().count(b"\n") + 1
    try:
        config = load(path)
    except ConfigError as error:
        problems = error.problems
    else:
        assert config.files == (path,)
        return
    assert problems
    for problem in problems:
        assert problem.reason
        assert problem.line is None or 1 <= problem.line <= lines
        assert "Input should" not in problem.reason
        assert str(problem).isprintable()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config-fuzz") / "m.toml"


@given(source=st.binary(max_size=300) | st.text(max_size=200).map(lambda text: text.encode(errors="replace")))
@settings(max_examples=200, deadline=None)
def test_random_bytes_load_or_are_told(scratch: Path, source: bytes) -> None:
    scratch.write_bytes(source)
    _loads_or_tells(scratch)


@given(edits=st.lists(_edits, min_size=1, max_size=6))
@settings(max_examples=150, deadline=None)
def test_a_mutated_configuration_loads_or_is_told(scratch: Path, edits: list[tuple[int, int, bytes]]) -> None:
    source = SAMPLE
    for at, length, piece in edits:
        source = source[:at] + piece + source[at + length :]
    scratch.write_bytes(source)
    _loads_or_tells(scratch)


_keys = st.sampled_from(
    [
        "bucket",
        "mountpoint",
        "prefix",
        "region",
        "uid",
        "dir-mode",
        "metadata-ttl",
        "read-only",
        "endpoint-url",
        "name",
        "x",
    ]
)
_NUMBERS = ["1", "-1", "1.5", "nan", "inf", "1e999", "0x" + "f" * 40, "9" * 4000]
_STRINGS = ['""', '"x"', '"/x/"', '"x/"', '"0755"', '"minimal"', '"\\u0000"', '"\\ud7ff/"', '"/\\t"']
_OTHERS = ["true", "[]", "{}", "{a.b.c=1}", "1979-05-27", "07:32:00", "1979-05-27T07:32:00"]
_scalars = st.sampled_from([*_NUMBERS, *_STRINGS, *_OTHERS])


@given(
    tables=st.dictionaries(
        st.sampled_from(["supervisor", "defaults", "mount.a", 'mount."b c"', "mount.a.x", "mount", "other"]),
        st.dictionaries(_keys, _scalars, max_size=6),
        max_size=5,
    )
)
@settings(max_examples=150, deadline=None)
def test_any_value_at_any_key_loads_or_is_told(scratch: Path, tables: dict[str, dict[str, str]]) -> None:
    text = "".join(f"[{name}]\n" + "".join(f"{k} = {v}\n" for k, v in table.items()) for name, table in tables.items())
    scratch.write_text(text)
    _loads_or_tells(scratch)
