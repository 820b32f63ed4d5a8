"""How a volume comes to a target, and goes from it. Called by node.py, for one volume and target by one at a time."""

import logging
import threading
import time
from collections import OrderedDict
from typing import Final

import grpc

from engine.facts import about
from engine.message_ids import CONFIG_IGNORED, CSI_CREDENTIALS, CSI_REFUSED
from mountctl.config.words import one_line
from mountctl.csi.credentials_interface import Credentials
from mountctl.csi.keyed_locks import KeyedLocks, StillHeld
from mountctl.csi.mount_table import MountTable
from mountctl.csi.publish_request import PublishRequest
from mountctl.csi.published import Published, Use
from mountctl.csi.refusal import Refusal
from mountctl.csi.supervisor import STATUS_SECONDS_MAX, Supervisor, mounted
from mountctl.errors import MountctlError, SupervisorSilent
from mountctl.volume import Apply, Release

_log = logging.getLogger(__name__)

# Requests that wait for the supervisor at a time. They take threads (server.py has twice as many), of which those that
# need not wait must find one; and it answers 64 commands at a time (control/server.py).
WAITING_MAX: Final = 48
# Less than that would be a question without an answer, however late it is.
SECONDS_MIN: Final = 0.1
# Sentences that were told already.
_TOLD_MAX: Final = 1024


