"""Rules of the node's service that need no gRPC: turns, time, codes, what is forgotten, what is logged."""

import contextlib
import logging
import subprocess
import sys
import threading
from typing import Any, NoReturn

import grpc
import pytest

from mountctl.csi import calls, mount_table, server
from mountctl.csi.calls import SECONDS_MAX, called, seconds_left
from mountctl.csi.codes import CODES, refusal
from mountctl.csi.credentials_interface import CredentialsError, DriverCredentials, Prepared
from mountctl.csi.keyed_locks import KeyedLocks, StillHeld
from mountctl.csi.node import Node, NodeSettings
from mountctl.csi.proto import csi_pb2
from mountctl.csi.published import Published, Use
from mountctl.csi.publishing import WAITING_MAX
from mountctl.csi.refusal import InvalidArgument, Refusal
from mountctl.csi.volume import understood
from mountctl.errors import (
    ControlDenied,
    Refused,
    SupervisorBusy,
    SupervisorNotRunning,
    SupervisorSilent,
    UnknownMount,
)
from mountctl.supervisor import session
from mountctl.volume import Applied, Apply, Cause, Release, Released
from tests.csi.node.kubelet import of_pod, publish

Code = grpc.StatusCode


class Aborted(Exception):
    pass


class Context:
    """As much of gRPC's as a method uses."""

    def __init__(self, seconds: float | None = 10.0) -> None:
        self.seconds = seconds
        self.code: Code | None = None
        self.details = ""

    def time_remaining(self) -> float | None:
        return self.seconds

    def abort(self, code: Code, details: str) -> NoReturn:
        self.code, self.details = code, details
        raise Aborted


# One at a time


def test_a_key_is_held_by_one_and_others_wait_only_so_long() -> None:
    locks = KeyedLocks()
    with locks.held("one", 0), locks.held("other", 0), pytest.raises(StillHeld), locks.held("one", 0.01):
        pass
    with locks.held("one", 0):
        pass


def test_who_waits_for_a_key_gets_it() -> None:
    locks, got, thread = KeyedLocks(), threading.Event(), None

    def wait() -> None:
        with locks.held("one", 30):
            got.set()

    with locks.held("one", 0):
        thread = threading.Thread(target=wait)
        thread.start()
    assert got.wait(30)
    thread.join()
    assert locks._locks == {}


