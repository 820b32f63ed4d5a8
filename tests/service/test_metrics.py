"""Metrics and the page of the status of a real supervisor: numbers that are right, and peers that are not nice."""

import contextlib
import os
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from mountctl.control.listener import CONNECTIONS_MAX
from tests.metrics_text import Scraped, parsed
from tests.ports import reserved_port
from tests.servers import S3Server
from tests.service.running import Running, poll_until

COUNTED = b"counted" * 1000


@pytest.fixture
def port() -> Iterator[int]:
    """Where nobody listens yet."""
    with reserved_port() as found:
        yield found


def listen(running: Running, port: int, more: str = "") -> str:
    """Have the configuration say so; returns the URL."""
    running.config.write_text(
        f'[supervisor]\nmetrics-listen = "127.0.0.1:{port}"\n{more}\n' + running.config.read_text()
    )
    return f"http://127.0.0.1:{port}"


def fetch(url: str, **headers: str) -> tuple[str, str]:
    """The body and its type."""
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as answer:
        return answer.read().decode(), answer.headers["Content-Type"]


def scrape(running: Running) -> Scraped:
    done = running.run("metrics")
    assert (done.returncode, done.stderr) == (0, "")
    return parsed(done.stdout)


@contextlib.contextmanager
def idle_connections(port: int, count: int) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(socket.create_connection(("127.0.0.1", port), 10)) for _ in range(count)]


def test_what_programs_do_is_counted_and_an_engines_death_takes_nothing_away(running: Running, moto: S3Server) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "x", COUNTED)
    running.configure(moto, one={"bucket": bucket}, two={"bucket": bucket})
    place = running.mountpoint("one")

    with running.running():
        assert (place / "x").read_bytes() == COUNTED
        with pytest.raises(FileNotFoundError):
            (place / "missing").stat()
        (place / "new").write_bytes(b"12345")
        poll_until(lambda: scrape(running).value("mountctl_written_bytes_total", mount="one") == 5, "what was written")
        poll_until(lambda: not scrape(running).value("mountctl_uploads", mount="one"), "the upload's end")
        before = scrape(running)
        engine = running.mount("one")["engine"]["pid"]
        os.kill(engine, signal.SIGKILL)
        poll_until(lambda: running.mount("one")["engine"]["takeovers"] == 1, "a takeover")
        running.wait_for("one", "ready")
        after = scrape(running)

    assert before.value("mountctl_read_bytes_total", mount="one") == len(COUNTED)
    assert before.value("mountctl_read_bytes_total", mount="two") == 0
    assert before.value("mountctl_fuse_errors_total", mount="one", errno="ENOENT") >= 1
    assert before.value("mountctl_s3_requests_total", mount="one", operation="PutObject") == 1
    assert before.value("mountctl_s3_responses_total", mount="one", operation="PutObject", status="200") == 1
    assert before.value("mountctl_fuse_request_duration_seconds_count", mount="one", operation="write") == 1
    assert before.value("mountctl_s3_request_duration_seconds_count", mount="one", operation="PutObject") == 1
    assert before.value("mountctl_mount_state", mount="one", state="ready") == 1
    assert before.value("mountctl_s3_request_cost_total", mount="one", currency="USD") >= 0.005 / 1000
    assert before.value("mountctl_buffer_limit_bytes", mount="one") > 0
    assert after.value("mountctl_engine_takeovers_total", mount="one") == 1
    for (name, labels), value in before.samples.items():
        if name.endswith(("_total", "_count", "_bucket", "_sum")):
            assert after.samples[name, labels] >= value, (name, labels)


