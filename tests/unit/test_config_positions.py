"""Where keys are: the place that positions tell is the place where the key is written."""

from collections.abc import Iterator

import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from mountctl.config.positions import DEPTH_MAX, Positions


@pytest.mark.parametrize(
    ("source", "path", "place"),
    [
        ("a = 1\nb = 2\n", ("b",), (2, 1)),
        ("\n\n  [t]\n  k = 1\n", ("t",), (3, 3)),
        ("\n\n  [t]\n  k = 1\n", ("t", "k"), (4, 3)),
        ("a.b.c = 1\n", ("a", "b"), (1, 1)),
        ("a.b.c = 1\na.b.d = 2\n", ("a", "b", "d"), (2, 1)),
        ("a.b = 1\na.c = 2\n", ("a",), (1, 1)),
        ('[mount."a.b"]\nbucket = 1\n', ("mount", "a.b", "bucket"), (2, 1)),
        ("[mount.'a.b']\nbucket = 1\n", ("mount", "a.b", "bucket"), (2, 1)),
        ('"\\u0061" = 1\n', ("a",), (1, 1)),
        ("[ mount . a ]\n'k' = 1\n", ("mount", "a", "k"), (2, 1)),
        ("mount = {a = {k = 1, l = 2}}\n", ("mount", "a", "l"), (1, 22)),
        ("mount.a = {\n  k = 1,\n  l = 2,\n}\n", ("mount", "a", "l"), (3, 3)),
        ("a = [1, {k = 1}]\n", ("a", 1, "k"), (1, 10)),
        ("a = [\n# zero\n1, # one\n{k = 1}]\n", ("a", 1, "k"), (4, 2)),
        ("[[a]]\nk = 1\n[[a]]\nk = 2\n", ("a", 1, "k"), (4, 1)),
        ("[[a]]\n[a.s]\nk = 1\n[[a]]\n[a.s]\nk = 2\n", ("a", 1, "s", "k"), (6, 1)),
        ("[a.b]\n[a]\nk = 1\n", ("a",), (2, 1)),
        ("ä = 1\n", ("x",), (1, 1)),
        ('k = "ä" # é\n"ä".b = {"ü" = 1, x = 2}\n', ("ä", "b", "x"), (2, 19)),
        ("a = 1\r\nb = 2\r\n", ("b",), (2, 1)),
        ("[t]\n", ("t", "missing"), (1, 1)),
        ("x = 1\n[t]\n", ("t", "missing", "further"), (2, 1)),
        ("", ("a",), (1, 1)),
        ("a = 1\n", (), (1, 1)),
    ],
)
def test_a_key_is_where_it_is_written(source: str, path: tuple[str | int, ...], place: tuple[int, int]) -> None:
    assert Positions(source.encode()).of(path) == place


def test_a_path_deeper_than_the_limit_is_at_its_nearest_table() -> None:
    deep = ".".join("abcdefghij")
    path = tuple("abcdefghij")
    assert len(path) > DEPTH_MAX
    assert Positions(f"x = 1\n[{deep}]\nk = 1\n".encode()).of((*path, "k")) == (2, 1)


def test_deep_nesting_neither_overflows_the_stack_nor_remembers_all_of_it() -> None:
    positions = Positions(b"\n".join(b"k%d = " % i + b"{a = " * 300 + b"1" + b"}" * 300 for i in range(20)))
    assert ("k19", "a") in positions
    assert ("k19", *"a" * DEPTH_MAX) not in positions


_words = st.text(alphabet="abä.\"' \\", min_size=0, max_size=3)
_values = st.recursive(
    st.integers(0, 9), lambda inner: st.dictionaries(_words, inner, min_size=1, max_size=3), max_leaves=8
)


@given(st.dictionaries(_words, _values, max_size=5), st.booleans())
@settings(max_examples=150, deadline=None)
def test_every_key_of_a_valid_file_has_a_place_and_stands_there(tables: dict[str, object], inline: bool) -> None:
    source = "".join(_written(tables, inline=inline))
    assert tomli.loads(source) == tables
    positions = Positions(source.encode())
    for path in _paths(tables):
        assert path in positions
        line, column = positions.of(path)
        rest = source.split("\n")[line - 1][column - 1 :]
        last = path[-1] if rest[0] != "[" else path[0]
        assert rest.lstrip("[").startswith(_key(last))


@given(st.binary(max_size=200) | st.text(alphabet="[]{}=.\"'ab1#,\n \\u", max_size=80).map(str.encode))
@settings(max_examples=300, deadline=None)
def test_no_input_makes_it_fail(source: bytes) -> None:
    line, column = Positions(source).of(("a", "b"))
    assert 1 <= line <= source.count(b"\n") + 1
    assert column >= 1


def _key(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _written(tables: dict[str, object], *, inline: bool) -> Iterator[str]:
    headed = {}
    for key, value in tables.items():
        if isinstance(value, dict) and not inline:
            headed[key] = value
        else:
            yield f"{_key(key)} = {_value(value)}\n"
    for key, value in headed.items():
        yield f"[{_key(key)}]\n"
        yield from (f"  {_key(inner)} = {_value(item)}\n" for inner, item in value.items())


def _value(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_value(inner)}" for key, inner in value.items()) + "}"
    return str(value)


def _paths(tables: dict[str, object], base: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in tables.items():
        path = (*base, key)
        if len(path) <= DEPTH_MAX:
            yield path
            if isinstance(value, dict):
                yield from _paths(value, path)
