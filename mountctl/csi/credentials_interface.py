"""What node.py asks of whoever writes a mount's credentials; and the one for mounts that need nothing written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from mountctl.csi.publish_request import PublishRequest, Source
from mountctl.errors import MountctlError
from mountctl.volume import Cause


class CredentialsError(MountctlError):
    """There are no credentials for a mount; the text says why, and how to mend it, without any of them.

    Args:
        sentence: for `kubectl describe pod`.
        cause: what the answer's gRPC code is made of (codes.py).
    """

    def __init__(self, sentence: str, cause: Cause = Cause.CREDENTIALS) -> None:
        super().__init__(sentence)
        self.cause = cause


@dataclass(frozen=True)
class Prepared:
    """A mount's credentials are where its engine finds them.

    Args:
        identity: whose they are and all else that makes environment and options, as far as it is not in the request:
            equal for pods that may share a mount (for a pod's own: its namespace, service account, role, and where that
            is asked for). No secret.
        environment: for the mount: names of files and roles, never keys.
        options: for the mount, beside those: such as `ca-bundle`.
    """

    identity: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


class Credentials(Protocol):
    """Called from several threads, for one target by one at a time.

    A mount's name is `request.mount_name(identity)`, so files may be named by it.
    """

    def prepare(self, request: PublishRequest) -> Prepared:
        """Before a volume is mounted: find out whose credentials, and write them. May ask over the network, bounded.

        Raises CredentialsError.
        """

    def refresh(self, request: PublishRequest, name: str) -> None:
        """A volume that is mounted is published again, as it is all the time: write what has changed.

        No network, and nothing that waits. Raises CredentialsError or OSError, which is told and fails nothing.

        Args:
            request: with the tokens and secrets of now.
            name: of the mount that it has.
        """

    def remove(self, name: str) -> None:
        """The mount is gone: remove what was written for it, if anything was. Raises OSError."""


class DriverCredentials:
    """For authenticationSource `driver` alone: mounts see what the supervisor sees."""

    def prepare(self, request: PublishRequest) -> Prepared:
        """Nothing is written. Raises CredentialsError for all that would have to be."""
        if request.source is not Source.DRIVER:
            raise CredentialsError(f"authenticationSource {request.source.value!r} is not served", Cause.NODE)
        if request.ca_certificates:
            raise CredentialsError("caBundle: give the path of a file that the supervisor sees", Cause.NODE)
        return Prepared()

    def refresh(self, request: PublishRequest, name: str) -> None:
        """Nothing to do."""

    def remove(self, name: str) -> None:
        """Nothing to do."""
