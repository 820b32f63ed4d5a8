"""The credentials of volumes, by their attribute authenticationSource: driver, pod or secret.

Called by node.py for each publication: `prepare` before a mount is made, `refresh` whenever kubelet publishes again
what is there, which is where new tokens and rotated secrets come from.
"""

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from mountctl.csi.credentials import keys, pod, tokens
from mountctl.csi.credentials.files import CredentialFiles
from mountctl.csi.credentials.roles import Roles
from mountctl.csi.credentials_interface import CredentialsError, Prepared
from mountctl.csi.publish_request import PublishRequest, Source
from mountctl.errors import MountctlError
from mountctl.volume import Cause, Pod

_CERTIFICATES_FILE: Final = "ca.pem"
# In place of a mount's directory, which is named after the rest.
_WHEREVER: Final = Path("/")
# A publication takes less (calls.py, SECONDS_MAX), and so does a supervisor that nobody waits for any more.
_UNDER_WAY_SECONDS: Final = 300.0
_OF_THE_CSIDRIVER: Final = "the CSIDriver object must have it below tokenRequests"


class VolumeCredentials:
    """credentials_interface.Credentials, with files below the supervisor's runtime directory.

    Args:
        files: for what is written.
        roles: what annotations of service accounts say; None: they can't be asked, and volumes name their role.
        environ: of this process, for what says where AWS is.
    """

    def __init__(
        self, files: CredentialFiles, roles: Roles | None = None, environ: Mapping[str, str] = os.environ
    ) -> None:
        self._files = files
        self._roles = roles
        self._environ = environ

    def prepare(self, request: PublishRequest) -> Prepared:
        """Write what a mount needs that is about to be made. Raises CredentialsError."""
        texts = _texts(request)
        whose, role = "", ""
        if request.source is Source.POD:
            who = _who(request)
            role = self._role(request, who)
            whose = f"{who.namespace}/{who.service_account}"
        # All that the mount is told counts, also what this process adds, and another version of it may add otherwise:
        # the supervisor refuses other options under a name that is in use.
        told = self._environment(request, _WHEREVER, role)
        identity = " ".join([whose, *(f"{key}={value}" for key, value in sorted(told.items()))]).strip()
        name = request.mount_name(identity)
        directory = self._files.path(name)
        environment = self._environment(request, directory, role)
        options = {"ca-bundle": str(directory / _CERTIFICATES_FILE)} if request.ca_certificates else {}
        try:
            if texts:
                self._files.write(name, texts)
        except OSError as error:
            raise CredentialsError(
                f"{error.filename}: {error.strerror}: it is to hold credentials", Cause.NODE
            ) from None
        return Prepared(identity, environment, options)

    def refresh(self, request: PublishRequest, name: str) -> None:
        """Write what has changed. Raises CredentialsError, OSError."""
        if texts := _texts(request):
            self._files.write(name, texts)

    def remove(self, name: str) -> None:
        """The mount is gone. Raises OSError."""
        self._files.remove(name)

    def sweep(self, names: Collection[str]) -> list[str]:
        """Remove what was written for mounts that are not among these, nor about to be. Raises OSError."""
        return self._files.sweep(names, _UNDER_WAY_SECONDS)

    def _environment(self, request: PublishRequest, directory: Path, role: str) -> dict[str, str]:
        """What the mount's chain of credentials sees, which ends there; nothing, if it is the supervisor's."""
        if request.source is Source.DRIVER:
            return {}
        region = pod.regional(request, self._environ)
        if request.pod is None or request.source is Source.SECRET:
            return pod.isolated(directory) | {"AWS_SHARED_CREDENTIALS_FILE": str(directory / keys.FILE)} | region
        if role:
            return pod.web_identity(directory, request.pod, role) | region
        return pod.pod_identity(directory, self._environ) | region

    def _role(self, request: PublishRequest, who: Pod) -> str:
        """The role that a pod takes on; empty: EKS Pod Identity knows. Raises CredentialsError if there is neither."""
        account, given = f"{who.namespace}/{who.service_account}", _tokens(request)
        role = request.role_arn or self._annotated(who)
        if role and not pod.is_role(role):
            of = "roleArn" if request.role_arn else f"annotation {pod.ROLE_ANNOTATION} of service account {account}"
            raise _impossible(request, f"{of} is not the ARN of a role, arn:aws:iam::ACCOUNT:role/NAME", Cause.INVALID)
        if role and tokens.STS_AUDIENCE not in given:
            raise _impossible(request, f"there is no token for {tokens.STS_AUDIENCE}: {_OF_THE_CSIDRIVER}")
        if not role and tokens.POD_IDENTITY_AUDIENCE not in given:
            raise _impossible(
                request,
                f"service account {account} has no role: set the annotation {pod.ROLE_ANNOTATION}, or roleArn; "
                f"for EKS Pod Identity there is no token for {tokens.POD_IDENTITY_AUDIENCE}: {_OF_THE_CSIDRIVER}",
            )
        return role

    def _annotated(self, who: Pod) -> str:
        try:
            return self._roles.of(who.namespace, who.service_account) if self._roles else ""
        except MountctlError as error:
            raise CredentialsError(f"the pod's role is not known: {error}", Cause.UNREACHABLE) from None


def _texts(request: PublishRequest) -> dict[str, str]:
    """The files of a mount, by name. Raises CredentialsError."""
    texts = {_CERTIFICATES_FILE: request.ca_certificates} if request.ca_certificates else {}
    match request.source:
        case Source.SECRET:
            return texts | {keys.FILE: _keys(request).profile()}
        case Source.POD:
            return texts | pod.token_files(_tokens(request))
        case _:
            return texts


def _who(request: PublishRequest) -> Pod:
    who = request.pod
    if who is None or not who.namespace or not who.service_account:
        raise _impossible(request, "kubelet does not say whose pod it is: the CSIDriver object needs podInfoOnMount")
    return who


def _keys(request: PublishRequest) -> keys.Keys:
    if not request.secrets:
        raise _impossible(
            request, "the volume has no keys: name a Secret with key_id and access_key in its nodePublishSecretRef"
        )
    try:
        return keys.found_in(request.secrets)
    except keys.NoKeys as error:
        raise _impossible(request, f"the Secret of nodePublishSecretRef is of no use: {error}") from None


def _tokens(request: PublishRequest) -> Mapping[str, str]:
    try:
        return tokens.by_audience(request.service_account_tokens)
    except tokens.BadTokens as error:
        raise _impossible(request, str(error)) from None


def _impossible(request: PublishRequest, why: str, cause: Cause = Cause.CREDENTIALS) -> CredentialsError:
    return CredentialsError(f"authenticationSource {request.source.value}: {why}", cause)