class HangingSupervisor:
    """Answers nothing until it is let go."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self.go = threading.Event()
        self.names: list[str] = []

    def status(self, names: Any = (), *, seconds: float | None = None) -> dict[str, Any]:
        return {"mounts": []}

    def apply(self, asked: Apply, *, seconds: float) -> Applied:
        self.names.append(asked.name)
        self.asked.release()
        self.go.wait()
        return Applied(name=asked.name, state="ready", fresh=True)

    def release(self, asked: Release, *, seconds: float) -> Released:
        return Released()


class NothingMounted:
    def is_mounted(self, path: str) -> bool:
        return False

    def is_ours(self, path: str) -> bool:
        return False


def test_a_mount_of_the_supervisors_is_known_by_its_type() -> None:
    assert mount_table.FSTYPE == session.FSTYPE


def node_of(supervisor: Any) -> Node:
    return Node(NodeSettings("driver", "node"), supervisor, DriverCredentials(), NothingMounted())


def call(node: Node, request: csi_pb2.NodePublishVolumeRequest, seconds: float = 10.0) -> tuple[Code | None, str]:
    context = Context(seconds)
    with contextlib.suppress(Aborted):
        node.NodePublishVolume(request, context)  # type: ignore[arg-type]
    return context.code, context.details


def test_a_request_whose_time_is_over_before_its_turn_is_aborted() -> None:
    supervisor = HangingSupervisor()
    node = node_of(supervisor)
    thread = threading.Thread(target=call, args=(node, publish()))
    thread.start()
    supervisor.asked.acquire()
    code, sentence = call(node, publish(), seconds=0.0)
    supervisor.go.set()
    thread.join()
    assert code is Code.ABORTED
    assert "still at work" in sentence


def test_so_many_wait_for_the_supervisor_and_no_more() -> None:
    supervisor = HangingSupervisor()
    node = node_of(supervisor)
    threads = [
        threading.Thread(target=call, args=(node, publish(f"/target-{n}", volume=f"volume-{n}")))
        for n in range(WAITING_MAX)
    ]
    for thread in threads:
        thread.start()
    for _ in threads:
        supervisor.asked.acquire()
    code, _ = call(node, publish("/one-more"))
    supervisor.go.set()
    for thread in threads:
        thread.join()
    assert code is Code.RESOURCE_EXHAUSTED
    assert server.THREADS_MAX > WAITING_MAX


class UnknowingSupervisor(HangingSupervisor):
    """Mounts, and does not say what it has mounted."""

    def status(self, names: Any = (), *, seconds: float | None = None) -> dict[str, Any]:
        raise SupervisorSilent("it does not answer")


def test_a_volume_for_one_pod_alone_is_not_mounted_while_it_is_not_known_who_has_it() -> None:
    supervisor = UnknowingSupervisor()
    supervisor.go.set()
    alone = publish(mode=csi_pb2.VolumeCapability.AccessMode.SINGLE_NODE_SINGLE_WRITER)
    code, sentence = call(node_of(supervisor), alone)
    assert code is Code.UNAVAILABLE
    assert "no supervisor says whether another has it" in sentence
    assert supervisor.names == []
    assert call(node_of(supervisor), publish()) == (None, "")


# Time


@pytest.mark.parametrize(("given", "left"), [(None, SECONDS_MAX), (10.0, 9.5), (1e9, SECONDS_MAX - 0.5), (0.1, 0.0)])
def test_an_answer_comes_before_its_caller_gives_up(given: float | None, left: float) -> None:
    assert seconds_left(Context(given)) == left  # type: ignore[arg-type]


# Codes


def test_every_cause_has_a_code_of_an_error() -> None:
    assert set(CODES) == set(Cause)
    assert not {Code.OK, Code.UNKNOWN} & set(CODES.values())


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SupervisorNotRunning("no supervisor"), Code.UNAVAILABLE),
        (SupervisorSilent("it did not answer"), Code.DEADLINE_EXCEEDED),
        (SupervisorBusy("64 commands are at work", Cause.BUSY), Code.RESOURCE_EXHAUSTED),
        (ControlDenied("you may not"), Code.FAILED_PRECONDITION),
        (UnknownMount("no mount"), Code.NOT_FOUND),
        (Refused("for no cause"), Code.INTERNAL),
        (Refused("taken", Cause.CONFLICT), Code.ALREADY_EXISTS),
        (CredentialsError("no token", Cause.CREDENTIALS), Code.UNAUTHENTICATED),
        (InvalidArgument("wrong"), Code.INVALID_ARGUMENT),
    ],
)
def test_an_error_keeps_its_sentence(error: Exception, code: Code) -> None:
    told = refusal(error)
    assert told.code is code
    assert str(error) in str(told)


def test_what_nobody_thought_of_does_not_show_what_it_says() -> None:
    told = refusal(ValueError("token JWT-A"))
    assert told.code is Code.INTERNAL
    assert "ValueError" in str(told)
    assert "JWT" not in str(told)


def test_a_sentence_is_one_line_whatever_is_in_it() -> None:
    assert str(Refusal(Code.INTERNAL, "a\nb\x1b[0m")) == "a\\nb\\x1b[0m"


# The log


SECRET = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY01"


class Broken:
    @called
    def NodePublishVolume(self, request: Any, context: Any) -> None:  # noqa: N802
        raise ValueError(f"{request.secrets} {request.volume_context}")


def test_nothing_secret_is_logged_not_even_by_a_bug(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    request = of_pod(
        publish("/target\nfake line", secrets={"access_key": SECRET}, mountOptions=f"access_key={SECRET}"),
        **{"csi.storage.k8s.io/serviceAccount.tokens": SECRET},
    )
    context = Context()
    with pytest.raises(Aborted):
        Broken().NodePublishVolume(request, context)  # type: ignore[arg-type]
    assert context.code is Code.INTERNAL
    code, sentence = call(node_of(HangingSupervisor()), request)
    assert code is Code.INVALID_ARGUMENT
    assert SECRET not in caplog.text + context.details + sentence
    assert "in NodePublishVolume" in caplog.text  # where it was
    assert "target /target\\nfake line pod namespace/pod" in caplog.text


def test_questions_that_are_asked_all_the_time_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    node_of(HangingSupervisor()).NodeGetInfo(csi_pb2.NodeGetInfoRequest(), Context())  # type: ignore[arg-type]
    assert caplog.text == ""
    assert calls._QUIET


# What is forgotten


def use(target: str, name: str = "mount", volume: str = "volume") -> Use:
    return Use(volume, target, name, read_only=False)


def test_a_mount_is_forgotten_when_no_target_has_it() -> None:
    forgotten: list[str] = []
    published = Published(forgotten.append)
    published.remember(use("/one"))
    published.gone("volume", "mount")
    assert forgotten == []
    published.drop("/one")
    published.gone("volume", "mount")
    assert forgotten == ["mount"]


def test_a_mount_is_not_forgotten_while_another_target_may_get_it() -> None:
    forgotten: list[str] = []
    published = Published(forgotten.append)
    with published.publishing("volume"):
        published.gone("volume", "mount")
        published.gone("volume", "older")
        published.remember(use("/two"))
    assert forgotten == ["older"]
    assert published._gone == {}


def test_what_the_supervisor_knows_is_learnt_and_what_is_known_stays() -> None:
    published = Published(lambda _: None)
    mine = Use("volume", "/one", "mount", read_only=False, request=understood(publish(), "driver"))
    published.remember(mine)
    published.learn(lambda: [use("/one", "older"), use("/two")])
    assert published.at("/one") == mine
    assert published.at("/two") == use("/two")
    assert published.elsewhere("volume", "/one") == use("/two")
    assert published.elsewhere("other", "/one") is None


def test_a_target_that_is_released_while_the_supervisor_tells_of_it_is_not_learnt() -> None:
    """Else a volume for one pod alone would be taken for as long as this process lives."""
    published = Published(lambda _: None)

    def told() -> list[Use]:
        uses = [use("/one"), use("/two"), use("/three")]
        published.drop("/one")
        published.drop("/two")
        published.remember(use("/two", "newer"))
        return uses

    published.learn(told)
    assert published.at("/one") is None
    assert published.at("/two") == use("/two", "newer")
    published.drop("/three")
    published.learn(lambda: [use("/one")])
    assert published.at("/one") == use("/one")


# Credentials that need nothing


def test_the_drivers_own_credentials_need_nothing_and_others_are_not_served() -> None:
    none = DriverCredentials()
    assert none.prepare(understood(publish(), "driver")) == Prepared()
    with pytest.raises(CredentialsError, match="'pod' is not served"):
        none.prepare(understood(publish(authenticationSource="pod"), "driver"))
    with pytest.raises(CredentialsError, match="caBundle"):
        none.prepare(understood(publish(caBundle="-----BEGIN CERTIFICATE-----"), "driver"))


# What is imported


def test_the_driver_imports_neither_fuse_nor_s3_nor_trio() -> None:
    code = (
        "import sys, mountctl.parser, mountctl.commands.csi_node, mountctl.csi.node_process, mountctl.control.client\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"trio", "pyfuse3", "boto3", "botocore", "awscrt"} & set(done.stdout.split())
    assert "grpc" in done.stdout.split()
