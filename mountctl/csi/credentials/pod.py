"""What says to a mount's chain of credentials that it is a pod's service account: IRSA, or EKS Pod Identity. Pure.

IRSA (a role for a service account) is a web identity: STS gives a role's keys for the pod's token. EKS Pod Identity
asks the agent of the node, which knows the role. The chain ends there: a pod never has the node's role, nor what the
supervisor has.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from mountctl.csi.credentials.tokens import POD_IDENTITY_AUDIENCE, STS_AUDIENCE
from mountctl.csi.publish_request import PublishRequest
from mountctl.volume import Pod

# The annotation of a service account that has a role.
ROLE_ANNOTATION: Final = "eks.amazonaws.com/role-arn"
# EKS's agent, and the variable that says where another one is.
AGENT: Final = "http://169.254.170.23/v1/credentials"
AGENT_VARIABLE: Final = "EKS_POD_IDENTITY_AGENT_CONTAINER_CREDENTIALS_FULL_URI"

STS_TOKEN: Final = "token"  # noqa: S105 - a file's name
POD_IDENTITY_TOKEN: Final = "eks-pod-identity-token"  # noqa: S105 - a file's name
_FILES: Final = {STS_AUDIENCE: STS_TOKEN, POD_IDENTITY_AUDIENCE: POD_IDENTITY_TOKEN}
# Files that are never there: with them, no other is read.
_NO_CONFIG: Final = "no-config"
_NO_CREDENTIALS: Final = "no-credentials"

# arn:aws:iam::ACCOUNT:role/PATH/NAME
_ROLE: Final = re.compile(r"^arn:[a-z0-9-]+:iam::[0-9]{1,32}:role/[\w+=,.@/-]{1,600}$", re.ASCII)
# Of a role's session: letters, digits and =,.@-, at most 64.
_SESSION_CHARS_MAX: Final = 64
# Of this process, what says where STS is; the first is used if no volume says it.
_REGIONS: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")
_STS_ENDPOINTS: Final = "AWS_STS_REGIONAL_ENDPOINTS"


def token_files(tokens: Mapping[str, str]) -> dict[str, str]:
    """The files of tokens of AWS's, by name."""
    return {_FILES[audience]: token for audience, token in tokens.items() if audience in _FILES}


def is_role(arn: str) -> bool:
    """Whether it is a role's ARN."""
    return _ROLE.fullmatch(arn) is not None


def isolated(directory: Path) -> dict[str, str]:
    """Variables with which no file but those that a mount is given is read, and the node's role is not asked for."""
    return {
        "AWS_CONFIG_FILE": str(directory / _NO_CONFIG),
        "AWS_SHARED_CREDENTIALS_FILE": str(directory / _NO_CREDENTIALS),
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def web_identity(directory: Path, pod: Pod, role: str) -> dict[str, str]:
    """IRSA: the role, for the token in a mount's directory."""
    return isolated(directory) | {
        "AWS_ROLE_ARN": role,
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(directory / STS_TOKEN),
        "AWS_ROLE_SESSION_NAME": session_name(pod),
    }


def pod_identity(directory: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """EKS Pod Identity: the agent, for the token in a mount's directory."""
    return isolated(directory) | {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": environ.get(AGENT_VARIABLE) or AGENT,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(directory / POD_IDENTITY_TOKEN),
    }


def session_name(pod: Pod) -> str:
    """Who it is, for the logs of AWS: pods of one service account share a mount, so it is that."""
    plain = re.sub(r"[^0-9A-Za-z=,.@-]", "-", f"{pod.namespace}-{pod.service_account}")
    return plain[:_SESSION_CHARS_MAX].ljust(2, "-")


def regional(request: PublishRequest, environ: Mapping[str, str]) -> dict[str, str]:
    """Where STS is asked: the volume's stsRegion, its region, this process's. Else the supervisor knows best.

    AWS_DEFAULT_REGION, as that of the bucket may be another: AWS_REGION would be believed there.
    """
    told = (request.sts_region, request.region, *(environ.get(name, "") for name in _REGIONS))
    region = next((each for each in told if each), "")
    variables = {"AWS_DEFAULT_REGION": region} if region else {}
    if endpoints := environ.get(_STS_ENDPOINTS):
        variables[_STS_ENDPOINTS] = endpoints
    return variables
