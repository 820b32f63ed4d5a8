"""A mount's access to S3: credentials by botocore's whole chain, beside the bucket's location.

Called by engine/broker.py (in threads: everything here blocks) and by an engine that runs alone. No engine under a
supervisor reads a credential file. Nothing here logs, and no error text holds a secret.
"""

import functools
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from botocore.config import Config
from botocore.credentials import CredentialResolver, ProcessProvider
from botocore.exceptions import ConfigParseError, ProfileNotFound
from botocore.loaders import Loader, create_loader
from botocore.session import Session
from pydantic import SecretStr

from engine.link import Access, Credentials
from engine.s3.location import DEFAULT_REGION, Location, locate
from engine.s3.surroundings import within
from engine.s3.unavailable import ProcessFailed, reason
from engine.spec import MountSpec
from engine.variables import as_table

# STS answers in well under a second; three tries of these fit into the broker's limit for a mount.
_STS_CONNECT_SECONDS: Final = 3
_STS_READ_SECONDS: Final = 5
_STS_ATTEMPTS: Final = 3
# A helper that asks a vault over the network takes a few seconds; one that hangs must be ended to be tried again.
PROCESS_SECONDS_MAX: Final = 25.0
# The links of botocore's chain by what people call them; a link that is not here is called as botocore does.
_SOURCES: Final = {
    "env": "environment",
    "shared-credentials-file": "profile",
    "config-file": "profile",
    "assume-role": "role",
    "assume-role-with-web-identity": "web-identity",
    "custom-process": "credential-process",
    "sso": "sso",
    "container-role": "container",
    "iam-role": "instance",
}

_T = TypeVar("_T")


class AccessUnavailable(Exception):
    """No credentials, or no endpoint, for now. The text is a sentence for a person: what is wrong and where."""


@dataclass(frozen=True, slots=True)
class _Stamp:
    """What tells a rewritten file from the one before: editors and `aws configure` replace, some write in place."""

    modified_ns: int
    size: int
    inode: int


Fingerprint = tuple[_Stamp | None, ...]


class CredentialSource:
    """The credentials of one profile, shared by all mounts that name it. Keeps nothing between two loads.

    Args:
        profile: of the AWS configuration files; None: AWS_PROFILE or `default`, and the environment's keys.
        ca_bundle: the authorities to believe where keys are asked for; None: the system's, or AWS_CA_BUNDLE's.
        environment: seen instead of the process's (surroundings.py); None: the process's.
        region: where roles are asked for if neither that environment nor a profile says so; None: us-east-1.
    """

    def __init__(
        self,
        profile: str | None,
        ca_bundle: str | None = None,
        environment: Mapping[str, str] | None = None,
        region: str | None = None,
    ) -> None:
        self.profile = profile
        self._ca_bundle = ca_bundle
        self._environment = environment
        self._region = region
        self._files: tuple[Path, ...] | None = None

    def load(self) -> Credentials:
        """Walk botocore's chain: environment, profile (keys, roles, processes, SSO), web identity, container, IMDS.

        Reads the files and asks the servers anew each time, so the answer is never older than the call. Blocks for
        seconds where a role or a process is asked. Raises AccessUnavailable.
        """
        with within(self._environment):
            return _guarded(self._load, self.profile)

    def locate(self, spec: MountSpec) -> Location:
        """Where the mount's bucket is, as this profile sees it. Raises AccessUnavailable."""
        with within(self._environment):
            return _guarded(lambda: locate(spec, _reader(self.profile)), self.profile)

    def fingerprint(self) -> Fingerprint:
        """Differs whenever a file was written that keys and profiles are read from. Blocks for a stat each."""
        if self._files is None:
            with within(self._environment):
                self._files = watched_files()
        return fingerprint(self._files)

    def _load(self) -> Credentials:
        session = _session(self.profile)
        if self._ca_bundle is not None:
            session.set_config_variable("ca_bundle", self._ca_bundle)
        if self._environment is not None and session.get_config_variable("region") is None:
            session.set_config_variable("region", self._region or DEFAULT_REGION)
        # An unknown profile is told here; it must not fall through to the instance's role.
        if {"mfa_serial", "role_arn"} <= session.get_scoped_config().keys():
            name = session.profile or "default"
            raise AccessUnavailable(f"profile {name!r} asks for an MFA code, which nobody is there to give")
        _limit_processes(session)
        found = session.get_credentials()
        if found is None:
            raise AccessUnavailable(_nothing_found(self.profile))
        keys = found.get_frozen_credentials()
        if not keys.access_key or not keys.secret_key:
            raise AccessUnavailable(_nothing_found(self.profile))
        expiry = getattr(found, "_expiry_time", None)  # botocore tells it nowhere else
        return Credentials(
            access_key=keys.access_key,
            secret_key=SecretStr(keys.secret_key),
            token=SecretStr(keys.token) if keys.token else None,
            expires=expiry.timestamp() if expiry else None,
            source=_SOURCES.get(found.method, found.method),
        )


