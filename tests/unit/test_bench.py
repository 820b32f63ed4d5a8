"""The bench's own parts work: its S3 takes writes and lists them, and its arithmetic is right. No time is asserted."""

import http.client
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.bucket import Bucket, Part, body_of
from bench.chart import chart
from bench.fast_s3 import FastS3
from bench.goals import GOALS, judged
from bench.results import Measure, Results, Shown, Spread, ratios, value
from bench.rows import SCENES, selected
from bench.table import number, tables
from bench.workloads import Failed, alone, carry_out, read_each
from tests.service.running import poll_until

Ask = Callable[..., tuple[int, bytes]]


@pytest.fixture
def s3() -> Iterator[FastS3]:
    if shutil.which("nginx") is None:
        pytest.skip("the bench's S3 needs nginx")
    with FastS3(clients=2) as made:
        made.put("bucket", "there", 3000)
        yield made


@pytest.fixture
def ask(s3: FastS3) -> Iterator[Ask]:
    connection = http.client.HTTPConnection(s3.endpoints[1].removeprefix("http://"))

    def asked(method: str, target: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        connection.request(method, target, body, {name.replace("_", "-"): text for name, text in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read()

    yield asked
    connection.close()


def test_a_write_is_listed_and_read_back(ask: Ask) -> None:
    assert ask("PUT", "/bucket/a%20b/new", b"hello") == (200, b"")
    keys = re.findall(rb"<Key>(.*?)</Key>", ask("GET", "/bucket?list-type=2&encoding-type=url")[1])
    assert keys == [b"a%20b/new", b"there"]
    assert ask("GET", "/bucket/a%20b/new") == (200, b"hello")
    assert ask("DELETE", "/bucket/a%20b/new")[0] == 204
    assert ask("GET", "/bucket/a%20b/new")[0] == 404


def test_chunks_are_taken_out_of_their_frame(ask: Ask) -> None:
    framed = b"5\r\nhello\r\n6;chunk-signature=00\r\n world\r\n0\r\nx-amz-checksum-crc32c:AAAA\r\n\r\n"
    ask("PUT", "/bucket/framed", framed, content_encoding="aws-chunked")
    assert ask("GET", "/bucket/framed") == (200, b"hello world")


def test_an_upload_has_its_size_at_once_and_its_bytes_when_settled(s3: FastS3, ask: Ask) -> None:
    begun = re.search(rb"<UploadId>(.*?)<", ask("POST", "/bucket/whole?uploads")[1])
    assert begun is not None
    upload = begun.group(1).decode()
    ask("PUT", f"/bucket/whole?partNumber=2&uploadId={upload}", b"world")
    ask(
        "PUT",
        f"/bucket/whole?partNumber=1&uploadId={upload}",
        b"6\r\nhello \r\n0\r\n\r\n",
        content_encoding="aws-chunked",
    )
    completed, told = ask("POST", f"/bucket/whole?uploadId={upload}", b"<CompleteMultipartUpload/>")
    etag = re.search(rb"&quot;(.*)&quot;|\"(.*)\"", told)
    assert completed == 200
    assert etag is not None
    assert (s3.root / "bucket" / "whole").stat().st_size == 11
    s3.settle()
    assert ask("GET", "/bucket/whole", if_match=f'"{(etag[1] or etag[2]).decode()}"') == (200, b"hello world")


def test_conditions_of_writes_hold(ask: Ask) -> None:
    assert ask("PUT", "/bucket/there", b"x", if_none_match="*")[0] == 412
    assert ask("PUT", "/bucket/there", b"x", if_match='"another"')[0] == 412
    assert len(ask("GET", "/bucket/there")[1]) == 3000


def test_requests_are_counted_by_client(s3: FastS3, ask: Ask) -> None:
    ask("HEAD", "/bucket/there")
    ask("PUT", "/bucket/made", b"x")
    poll_until(lambda: s3.requests().total() == 2, "both to be written down, which is after the answers")
    assert s3.requests(1) == {"HEAD": 1, "PUT": 1}
    assert s3.requests(0).total() == 0
    assert s3.requests() == {"HEAD": 1, "PUT": 1}


def test_pages_go_on_where_the_last_ended(tmp_path: Path) -> None:
    for key in ("a/1", "a/2", "b", "c/d/e", "d"):
        path = tmp_path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    bucket = Bucket.of(tmp_path)
    found, after = [], ""
    while True:
        page = bucket.page("", "/", after, 1, url=False)
        found += re.findall(r"<(?:Key|Prefix)>(.*?)<", page.xml)
        if page.after is None:
            break
        after = page.after
    assert found == ["a/", "b", "c/", "d"]


def test_one_chunk_stays_where_it_is(tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(b"3\r\nabc\r\n0\r\n\r\n")
    assert body_of(body, chunked=True) == Part(body, 3, 3)


def test_workloads_tell_what_they_did(tmp_path: Path) -> None:
    told = {"directory": ".", "names": list("abcd"), "size": 3_000_000, "published": str(tmp_path)}
    assert carry_out("write", tmp_path, told, 60).units == 12_000_000
    assert carry_out("sequential", tmp_path, {"keys": list("abcd")}, 60).units == 12_000_000
    assert carry_out("long_list", tmp_path, {"directory": ".", "entries": 4}, 60).units == 4
    paths = [str(tmp_path / name) for name in "abcd"]
    assert alone(read_each(paths), 60).units == 4
    assert alone(read_each(paths), 0).units == 1


def test_a_reader_that_fails_fails_the_workload(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="a reader failed"):
        carry_out("sequential", tmp_path, {"keys": ["missing"]}, 60)


def results() -> Results:
    shown = [Shown("plain", "no delay", "sequential-1", "sequential read, 1 reader", "MB/s", "sequential")]
    made = Results({"processor": "2 x a"}, 3, ["mountctl", "mount-s3"], {"mountctl": "1", "mount-s3": "2"}, shown)
    for peer, speeds, cpu in (("mountctl", (1000, 3000, 1800), 1.0), ("mount-s3", (500, 1000, 1000), 4.0)):
        for round_, speed in enumerate(speeds):
            made.measures.append(
                Measure("plain", "sequential-1", peer, round_, speed, 1e9, 1.0, cpu, {"GET": 8}, 50 << 20, 0.1)
            )
    return made


def test_what_ran_side_by_side_is_compared() -> None:
    made = results()
    ours, theirs = (made.of("plain", "sequential-1", peer) for peer in made.peers)
    assert ratios(ours, theirs, value) == Spread(2.0, 1.8, 3.0)
    assert ratios(ours, [], value) is None


def test_goals_are_judged_by_their_sense() -> None:
    verdicts = {str(each.goal): each.verdict for each in judged(results())}
    assert verdicts == {
        "speed ≥ 2 x mount-s3": "met",
        "speed ≥ 3.5 x rclone": "not measured",
        "speed ≥ 2 x s3fs": "not measured",
        "CPU ≤ 0.5 x mount-s3": "met",
        "memory ≤ 0.5 x mount-s3": "NOT MET",
    }


def test_goals_are_of_rows_that_there_are() -> None:
    rows = {(scene.name, row.name) for scene in SCENES for row in scene.rows}
    assert {(goal.scene, goal.row) for goal in GOALS} <= rows


def test_tables_and_the_picture_show_medians_failures_and_what_is_missing() -> None:
    made = results()
    made.peers.append("s3fs")
    made.measures.append(Measure("plain", "sequential-1", "s3fs", 0, None, failed="it hung"))
    text = tables(made)
    assert "| sequential read, 1 reader | MB/s | 1,800 (1,000-3,000) | 1,000 (500-1,000) 2.00x | failed |" in text
    assert "1.00 · 8.00 · 50" in text
    assert "s3fs, plain sequential-1: it hung" in text
    assert chart(made).count('class="whisker"') == 2


def test_results_are_kept_in_full(tmp_path: Path) -> None:
    results().write(tmp_path / "results.json")
    assert Results.read(tmp_path / "results.json") == results()


@pytest.mark.parametrize(
    ("amount", "text"), [(0.04567, "0.0457"), (1.5, "1.50"), (56.78, "56.8"), (123.4, "123"), (45678, "45,700")]
)
def test_numbers_have_three_digits(amount: float, text: str) -> None:
    assert number(amount) == text


def test_rows_are_selected_by_topic() -> None:
    assert {row.topic for scene in selected(["tls", "plain"], ["sequential"]) for row in scene.rows} == {"sequential"}
    with pytest.raises(KeyError):
        list(selected([], ["no such"]))