def test_a_scraper_and_a_browser_are_answered_over_tcp(running: Running, moto: S3Server, port: int) -> None:
    running.configure(moto, one={"bucket": moto.bucket()})
    url = listen(running, port, 'price-get = 1000\nprice-currency = "EUR"')

    with running.running():
        poll_until(lambda: not running.status()["supervisor"]["metrics"]["error"], "the listener")
        text, kind = fetch(f"{url}/metrics")
        modern, modern_kind = fetch(
            f"{url}/v1/metrics", Accept="application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
        )
        page, page_kind = fetch(f"{url}/")
        for method, path, host in (("POST", "/metrics", ""), ("GET", "/v1/status", ""), ("GET", "/", "evil.example")):
            request = urllib.request.Request(f"{url}{path}", method=method, headers={"Host": host} if host else {})
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(request, timeout=20)
            refused.value.close()
            assert refused.value.code in (403, 404, 405)
        cost = running.mount("one")["cost"]

    assert kind.startswith("text/plain; version=0.0.4")
    assert modern_kind.startswith("application/openmetrics-text; version=1.0.0")
    assert modern.endswith("# EOF\n")
    assert parsed(text).value("mountctl_mount_state", mount="one", state="ready") == 1
    assert page_kind.startswith("text/html")
    cells = Cells()
    cells.feed(page)
    assert cells.texts[:2] == ["one", "ready"]
    assert cost["currency"] == "EUR"
    assert cost["total"] == pytest.approx(sum(day["get"] + day["put"] * 0.005 / 1000 for day in cost["days"]), abs=1e-6)


def test_peers_that_ask_nothing_or_read_nothing_keep_nobody_out(running: Running, moto: S3Server, port: int) -> None:
    bucket = moto.bucket()
    moto.put(bucket, "x", b"x")
    running.configure(moto, one={"bucket": bucket})
    url = listen(running, port)

    with running.running():
        poll_until(lambda: not running.status()["supervisor"]["metrics"]["error"], "the listener")
        with idle_connections(port, 2 * CONNECTIONS_MAX) as peers:
            for peer in peers[::2]:
                with contextlib.suppress(OSError):  # it had to make room
                    peer.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
            assert "mountctl_up 1" in fetch(f"{url}/metrics")[0]
            assert running.status()["health"] == "ready"
            assert (running.mountpoint("one") / "x").read_bytes() == b"x"


def test_a_reload_opens_moves_and_closes_the_address_and_one_that_is_taken_stops_no_mount(
    running: Running, moto: S3Server, port: int
) -> None:
    running.configure(moto, one={"bucket": moto.bucket()})
    plain = running.config.read_text()

    with running.running(), socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen(running, taken.getsockname()[1])
        assert running.run("reload").returncode == 0
        poll_until(lambda: running.status()["supervisor"]["metrics"]["error"], "the trouble to be told")
        assert running.mount("one")["state"] == "ready"
        running.config.write_text(plain)
        url = listen(running, port)
        assert running.run("reload").returncode == 0
        poll_until(lambda: reaches(url), "the other address")
        running.config.write_text(plain)
        assert running.run("reload").returncode == 0
        poll_until(lambda: not reaches(url), "the address to be closed")
        assert running.status()["supervisor"]["metrics"] is None


def test_a_textfile_is_whole_and_readable_by_the_exporter(running: Running, moto: S3Server, tmp_path: Path) -> None:
    running.configure(moto, one={"bucket": moto.bucket()})
    file = tmp_path / "mountctl.prom"

    with running.running():
        assert running.run("metrics", "--textfile", str(file)).returncode == 0
    there = parsed(file.read_text())
    gone = running.run("metrics", "--textfile", str(file))

    assert there.value("mountctl_mount_state", mount="one", state="ready") == 1
    assert file.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.glob(".*")) == []
    assert gone.returncode != 0
    assert parsed(file.read_text()).value("mountctl_up") == 0


def test_the_supervisor_that_comes_next_goes_on_with_what_the_engine_has_asked_for(
    running: Running, moto: S3Server
) -> None:
    running.configure(moto, one={"bucket": moto.bucket()})

    with running.running():
        os.listdir(running.mountpoint("one"))
        engine = poll_until(
            lambda: listed(running.mount("one")) and running.mount("one")["engine"]["pid"], "the listing"
        )
        running.crash()
        running.start()
        running.wait_for("one", "ready")
        poll_until(lambda: listed(running.mount("one")), "the counters of the engine that was found")
        after = running.mount("one")

    assert after["engine"]["pid"] == engine
    assert sum(day["put"] for day in after["cost"]["days"]) == listed(after)


def listed(mount: dict[str, Any]) -> int:
    return int(mount["stats"]["s3_requests"].get("ListObjectsV2", 0))


def reaches(url: str) -> bool:
    try:
        return "mountctl_up 1" in fetch(f"{url}/metrics")[0]
    except OSError:
        return False


class Cells(HTMLParser):
    """The texts of a table's cells."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._in_cell = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "td":
            self._in_cell = True
            self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_cell &= tag != "td"

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.texts[-1] += data
