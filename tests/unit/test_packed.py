"""What S3 said of an object, packed: all of it comes back."""

import contextlib
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.namespace.packed import SIZE_MAX, checked, pack, same_version, size_and_time, unpack
from engine.s3.interface import ObjectInfo

_MD5 = '"0123456789abcdef0123456789abcdef"'
_ETAGS = st.sampled_from([_MD5, _MD5.upper(), _MD5.replace("a", " "), _MD5.strip('"'), f'{_MD5[:-1]}-12"', "", '""'])
_CLASSES = st.sampled_from(["STANDARD", "GLACIER", "DEEP_ARCHIVE", "GLACIER_IR", "SOMETHING_NEW", ""])
_INFOS = st.builds(
    ObjectInfo,
    key=st.just("d/f"),
    size=st.integers(0, SIZE_MAX),
    etag=_ETAGS | st.text().filter(lambda text: "\0" not in text),
    last_modified=st.floats(-(2.0**48), 2.0**48),
    storage_class=_CLASSES,
    restored=st.booleans(),
)


@given(_INFOS)
def test_what_was_packed_comes_back(info: ObjectInfo) -> None:
    packed = pack(info)

    assert unpack("d/f", checked(packed)) == info
    assert size_and_time(packed) == (info.size, info.last_modified, info.archived)


@given(_INFOS, _INFOS)
def test_a_version_is_its_etag_and_nothing_else(one: ObjectInfo, other: ObjectInfo) -> None:
    assert same_version(pack(one), pack(other)) is (one.etag == other.etag)


@pytest.mark.parametrize("etag", [_MD5, f'{_MD5[:-1]}-12"'])
def test_usual_objects_are_small(etag: str) -> None:
    assert len(pack(ObjectInfo("d/f", 5 << 40, etag, 1.7e9))) <= 15 + len(etag)


def test_the_most_usual_objects_take_64_bytes() -> None:
    assert sys.getsizeof(pack(ObjectInfo("d/f", 5 << 40, _MD5, 1.7e9))) <= 64


def test_sizes_that_s3_can_not_mean_are_no_errors_here() -> None:
    """They come from a journal that is garbage, and from nowhere else."""
    assert unpack("d/f", pack(ObjectInfo("d/f", 2**63, _MD5, 1.7e9))).size == SIZE_MAX


@given(st.binary(max_size=40))
def test_of_garbage_either_all_can_be_told_or_it_is_refused(garbage: bytes) -> None:
    with contextlib.suppress(ValueError):
        unpack("d/f", checked(garbage))
        int(size_and_time(garbage)[1])


@pytest.mark.parametrize("number", range(11, 15))
def test_a_storage_class_that_has_no_name_is_refused(number: int) -> None:
    packed = bytearray(pack(ObjectInfo("d/f", 1, "e", 1.7e9)))
    packed[14] |= number

    with pytest.raises(ValueError, match="storage class"):
        checked(bytes(packed))


@pytest.mark.parametrize("when", [float("nan"), float("inf"), float("-inf"), 1e300, -(2.0**60)])
def test_a_time_that_stat_can_not_show_is_refused(when: float) -> None:
    with pytest.raises(ValueError, match="time"):
        checked(pack(ObjectInfo("d/f", 1, "e", when)))
