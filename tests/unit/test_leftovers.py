"""Which multipart uploads are given to which engine to be aborted, and what is written down of them."""

import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio

from engine.link import PACKET_BYTES_MAX, encode
from engine.spec import MountSpec
from engine.uploads import AbortUploads, UploadsTold
from mountctl.supervisor import leftovers
from mountctl.supervisor.leftovers import Leftovers
from mountctl.supervisor.uploads_file import Begun, SessionUploads, UploadFiles

RUNTIME_DIR = Path("/run/m")


def spec(**options: Any) -> MountSpec:
    return MountSpec.model_validate({"name": "m", "bucket": "some-bucket", "mountpoint": "/mnt/m"} | options)


@dataclass
class Session:
    """Stands for a session: what is asked of it here."""

    token: str
    spec: MountSpec = field(default_factory=spec)


class Host:
    """A supervisor's leftovers, its sessions, and what their engines were given."""

    def __init__(self, state: Path, files: UploadFiles | None = None) -> None:
        self.files = files or UploadFiles(state, RUNTIME_DIR)
        self.sessions: dict[str, Session] = {}
        self.given: dict[str, dict[str, str]] = {}
        self.messages: list[AbortUploads] = []
        self.leftovers = Leftovers(
            self.files,
            self.sessions.values,  # type: ignore[arg-type, return-value]
            lambda: [session.spec for session in self.sessions.values()],
        )

    def begin(self, token: str, *, begun: dict[str, str] | None = None, **options: Any) -> None:
        """A session whose engine tells that these are all of its uploads."""
        self.sessions[token] = Session(token, spec(**options))
        self.tell(token, anew=True, all_told=True, begun=begun or {})

    def tell(self, token: str, **told: Any) -> None:
        def post(message: AbortUploads) -> None:
            assert len(encode(message)) < PACKET_BYTES_MAX
            self.messages.append(message)
            self.given.setdefault(token, {}).update(message.uploads)

        self.leftovers.heard(self.sessions[token], UploadsTold(**told), post)  # type: ignore[arg-type]

    def noted(self) -> dict[str, str]:
        """What is on the disk: keys by upload id."""
        found = {}
        for path in self.files.directory.glob("*.json"):
            file = SessionUploads.model_validate_json(path.read_bytes())
            found |= {each: begun.key for each, begun in file.uploads.items()} | dict.fromkeys(file.asked, "asked")
        return found

    async def until(self, what: Callable[[], bool]) -> None:
        with trio.fail_after(20):
            while not what():  # noqa: ASYNC110 - a disk tells nobody
                await trio.sleep(0.01)


def running(state: Path, body: Callable[[Host], Awaitable[None]], files: UploadFiles | None = None) -> None:
    async def main() -> None:
        host = Host(state, files)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(host.leftovers.run)
            try:
                await body(host)
            finally:
                nursery.cancel_scope.cancel()
                await host.leftovers.aclose()

    trio.run(main)


def left(state: Path, uploads: dict[str, str], token: str = "gone", **told: Any) -> None:
    """Be a supervisor that wrote this down, and is gone."""
    files = UploadFiles(state, RUNTIME_DIR)
    files.open()
    made = SessionUploads(machine=files.machine, boot=files.boot, mount="gone", bucket="some-bucket").model_copy(
        update={"uploads": {each: Begun(key=key, since=1.0) for each, key in uploads.items()}} | told
    )
    files.write(files.path_of(token), made.model_dump_json().encode())
    files.close()


def test_what_an_engine_tells_is_on_the_disk_until_it_has_ended(tmp_path: Path) -> None:
    async def body(host: Host) -> None:
        host.begin("one", begun={"a": "k"})
        host.tell("one", asked={"asked-for": 1.0})
        await host.until(lambda: host.noted() == {"a": "k", "asked-for": "asked"})
        host.tell("one", ended=("a",), settled=("asked-for",))
        await host.until(lambda: host.noted() == {})

    running(tmp_path, body)
    assert list((tmp_path / "uploads").glob("*/*")) == []


