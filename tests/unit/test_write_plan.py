"""How large parts are, how many writers there may be, and what a name says of its content."""

import pytest

from engine.errors import TooManyWriters
from engine.s3.interface import OBJECT_BYTES_MAX, PART_BYTES_MAX, PARTS_MAX
from engine.spec import MiB, MountSpec
from engine.write.budget import Budget, next_size, writers_max
from engine.write.options import content_type, upload_options
from engine.write.plan import PartPlan


@pytest.mark.parametrize("base", [5 * MiB, 8 * MiB, 8 * MiB + 1, 100 * MiB, 600 * MiB, PART_BYTES_MAX])
def test_ten_thousand_parts_hold_five_tebibytes_from_any_base(base: int) -> None:
    plan = PartPlan(base)
    sizes = [plan.part_bytes(number) for number in range(1, PARTS_MAX + 1)]
    assert sum(sizes) >= OBJECT_BYTES_MAX
    assert sizes == sorted(sizes)
    assert sizes[0] == base
    assert sizes[-1] <= PART_BYTES_MAX


def test_the_first_fifteen_gibibytes_take_parts_as_they_were_asked_for() -> None:
    plan = PartPlan(8 * MiB)
    assert {plan.part_bytes(number) for number in range(1, 2001)} == {8 * MiB}
    assert plan.part_bytes(2001) > 8 * MiB
    assert plan.part_bytes(PARTS_MAX) < 1400 * MiB


def test_parts_that_are_large_enough_already_do_not_grow() -> None:
    plan = PartPlan(600 * MiB)
    assert plan.part_bytes(PARTS_MAX) == 600 * MiB


@pytest.mark.parametrize(
    ("memory", "read_part", "write_part", "expected"),
    [
        (512, 8, 8, 47),
        (2048, 8, 8, 223),
        (4096, 8, 8, 447),
        (512, 8, 5, 75),
        (512, 8, 5 * 1024, 0),
        (64, 8, 8, 5),
        (16, 8, 8, 1),
        (16, 8, 16, 0),
    ],
)
def test_memory_decides_how_many_may_write(memory: int, read_part: int, write_part: int, expected: int) -> None:
    assert writers_max(memory * MiB, read_part=read_part * MiB, write_part=write_part * MiB) == expected


def test_a_writer_beyond_the_last_is_refused_until_one_ends() -> None:
    budget = Budget(writers=2, part_slots=8)
    first, _second = budget.reserve(), budget.reserve()
    with pytest.raises(TooManyWriters, match="2 files"):
        budget.reserve()
    first.release()
    first.release()
    budget.reserve()
    with pytest.raises(TooManyWriters):
        budget.reserve()


def test_no_memory_for_one_part_means_no_writer() -> None:
    with pytest.raises(TooManyWriters):
        Budget(writers=0, part_slots=8).reserve()


def test_a_growing_writer_leaves_room_for_others_and_gives_it_back() -> None:
    budget = Budget(writers=8, part_slots=8)
    large = budget.reserve()
    assert large.resize(48)
    assert not large.resize(49), "a quarter of 64 is left to others"
    others = [budget.reserve(), budget.reserve()]
    with pytest.raises(TooManyWriters):
        budget.reserve()
    assert large.resize(1)
    assert large.slots == 8, "never below what every writer has"
    others += [budget.reserve() for _ in range(5)]
    large.release()
    assert budget.reserve().slots == 8


@pytest.mark.parametrize(("memory", "tebibytes"), [(64, 0.24), (512, 1.9), (1024, 3.8), (2048, 5.0)])
def test_the_largest_file_depends_on_memory_where_its_parts_do_not_fit(memory: int, tebibytes: float) -> None:
    """S80: one writer, nothing else in memory."""
    plan = PartPlan(8 * MiB)
    writers = writers_max(memory * MiB, read_part=8 * MiB, write_part=8 * MiB)
    reservation = Budget(writers=writers, part_slots=8).reserve()
    total = sum(next_size(plan, reservation, number) for number in range(1, PARTS_MAX + 1))
    assert min(total, OBJECT_BYTES_MAX) / 1024**4 == pytest.approx(tebibytes, rel=0.03)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("a/b.png", "image/png"),
        ("a.b/c", None),
        ("noext", None),
        ("x.unheard-of", None),
        ("data:a.html", "text/html"),
        ("page.HTML", "text/html"),
        ("archive.tar.gz", "application/gzip"),
        ("dump.sql.xz", "application/x-xz"),
    ],
)
def test_the_extension_tells_the_content_type(key: str, expected: str | None) -> None:
    assert content_type(key) == expected


def test_the_mounts_options_reach_each_upload() -> None:
    spec = MountSpec(
        name="m",
        bucket="bucket",
        mountpoint="/mnt",
        storage_class="STANDARD_IA",
        sse="aws:kms",
        sse_kms_key_id="arn:aws:kms:eu-west-1:1:key/abc",
        upload_checksums="crc64nvme",
        infer_content_type=True,
    )
    options = upload_options(spec, "a.json")
    assert (options.storage_class, options.sse, options.sse_kms_key_id) == (
        "STANDARD_IA",
        "aws:kms",
        "arn:aws:kms:eu-west-1:1:key/abc",
    )
    assert (options.checksum_algorithm, options.content_type) == ("crc64nvme", "application/json")
    plain = upload_options(MountSpec(name="m", bucket="bucket", mountpoint="/mnt"), "a.json")
    assert (plain.storage_class, plain.sse, plain.checksum_algorithm, plain.content_type) == (
        None,
        None,
        "crc32c",
        None,
    )
