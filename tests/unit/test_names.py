"""Which components of keys can be names of files, and how locations and prefixes are made of keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InvalidName
from engine.namespace.names import NAME_BYTES_MAX, decode, name_in, parent_prefix, problem


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b", "\ud800", "x" * (NAME_BYTES_MAX + 1)])
def test_a_component_that_no_path_can_have_is_told_with_a_reason(name: str) -> None:
    assert problem(name)


@pytest.mark.parametrize(
    "name", ["...", " ", "a b", "%2F", "+", "\n", "\\", "ü", "\U0001f600", ".hidden", "x" * NAME_BYTES_MAX]
)
def test_an_odd_component_is_a_name_as_it_is(name: str) -> None:
    assert problem(name) is None
    assert decode(name.encode()) == name


@pytest.mark.parametrize("name", [b"\xff", b"a\xc3", b".", b"..", b"", b"a/b", b"x" * (NAME_BYTES_MAX + 1)])
def test_a_name_from_the_kernel_that_no_key_can_have_is_invalid(name: bytes) -> None:
    with pytest.raises(InvalidName):
        decode(name)


def test_a_name_of_many_bytes_in_few_characters_is_measured_in_bytes() -> None:
    assert problem("ü" * (NAME_BYTES_MAX // 2)) is None
    assert problem("ü" * (NAME_BYTES_MAX // 2 + 1))


@given(st.text(alphabet="a/.-", max_size=6), st.text(alphabet="ab.-+ ", min_size=1, max_size=4))
def test_a_directory_and_a_file_of_one_name_have_one_component(directory: str, name: str) -> None:
    prefix = directory + "/" if directory else ""

    assert name_in(prefix, prefix + name) == name_in(prefix, prefix + name + "/") == name
    assert parent_prefix(prefix + name) == prefix


def test_the_component_of_a_key_with_two_slashes_is_empty() -> None:
    assert name_in("a/", "a//") == ""
    assert problem(name_in("a/", "a//"))