def test_the_last_word_of_engines_is_written_when_the_supervisor_ends(tmp_path: Path) -> None:
    async def body(host: Host) -> None:
        host.begin("one", begun={"a": "k"})
        await host.until(lambda: host.noted() == {"a": "k"})
        host.tell("one", begun={"b": "k"})
        host.tell("one", ended=("a",))

    running(tmp_path, body)
    assert Host(tmp_path).noted() == {"b": "k"}


def test_what_a_session_that_is_gone_has_left_is_given_to_the_next_one_and_forgotten_when_it_has_ended(
    tmp_path: Path,
) -> None:
    left(tmp_path, {"a": "k", "b": "k"})

    async def body(host: Host) -> None:
        host.begin("new", begun={"mine": "k"})
        await host.until(lambda: "new" in host.given)
        assert host.given == {"new": {"a": "k", "b": "k"}}
        host.tell("new", ended=("a",))
        await host.until(lambda: host.noted() == {"b": "k", "mine": "k"})
        assert len(host.messages) == 1

    running(tmp_path, body)


@pytest.mark.parametrize(
    "options",
    [
        {"read_only": True},
        {"bucket": "other-bucket"},
        {"endpoint_url": "http://127.0.0.1:1"},
        {"prefix": "q/"},
    ],
)
def test_what_is_not_where_a_mount_writes_is_not_given_to_it_and_told_once(
    tmp_path: Path, options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    left(tmp_path, {"a": "p/k"})

    async def body(host: Host) -> None:
        host.begin("other", begun={"x": options.get("prefix", "") + "k"}, **options)
        await host.until(lambda: "x" in host.noted())
        assert host.given == {}
        assert "a" in host.noted()
        assert caplog.text.count("1 multipart uploads that the mount gone left in some-bucket stay there") == 1
        host.begin("writer", prefix="p/")
        assert host.given == {"writer": {"a": "p/k"}}

    running(tmp_path, body)


def test_what_a_living_session_has_begun_is_given_to_nobody_until_it_is_gone(tmp_path: Path) -> None:
    left(tmp_path, {"a": "k"}, token="adopted")

    async def body(host: Host) -> None:
        host.sessions["adopted"] = Session("adopted")
        host.begin("other", begun={"x": "k"})
        await host.until(lambda: "x" in host.noted())
        host.tell("adopted", begun={"b": "k"})
        host.begin("adopted", begun={"a": "k", "b": "k"})
        host.tell("other", begun={"y": "k"})
        assert host.given == {}
        del host.sessions["adopted"]
        host.tell("other", begun={"z": "k"})
        assert host.given == {"other": {"a": "k", "b": "k"}}

    running(tmp_path, body)


@pytest.mark.parametrize("faster", [False, True])
def test_what_is_written_down_of_a_session_and_its_engine_does_not_know_is_given_to_it(
    tmp_path: Path, faster: bool
) -> None:
    """Its end was not told, or its journal is torn; whether the engine or the disk answers first."""
    left(tmp_path, {"a": "k", "b": "k"}, token="adopted")

    async def body(host: Host) -> None:
        host.sessions["adopted"] = Session("adopted")
        if not faster:
            host.tell("adopted", begun={"b": "k"})
            await host.until(lambda: host.leftovers._read)
        host.tell("adopted", anew=True, begun={"b": "k"})
        assert host.given == {}
        host.tell("adopted", all_told=True)
        await host.until(lambda: host.given == {"adopted": {"a": "k"}})
        host.tell("adopted", ended=("a",))
        await host.until(lambda: host.noted() == {"b": "k"})

    running(tmp_path, body)


def test_what_one_engine_has_not_aborted_is_given_to_the_next(tmp_path: Path) -> None:
    left(tmp_path, {"a": "k"})

    async def body(host: Host) -> None:
        for number in range(2):
            host.begin("one")
            await host.until(lambda number=number: len(host.messages) == number + 1)
        assert host.given == {"one": {"a": "k"}}

    running(tmp_path, body)


def test_very_many_are_given_little_by_little(tmp_path: Path) -> None:
    many = {f"id-{number}": "\1" * 1000 + str(number) for number in range(500)}
    left(tmp_path, many)

    async def body(host: Host) -> None:
        host.begin("new")
        await host.until(lambda: bool(host.messages))
        assert len(host.messages) == 1
        for given in host.messages:  # each that has ended brings further ones
            host.tell("new", ended=tuple(given.uploads))
        assert host.given["new"] == many
        await host.until(lambda: host.noted() == {})

    running(tmp_path, body)


def test_of_an_upload_without_an_id_nothing_is_aborted_and_it_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    left(tmp_path, {}, asked={"big": 1.0})

    async def body(host: Host) -> None:
        host.begin("new")
        await host.until(lambda: "'big': none is aborted" in caplog.text)
        await host.until(lambda: host.noted() == {})
        assert host.given == {}

    running(tmp_path, body)


def test_an_engine_that_tells_nonsense_fills_no_disk(tmp_path: Path) -> None:
    async def body(host: Host) -> None:
        host.begin("one", prefix="p/", begun={"outside": "q/k", "x" * 5000: "p/k"})
        host.tell("one", begun={f"id-{number}": "p/k" for number in range(leftovers.UPLOADS_MAX + 10)})
        host.tell("one", asked={"q/k": 1.0, "p/more": 1.0})
        await host.until(lambda: len(host.noted()) == leftovers.UPLOADS_MAX)
        assert "outside" not in host.noted()

    running(tmp_path, body)


def test_a_disk_that_does_not_answer_holds_up_nobody(tmp_path: Path) -> None:
    class Stuck(UploadFiles):
        asked = threading.Event()
        answer = threading.Event()

        def write(self, path: Path, data: bytes | None) -> None:
            self.asked.set()
            self.answer.wait(60)
            super().write(path, data)

    files = Stuck(tmp_path, RUNTIME_DIR)

    async def body(host: Host) -> None:
        host.begin("one", begun={"a": "k"})
        await host.until(files.asked.is_set)
        host.begin("two", begun={"b": "k"})
        assert host.noted() == {}

    running(tmp_path, body, files)  # comes back
    assert not files.answer.is_set()
    files.answer.set()


def test_a_directory_that_cant_be_used_is_told_when_a_mount_may_write(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "RETRY_SECONDS", 0.01)
    (tmp_path / "uploads").write_text("in the way")
    tries = []

    class Counted(UploadFiles):
        def open(self) -> dict[Path, SessionUploads]:
            tries.append("open")
            return super().open()

    async def body(host: Host) -> None:
        host.sessions["reader"] = Session("reader", spec(read_only=True))
        await host.until(lambda: len(tries) > 3)
        assert caplog.text == ""
        host.begin("writer")
        await host.until(lambda: "cannot use" in caplog.text)

    running(tmp_path, body, Counted(tmp_path, RUNTIME_DIR))


def test_a_directory_that_cant_be_used_is_told_once_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "RETRY_SECONDS", 0.01)
    caplog.set_level("INFO")
    (tmp_path / "uploads").write_text("in the way")
    tries = []

    class Counted(UploadFiles):
        def open(self) -> dict[Path, SessionUploads]:
            tries.append("open")
            return super().open()

        def write(self, path: Path, data: bytes | None) -> None:
            tries.append("write")
            if tries.count("write") < 3:
                raise OSError(28, "No space left on device")
            super().write(path, data)

    async def body(host: Host) -> None:
        host.begin("one", begun={"a": "k"})
        await host.until(lambda: len(tries) > 2)
        (tmp_path / "uploads").unlink()
        await host.until(lambda: host.noted() == {"a": "k"})

    running(tmp_path, body, Counted(tmp_path, RUNTIME_DIR))
    assert caplog.text.count("uploads that are begun now stay in S3") == 1
    assert caplog.text.count("is written again") == 1
