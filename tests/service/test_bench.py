"""`mountctl bench NAME` on a real server: what it measures and counts, and that nothing of it stays."""

import json
import tempfile
from pathlib import Path

import pytest

from mountctl.commands.bench import BenchFailed, bench, lines
from mountctl.cost import Prices
from mountctl.measuring import Measured
from tests.servers import MotoServer
from tests.service.running import Running

MIB = 1 << 20


@pytest.fixture
def filled(moto: MotoServer) -> str:
    bucket = moto.bucket()
    moto.put(bucket, "large", bytes(3 * MIB))
    for number in range(40):
        moto.put(bucket, f"d/{number}", b"content")
    return bucket


def _keys(moto: MotoServer, bucket: str) -> set[str]:
    return {each["Key"] for each in moto.boto.list_objects_v2(Bucket=bucket)["Contents"]}


def test_reading_and_writing_are_measured_and_nothing_is_left(running: Running, moto: MotoServer, filled: str) -> None:
    running.configure(moto, a={"bucket": filled, "allow_delete": True})
    before, temporary = _keys(moto, filled), set(Path(tempfile.gettempdir()).glob("mountctl-bench-*"))
    # Each part ends when there is no more to do, long before its share of the time.
    done = running.run("bench", "a", "--write", "--seconds", "120", "--size", "6", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    for what in ("list_names_per_second", "first_byte_ms", "read_mb_per_second", "write_mb_per_second"):
        assert told[what] > 0, what
    assert told["listed"] == 41
    assert {"ListObjectsV2", "GetObject", "PutObject", "DeleteObject"} <= told["requests"].keys()
    assert (told["cost"], told["currency"]) == (None, None)
    assert told["left"] == ""
    assert _keys(moto, filled) == before
    assert set(Path(tempfile.gettempdir()).glob("mountctl-bench-*")) <= temporary


@pytest.mark.parametrize(("options", "why"), [({"read_only": True}, "read-only"), ({}, "no allow-delete")])
def test_nothing_is_written_where_it_could_not_be_cleaned_up(
    running: Running, moto: MotoServer, options: dict[str, bool], why: str
) -> None:
    running.configure(moto, a={"bucket": "never-asked", **options})
    with pytest.raises(BenchFailed, match=why):
        bench(running.config, running.work / "run", "a", seconds=1, size_mib=1, write=True, as_json=False)


@pytest.mark.slow
def test_a_bucket_that_is_not_there_is_told(running: Running, moto: MotoServer) -> None:
    running.configure(moto, a={"bucket": "gone-for-a-test"})
    done = running.run("bench", "a")
    assert done.returncode == 1
    assert "does not exist" in done.stderr


@pytest.mark.slow
def test_requests_cost_what_the_file_says(running: Running, moto: MotoServer, filled: str) -> None:
    running.configure(moto, a={"bucket": filled})
    with running.config.open("a") as file:
        file.write('[supervisor]\nprice-get = 1000\nprice-put = 0\nprice-currency = "EUR"\n')
    told = json.loads(running.run("bench", "a", "--json").stdout)
    free = ("ListObjectsV2",)
    assert told["cost"] == sum(count for name, count in told["requests"].items() if name not in free)
    assert told["currency"] == "EUR"


def test_requests_have_their_price_and_what_was_not_measured_is_no_line() -> None:
    measured = Measured(first_byte_ms=12.34, listed=3, requests={"GetObject": 2000, "PutObject": 1000})
    text = "\n".join(lines(measured, Prices()))
    assert "first byte" in text
    assert "sequential read" not in text
    assert "2000 GetObject, 1000 PutObject, 0.005800 USD at S3 Standard's prices in us-east-1" in text
    assert "1000 PutObject, 2.000000 EUR at the configured prices" in list(lines(measured, Prices(0, 1, "EUR")))[-1]
