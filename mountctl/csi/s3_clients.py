"""boto3's clients for the controller: which keys, which endpoint, how patient. boto3 is imported when one is made."""

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import engine
from mountctl.csi.provisioned import Place
from mountctl.csi.refusal import InvalidArgument
from mountctl.csi.s3_refusals import refused, unanswered

# external-provisioner gives a call 10 s unless told otherwise, and asks again: S3 that answers nothing is told in time.
_CONNECT_SECONDS: Final = 3
_READ_SECONDS: Final = 6
_ATTEMPTS: Final = 3
# Where neither the StorageClass nor the environment says one; S3 tells where a bucket is, and botocore follows.
_DEFAULT_REGION: Final = "us-east-1"
# StorageClasses differ in few places; each client keeps some MiB.
_CLIENTS_MAX: Final = 16

# A secret's keys, as the CSI drivers for S3 call them and as the AWS tools do.
_KEY_ID: Final = ("key_id", "AWS_ACCESS_KEY_ID", "accessKeyID")
_SECRET_KEY: Final = ("access_key", "AWS_SECRET_ACCESS_KEY", "secretAccessKey")
_SESSION_TOKEN: Final = ("session_token", "AWS_SESSION_TOKEN", "sessionToken")


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
        if given := secrets or mounted_secret(self._secret_directory):
            made = self._make(place, _keys(given))
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
        made = self._make(place, {})
        with self._lock, asking("find credentials"):
            if self._of_boto3().get_credentials() is not None:
                while len(self._kept) >= _CLIENTS_MAX:  # the oldest; whoever uses it still has it
                    self._kept.pop(next(iter(self._kept)))
                self._kept[like] = made
        return made

    def _make(self, place: Place, keys: Mapping[str, str]) -> Any:
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
                aws_access_key_id=keys.get(_KEY_ID[1]),
                aws_secret_access_key=keys.get(_SECRET_KEY[1]),
                aws_session_token=keys.get(_SESSION_TOKEN[1]),
            )

    def _of_boto3(self) -> Any:
        """boto3's session, for one thread at a time. It reads what S3 is once, which takes a tenth of a second."""
        if self._session is None:
            import boto3

            self._session = boto3.session.Session()
        return self._session


def mounted_secret(directory: Path | None) -> dict[str, str]:
    """What of a mounted Secret may be keys, of one moment: kubelet exchanges all its files at once, by a symlink."""
    if directory is None:
        return {}
    there = Path(os.path.realpath(directory / "..data"))
    secret = {}
    for name in (*_KEY_ID, *_SECRET_KEY, *_SESSION_TOKEN):
        with contextlib.suppress(FileNotFoundError):
            secret[name] = ((there if there.is_dir() else directory) / name).read_text()
    return secret


def _keys(secrets: Mapping[str, str]) -> dict[str, str]:
    """A secret's keys, by the names that AWS has for them. Never shows a value."""
    found = {}
    for names in (_KEY_ID, _SECRET_KEY, _SESSION_TOKEN):
        # `echo` leaves a newline behind, which is no part of any key.
        if value := next((text for name in names if (text := secrets.get(name, "").strip())), ""):
            found[names[1]] = value
        elif names is not _SESSION_TOKEN:
            raise InvalidArgument(f"the secret with the keys has no {names[0]} (or {names[1]})")
    return found
