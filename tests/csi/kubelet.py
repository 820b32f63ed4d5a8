"""A miniature kubelet: registers drivers, publishes pods' volumes and again every so often, gets stats, unpublishes.

What it does and in which order is kubelet's (pkg/kubelet/pluginmanager, pkg/volume/csi): the paths, the context of a
volume, a connection for each call, a new try after each error with doubled patience, and what it expects to be gone.
"""

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self

import grpc

from mountctl.csi.proto import csi_pb2, csi_pb2_grpc, registration_pb2, registration_pb2_grpc
from tests.service.running import WAIT_SECONDS_MAX, poll_until

Mode = csi_pb2.VolumeCapability.AccessMode
_MOUNT_GROUP: Final = csi_pb2.NodeServiceCapability.RPC.VOLUME_MOUNT_GROUP
AUDIENCES: Final = ("sts.amazonaws.com", "pods.eks.amazonaws.com")
# kubelet's: two minutes for a call, half a second after the first failure, twice as long after each further one.
CALL_SECONDS_MAX: Final = 120.0
BACKOFF_SECONDS: Final = 0.5
BACKOFF_SECONDS_MAX: Final = 122.0
# After these nobody knows whether the driver is still at it, so kubelet leaves the directory where it is.
_UNCERTAIN: Final = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
    }
)
# kubelet is told by inotify; this one looks.
_LOOK_SECONDS: Final = 0.02
_TOKEN_LIFETIME: Final = timedelta(hours=1)