class Publishing:
    """All volumes of this node.

    Args:
        driver: the driver's name.
        supervisor: mounts.
        credentials: writes what mounts need to sign requests.
        mounts: what is mounted, as far as can be seen here.
    """

    def __init__(
        self,
        driver: str,
        supervisor: Supervisor,
        credentials: Credentials,
        mounts: MountTable,
    ) -> None:
        self._driver = driver
        self._supervisor = supervisor
        self._credentials = credentials
        self._mounts = mounts
        self.published: Final = Published(self._forget)
        self._waiting = threading.BoundedSemaphore(WAITING_MAX)
        self._single_writers = KeyedLocks()
        self._mutex = threading.Lock()
        self._told: OrderedDict[str, None] = OrderedDict()

    def publish(self, request: PublishRequest, seconds: float) -> None:
        """Have a volume at a target. Raises Refusal, MountctlError.

        Args:
            request: what is asked for.
            seconds: how long it may take.
        """
        until = time.monotonic() + seconds
        if self._is_there(request):
            return
        for note in request.notes:
            self._tell(f"volume {request.volume_id}: {note}")
        if not request.single_writer:
            self._have(request, until)
            return
        try:
            # Two pods may come for it at once.
            with self._single_writers.held(request.volume_id, seconds):
                self._check_single(request)
                self._have(request, until)
        except StillHeld:
            raise Refusal(grpc.StatusCode.ABORTED, f"volume {request.volume_id} is being mounted elsewhere") from None

    def _have(self, request: PublishRequest, until: float) -> None:
        """Ask the supervisor. What was written for a mount that does not come about is removed."""
        with self.published.publishing(request.volume_id), self._place():
            asked = self._asked(request)
            try:
                self._supervisor.apply(asked, seconds=max(until - time.monotonic(), SECONDS_MIN))
            except MountctlError as error:
                # Whoever did not answer may be at it still.
                if not isinstance(error, SupervisorSilent) and self._knows_all():
                    self.published.gone(request.volume_id, asked.name)
                raise
            self.published.remember(
                Use(request.volume_id, request.target, asked.name, request.read_only, request, asked)
            )

    def _asked(self, request: PublishRequest) -> Apply:
        """What to ask the supervisor for: what it was asked for before, if it was."""
        use = self.published.at(request.target)
        if use is not None and use.apply is not None:
            self._refresh(request, use.name)
            return use.apply
        prepared = self._credentials.prepare(request)
        return request.apply(prepared.identity, prepared.environment, prepared.options)

    def unpublish(self, volume_id: str, target: str, seconds: float) -> None:
        """Have a target gone, and its mount if it was the last one. Raises Refusal, MountctlError."""
        with self._place():
            released = self._supervisor.release(Release(target=target, volume=volume_id), seconds=seconds)
        use = self.published.at(target)
        self.published.drop(target)
        if released.gone and (name := released.name or (use.name if use else "")):
            self.published.gone(volume_id, name)

    def _is_there(self, request: PublishRequest) -> bool:
        """Whether the volume is at its target already; what may have changed meanwhile is written. Asks nobody if it
        was published by this process. Raises Refusal for another one there.
        """
        is_mounted = self._mounts.is_mounted(request.target)
        use = self.published.at(request.target)
        if use is None and is_mounted:
            if not self._learn():
                self._tell(f"volume {request.volume_id} is mounted, and no supervisor answers: it stays as it is")
                return True  # an error would help nobody, and kubelet would make other pods wait for this one
            use = self.published.at(request.target)
            if use is None and not self._mounts.is_ours(request.target):
                # Such as one of the driver that had our name before: it goes with its pod.
                self._tell(f"volume {request.volume_id}: what is mounted at {request.target} is not ours: it stays")
                return True
        if use is None:
            return False
        if not use.fits(request):
            raise Refusal(grpc.StatusCode.ALREADY_EXISTS, _taken(use, request))
        if not is_mounted:
            return False  # unmounted behind our back, or not to be seen here: the supervisor knows
        if use.request is None:
            self.published.remember(use.asked(request))
        elif use.request != request:
            self._tell(
                f"volume {request.volume_id} at {request.target} keeps the options that it was mounted with;"
                " new pods get the new ones"
            )
        self._refresh(request, use.name)
        return True

    def _refresh(self, request: PublishRequest, name: str) -> None:
        try:
            self._credentials.refresh(request, name)
        except (MountctlError, OSError) as error:
            # The mount is there and has what it had: the next one in a minute may do it.
            _log.warning(
                "%s",
                one_line(f"volume {request.volume_id}: its credentials were not renewed: {error}"),
                extra=about(CSI_CREDENTIALS),
            )

    def _check_single(self, request: PublishRequest) -> None:
        if not self._knows_all():
            raise Refusal(
                grpc.StatusCode.UNAVAILABLE,
                f"volume {request.volume_id} is for one pod alone (ReadWriteOncePod), and no supervisor says whether"
                " another has it: it is tried again",
            )
        if (other := self.published.elsewhere(request.volume_id, request.target)) is not None:
            raise Refusal(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"volume {request.volume_id} is for one pod alone (ReadWriteOncePod), and is published at"
                f" {other.target}: that pod must end first",
            )

    def _knows_all(self) -> bool:
        """Whether the supervisor's volumes are known; it is asked once. While they are not, files that may be
        somebody's stay.
        """
        return self.published.complete or self._learn()

    def _learn(self) -> bool:
        """Take over what the supervisor knows. False if it does not answer."""
        try:
            self.published.learn(self._uses)
        except (MountctlError, ValueError, LookupError) as error:
            _log.warning("%s", one_line(f"the supervisor's volumes are not known: {error}"), extra=about(CSI_REFUSED))
            return False
        return True

    def _uses(self) -> list[Use]:
        """What the supervisor knows. Raises MountctlError, ValueError, LookupError."""
        return [
            Use(consumer.volume, consumer.target, mount.name, consumer.read_only)
            for mount in mounted(self._supervisor.status(seconds=STATUS_SECONDS_MAX))
            for consumer in mount.consumers(self._driver)
        ]

    def _place(self) -> "_Place":
        return _Place(self._waiting)

    def _forget(self, name: str) -> None:
        try:
            self._credentials.remove(name)
        except OSError as error:
            _log.warning(
                "%s",
                one_line(f"mount {name}: its credentials could not be removed: {error}"),
                extra=about(CSI_CREDENTIALS),
            )

    def _tell(self, sentence: str) -> None:
        """Once, as kubelet asks the same again and again."""
        with self._mutex:
            if sentence in self._told:
                return
            self._told[sentence] = None
            if len(self._told) > _TOLD_MAX:
                self._told.popitem(last=False)
        _log.warning("%s", one_line(sentence), extra=about(CONFIG_IGNORED))


class _Place:
    """One of the places for those that wait for the supervisor."""

    def __init__(self, places: threading.BoundedSemaphore) -> None:
        self._places = places

    def __enter__(self) -> None:
        if not self._places.acquire(blocking=False):
            sentence = f"{WAITING_MAX} volumes of this node are being mounted or unmounted: it is tried again"
            raise Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, sentence)

    def __exit__(self, *_error: object) -> None:
        self._places.release()


def _taken(use: Use, request: PublishRequest) -> str:
    if use.volume_id != request.volume_id:
        return f"{request.target} has another volume: {use.volume_id}"
    if use.read_only != request.read_only:
        there, asked = ("read-only", "read-write") if use.read_only else ("read-write", "read-only")
        return f"volume {use.volume_id} is at {use.target} already, {there} and not {asked}: unpublish it first"
    return f"volume {use.volume_id} is at {use.target} already, of another bucket or with other credentials"