def resolve(spec: MountSpec) -> Access:
    """A mount's access, asked for once. Blocks. Raises AccessUnavailable."""
    source = source_of(spec)
    location = source.locate(spec)
    return access(spec, location, None if spec.no_sign_request else source.load())


def source_of(spec: MountSpec) -> CredentialSource:
    """The source of a mount's credentials. An anonymous mount has none, but its location is looked up by one."""
    profile, ca_bundle = (None, None) if spec.no_sign_request else (spec.profile, spec.ca_bundle)
    return CredentialSource(profile, ca_bundle, as_table(spec.environment) or None, spec.region)


def access(
    spec: MountSpec, location: Location, credentials: Credentials | None, renewal_error: str | None = None
) -> Access:
    """The message to the mount's engine."""
    return Access(
        name=spec.name,
        endpoint=location.endpoint,
        region=location.region,
        signing_name=location.signing_name,
        region_told=location.region_told,
        attempts_max=location.attempts_max,
        proxy=SecretStr(location.proxy) if location.proxy else None,
        credentials=credentials,
        renewal_error=renewal_error,
    )


def watched_files() -> tuple[Path, ...]:
    """The files that botocore reads keys and profiles from, whether they exist or not."""
    session = _reader(None)
    names = (session.get_config_variable("config_file"), session.get_config_variable("credentials_file"))
    return tuple(Path(os.path.expandvars(name)).expanduser() for name in names)


def fingerprint(paths: tuple[Path, ...]) -> Fingerprint:
    """Differs whenever one of the files was written, replaced, made or removed. Blocks for a stat each."""
    return tuple(_stamp(path) for path in paths)


def _stamp(path: Path) -> _Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None  # absent or unreadable: the next load says so, with its reason
    return _Stamp(found.st_mtime_ns, found.st_size, found.st_ino)


def _reader(profile: str | None) -> Session:
    """A session that reads files and variables. Without the handlers of requests, which cost ten times as much."""
    return Session(profile=profile, include_builtin_handlers=False)


def _session(profile: str | None) -> Session:
    """A session that can ask STS and the like."""
    session = Session(profile=profile)
    session.register_component("data_loader", _loader())
    retries: Any = {"total_max_attempts": _STS_ATTEMPTS, "mode": "standard"}
    session.set_default_client_config(
        Config(connect_timeout=_STS_CONNECT_SECONDS, read_timeout=_STS_READ_SECONDS, retries=retries)
    )
    # The metadata service is asked once, for a second: botocore's defaults, which AWS_METADATA_SERVICE_* change.
    return session


@functools.cache
def _loader() -> Loader:
    """Service descriptions, which every session would parse again."""
    return create_loader()


def _limit_processes(session: Session) -> None:
    """Put a credential_process under a time limit, which botocore does not."""
    resolver: CredentialResolver = session.get_component("credential_provider")
    name = ProcessProvider.METHOD
    profile = session.profile or "default"
    limited = ProcessProvider(profile, lambda: session.full_config, popen=_LimitedProcess)
    resolver.insert_after(name, limited)
    resolver.remove(name)  # the first of that name: botocore's own


class _LimitedProcess(subprocess.Popen[bytes]):
    """A program that is killed, with all that it started, when it has not ended in time.

    One that fails is told by its name and exit code: botocore would tell what it printed, which may be a secret.
    """

    def __init__(self, args: list[str], **options: Any) -> None:
        self._program = Path(args[0]).name  # not its arguments: they may hold a secret, too
        # The environment that this thread sees: a program would have the process's by itself.
        super().__init__(args, stdin=subprocess.DEVNULL, start_new_session=True, env=dict(os.environ), **options)

    def communicate(self, input: bytes | None = None, timeout: float | None = None) -> tuple[bytes, bytes]:  # noqa: A002
        try:
            printed = super().communicate(input, timeout or PROCESS_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            super().communicate()
            raise
        if self.returncode:
            raise ProcessFailed(self._program, self.returncode)
        return printed


def _guarded(call: Callable[[], _T], profile: str | None) -> _T:
    try:
        return call()
    except AccessUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - botocore on odd input raises nearly anything, which must not end all
        # Without the cause: its text, which a traceback would show, may hold a secret.
        raise AccessUnavailable(_say(error, profile)) from None


def _say(error: Exception, profile: str | None) -> str:
    """What went wrong, for a person."""
    match error:
        case ProfileNotFound():
            return _unknown_profile(error)
        case ConfigParseError():
            return f"{error.kwargs['path']} is not a valid AWS configuration file"
        case _:
            return reason(error, f"profile {profile!r}" if profile else "the default credentials")


def _unknown_profile(error: ProfileNotFound) -> str:
    config, credentials = watched_files()
    origin = " (from AWS_PROFILE)" if os.environ.get("AWS_PROFILE") == error.kwargs["profile"] else ""
    return f"profile {error.kwargs['profile']!r}{origin} is not in {config} or {credentials}"


def _nothing_found(profile: str | None) -> str:
    _, credentials = watched_files()
    where = (
        f"profile {profile!r} has none" if profile else f"none in the environment, {credentials} or instance metadata"
    )
    return f"no credentials found: {where}; add some, or set no-sign-request = true for a public bucket"