@dataclass(frozen=True)
class Pod:
    """A pod of this node."""

    name: str
    namespace: str = "team"
    service_account: str = "default"
    fs_group: str = ""

    @property
    def uid(self) -> str:
        return hashlib.sha256(f"{self.namespace}/{self.name}".encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Volume:
    """A PersistentVolume, or a volume that a pod's own definition has (`inline`).

    Args:
        name: of the PersistentVolume, or of the volume in the pod.
        attributes: volumeAttributes.
        options: mountOptions.
        mode: the access mode.
        secret: the Secret of nodePublishSecretRef, as it is now; kubelet reads it for each publication.
        inline: a pod's own.
    """

    name: str
    attributes: Mapping[str, str]
    options: tuple[str, ...] = ()
    mode: Mode.Mode = Mode.MULTI_NODE_MULTI_WRITER
    secret: Callable[[], Mapping[str, str]] = field(default=dict)
    inline: bool = False

    def handle(self, pod: Pod) -> str:
        """CSI's volume id."""
        if not self.inline:
            return f"handle-of-{self.name}"
        text = f"{pod.namespace}{pod.name}{self.name}"
        return f"csi-{hashlib.sha256(text.encode()).hexdigest()}"


@dataclass(frozen=True)
class Use:
    """A volume in a pod."""

    pod: Pod
    volume: Volume
    read_only: bool = False

    @property
    def volume_id(self) -> str:
        return self.volume.handle(self.pod)


@dataclass(frozen=True)
class Failure:
    """What `kubectl describe pod` shows of a call that failed."""

    code: grpc.StatusCode
    sentence: str


class MountFailed(AssertionError):
    """A volume could not be published."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.code.name}: {failure.sentence}")
        self.failure = failure


class Kubelet:
    """kubelet of a node. Enter to have it look for drivers.

    Args:
        directory: kubelet's.
        driver: the name of the driver that all volumes are of.
    """

    def __init__(self, directory: Path, driver: str) -> None:
        self.directory = directory
        self.driver = driver
        self.node_id = ""
        self.registrations = 0
        self.failures: list[Failure] = []
        self.uses: list[Use] = []  # those that are published
        self._endpoint: str | None = None
        self._capabilities: set[int] = set()
        self._tokens = 0
        self._ending = threading.Event()
        self._watching = threading.Thread(target=self._watch, name="kubelet", daemon=True)
        for name in ("pods", "plugins", "plugins_registry"):
            (directory / name).mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        self._watching.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._watching.join()

    # Drivers

    def wait_for_driver(self, registrations: int = 1) -> None:
        """Until the driver has been registered so often."""
        poll_until(lambda: self.registrations >= registrations, f"{self.driver} to register")

    def _watch(self) -> None:
        known: dict[Path, tuple[int, int]] = {}
        while not self._ending.wait(_LOOK_SECONDS):
            found = dict(_sockets(self.directory / "plugins_registry"))
            for path in known.keys() - found.keys():
                self._endpoint = None  # kubelet unregisters a driver whose socket is gone
                del known[path]
            for path, identity in found.items():
                if known.get(path) != identity:
                    with contextlib.suppress(grpc.RpcError):  # it listens in a moment, or is gone
                        self._register(path)
                        known[path] = identity

    def _register(self, path: Path) -> None:
        with grpc.insecure_channel(f"unix:{path}") as channel:
            stub = registration_pb2_grpc.RegistrationStub(channel)
            info = stub.GetInfo(registration_pb2.InfoRequest(), timeout=1)
            assert (info.type, info.name) == ("CSIPlugin", self.driver)
            assert [each for each in info.supported_versions if each.startswith("1.")]
            self._endpoint = info.endpoint
            self.node_id = self._call("NodeGetInfo", csi_pb2.NodeGetInfoRequest()).node_id
            told = self._call("NodeGetCapabilities", csi_pb2.NodeGetCapabilitiesRequest())
            self._capabilities = {each.rpc.type for each in told.capabilities}
            stub.NotifyRegistrationStatus(registration_pb2.RegistrationStatus(plugin_registered=True), timeout=1)
            self.registrations += 1

    def _call(self, name: str, request: Any, seconds: float = CALL_SECONDS_MAX) -> Any:
        """A call of the Node service. Raises grpc.RpcError; MountFailed if there is no driver."""
        if self._endpoint is None:
            told = f"driver name {self.driver} not found in the list of registered CSI drivers"
            raise MountFailed(Failure(grpc.StatusCode.UNAVAILABLE, told))
        with grpc.insecure_channel(f"unix:{self._endpoint}") as channel:
            return getattr(csi_pb2_grpc.NodeStub(channel), name)(request, timeout=seconds)

    # Volumes

    def target(self, use: Use) -> Path:
        """Where a volume is for a pod."""
        return self.directory / "pods" / use.pod.uid / "volumes/kubernetes.io~csi" / use.volume.name / "mount"

    def mount(self, use: Use) -> Path:
        """Have a volume at its target, with as many tries as it takes; each failure is noted."""
        patience, until = BACKOFF_SECONDS, time.monotonic() + WAIT_SECONDS_MAX
        while True:
            try:
                return self.try_to_mount(use)
            except MountFailed:
                if time.monotonic() + patience > until:
                    raise
            self._ending.wait(patience)
            patience = min(2 * patience, BACKOFF_SECONDS_MAX)

    def try_to_mount(self, use: Use) -> Path:
        """The same, once. Raises MountFailed, and then nothing may be left, if it is clear that it has failed."""
        target = self.target(use)
        target.parent.mkdir(parents=True, exist_ok=True)  # kubelet makes the parent, and the driver the rest
        try:
            self.publish(use)
        except MountFailed as error:
            if error.failure.code not in _UNCERTAIN:
                _tidy(target)
            raise
        if use not in self.uses:
            self.uses.append(use)
        return target

    def publish(self, use: Use) -> None:
        """NodePublishVolume, with tokens and secrets of this moment. Raises MountFailed."""
        self._tokens += 1
        group = use.pod.fs_group if _MOUNT_GROUP in self._capabilities else ""
        request = csi_pb2.NodePublishVolumeRequest(
            volume_id=use.volume_id,
            target_path=str(self.target(use)),
            volume_capability=csi_pb2.VolumeCapability(
                mount=csi_pb2.VolumeCapability.MountVolume(mount_flags=use.volume.options, volume_mount_group=group),
                access_mode=Mode(mode=use.volume.mode),
            ),
            readonly=use.read_only,
            secrets=dict(use.volume.secret()),
            volume_context={**use.volume.attributes, **_pod_info(use), **_tokens(use.pod, self._tokens)},
        )
        self._must("NodePublishVolume", request)

    def republish(self) -> list[Failure]:
        """All volumes again, as requiresRepublish has it; what failed."""
        failed = []
        for use in list(self.uses):
            try:
                self.publish(use)
            except MountFailed as error:
                failed.append(error.failure)
        return failed

    @contextlib.contextmanager
    def republishing(self, seconds: float) -> Iterator[None]:
        """While all volumes are published again and again, with so many seconds in between; failures are noted."""
        ending = threading.Event()

        def repeat() -> None:
            while not ending.wait(seconds):
                self.republish()

        thread = threading.Thread(target=repeat, name="republish", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ending.set()
            thread.join()

    def stats(self, use: Use) -> csi_pb2.NodeGetVolumeStatsResponse:
        """What kubelet tells Prometheus of a volume, and whether it is well. Raises MountFailed."""
        request = csi_pb2.NodeGetVolumeStatsRequest(volume_id=use.volume_id, volume_path=str(self.target(use)))
        response: csi_pb2.NodeGetVolumeStatsResponse = self._must("NodeGetVolumeStats", request)
        return response

    def unmount(self, use: Use) -> None:
        """Have a volume gone from a pod that has ended, with as many tries as it takes; its directories must be."""
        target = self.target(use)
        if use in self.uses:
            self.uses.remove(use)
        request = csi_pb2.NodeUnpublishVolumeRequest(volume_id=use.volume_id, target_path=str(target))
        patience, until = BACKOFF_SECONDS, time.monotonic() + WAIT_SECONDS_MAX
        while True:
            try:
                self._must("NodeUnpublishVolume", request)
                break
            except MountFailed:
                if time.monotonic() + patience > until:
                    raise
            self._ending.wait(patience)
            patience = min(2 * patience, BACKOFF_SECONDS_MAX)
        _tidy(target)

    def unmount_all(self) -> None:
        """All pods have ended."""
        for use in list(self.uses):
            self.unmount(use)

    def _must(self, name: str, request: Any) -> Any:
        try:
            return self._call(name, request)
        except grpc.RpcError as error:
            failure = Failure(error.code(), error.details() or "")
            self.failures.append(failure)
            raise MountFailed(failure) from error
        except MountFailed as error:
            self.failures.append(error.failure)
            raise


def _tidy(target: Path) -> None:
    """A volume is gone from a pod: so must its directory be. Those above it go unless another volume is there."""
    assert not target.exists(), f"{target} is left behind"
    for directory in list(target.parents)[:4]:
        with contextlib.suppress(OSError):
            directory.rmdir()


def _sockets(directory: Path) -> Iterator[tuple[Path, tuple[int, int]]]:
    for path in directory.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if path.is_socket():
                found = path.stat()
                yield path, (found.st_ino, found.st_ctime_ns)


def _pod_info(use: Use) -> dict[str, str]:
    """podInfoOnMount."""
    return {
        "csi.storage.k8s.io/pod.name": use.pod.name,
        "csi.storage.k8s.io/pod.namespace": use.pod.namespace,
        "csi.storage.k8s.io/pod.uid": use.pod.uid,
        "csi.storage.k8s.io/serviceAccount.name": use.pod.service_account,
        "csi.storage.k8s.io/ephemeral": str(use.volume.inline).lower(),
    }


def _tokens(pod: Pod, number: int) -> dict[str, str]:
    """tokenRequests: others each time."""
    until = (datetime.now(UTC) + _TOKEN_LIFETIME).isoformat(timespec="seconds").replace("+00:00", "Z")
    tokens = {
        audience: {"token": f"{pod.namespace}.{pod.service_account}.{number}", "expirationTimestamp": until}
        for audience in AUDIENCES
    }
    return {"csi.storage.k8s.io/serviceAccount.tokens": json.dumps(tokens)}
