"""boto3's clients for the controller: which keys, which endpoint, how patient. boto3 is imported when one is made."""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import grpc

import engine
from mountctl.csi.credentials.keys import Keys, NoKeys, found_in, mounted
from mountctl.csi.provisioned import Place
from mountctl.csi.refusal import InvalidArgument, Refusal
from mountctl.csi.s3_refusals import refused, unanswered

# external-provisioner gives a call 10 s unless told otherwise, and asks again: S3 that answers nothing is told in time.
_CONNECT_SECONDS: Final = 3
_READ_SECONDS: Final = 6
_ATTEMPTS: Final = 3
# Where neither the StorageClass nor the environment says one; S3 tells where a bucket is, and botocore follows.
_DEFAULT_REGION: Final = "us-east-1"
# StorageClasses differ in few places; each client keeps some MiB.
_CLIENTS_MAX: Final = 16


@contextlib.contextmanager
def asking(doing: str) -> Iterator[None]:
    """Around a request: what goes wrong becomes a Refusal (S3Said if S3 answered). `doing` as in s3_refusals.py."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise refused(error.response, doing) from None
    except BotoCoreError as error:
        raise unanswered(error, doing) from None


class Clients:
    """Clients for places. One with credentials of the usual places is kept; boto3's are safe for threads.

    Args:
        secret_directory: of a mounted Secret with the driver's own keys, read each time: kubelet changes it in place.
    """

    def __init__(self, secret_directory: Path | None = None) -> None:
        self._secret_directory = secret_directory
        self._lock = threading.Lock()
        self._session: Any = None
        self._kept: dict[tuple[str | None, str | None, bool | None], Any] = {}

    @contextlib.contextmanager
    def client(self, place: Place, secrets: Mapping[str, str]) -> Iterator[Any]:
        """A client for a place's bucket.

        Args:
            place: which S3, and how it is reached.
            secrets: of the request; empty: the driver's own keys, else what boto3 finds in the usual places.

        Raises Refusal.
        """
        if (keys := _given(secrets, self._secret_directory)) is not None:
            made = self._make(place, keys)
            try:
                yield made
            finally:
                made.close()
            return
        yield self._own(place)

    def _own(self, place: Place) -> Any:
        """A client with credentials of the usual places. One that found none is not kept: there may be some later."""
        like = (place.endpoint_url, place.region, place.path_style)
        if (kept := self._kept.get(like)) is not None:
            return kept
        made = self._make(place, None)
        with self._lock, asking("find credentials"):
            if self._of_boto3().get_credentials() is not None:
                while len(self._kept) >= _CLIENTS_MAX:  # the oldest; whoever uses it still has it
                    self._kept.pop(next(iter(self._kept)))
                self._kept[like] = made
        return made

    def _make(self, place: Place, keys: Keys | None) -> Any:
        """A client with these keys; without any it has what boto3 finds."""
        from botocore.config import Config

        config = Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            s3={"addressing_style": "path"} if place.path_style else {},
            user_agent_extra=f"mountctl-csi/{engine.__version__}",
            # Other servers than Amazon's refuse what they don't know.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        with self._lock, asking("reach S3"):
            session = self._of_boto3()
            return session.client(
                "s3",
                region_name=place.region or session.region_name or _DEFAULT_REGION,
                endpoint_url=place.endpoint_url,
                config=config,
                aws_access_key_id=keys and keys.access_key,
                aws_secret_access_key=keys and keys.secret_key,
                aws_session_token=(keys and keys.token) or None,
            )

    def _of_boto3(self) -> Any:
        """boto3's session, for one thread at a time. It reads what S3 is once, which takes a tenth of a second."""
        if self._session is None:
            import boto3

            self._session = boto3.session.Session()
        return self._session


def _given(secrets: Mapping[str, str], directory: Path | None) -> Keys | None:
    """A request's keys, else those of a mounted Secret. Raises Refusal."""
    try:
        given = secrets or ({} if directory is None else mounted(directory))
        return found_in(given) if given else None
    except NoKeys as error:
        raise InvalidArgument(f"the secret with the keys is of no use: {error}") from None
    except OSError as error:
        raise Refusal(grpc.StatusCode.FAILED_PRECONDITION, f"{error.filename}: {error.strerror}") from None
