"""Containers of the chart as processes: their command lines, with the file systems and capabilities that they have.

A container is a mount namespace. What the host has below kubelet's directory is seen in it as its volumeMounts say, its
root is read-only if it must be, and a process without privileges has no capability. Needs root.
"""

import os
import shlex
import subprocess
from pathlib import Path
from typing import Any, Final

from tests.service.running import MOUNTCTL

_PROPAGATION: Final = {"Bidirectional": "unchanged", "HostToContainer": "slave"}
_NO_PRIVILEGE: Final = "setpriv --bounding-set=-all --inh-caps=-all --ambient-caps=-all --no-new-privs"


def start(
    container: dict[str, Any], volumes: list[dict[str, Any]], root: Path, log: Path, **environment: str
) -> subprocess.Popen[bytes]:
    """Run a container's process until it is ended.

    Args:
        container: of a pod of the chart.
        volumes: the pod's.
        root: what is below /etc there is below this directory here.
        log: its standard error.
        environment: in place of what refers to the node, and for credentials.
    """
    security = container["securityContext"]
    host = {volume["name"]: volume["hostPath"]["path"] for volume in volumes if "hostPath" in volume}
    mounts = [mount for mount in container["volumeMounts"] if mount["name"] in host]
    [kubelet] = [mount for mount in mounts if mount["name"] == "kubelet"]
    # Mounts of their own, as kubelet's directory may be read-only around them.
    setup = [f"mount --bind {mount['mountPath']} {mount['mountPath']}" for mount in mounts if mount is not kubelet]
    if kubelet.get("readOnly"):
        setup.append(f"mount -o remount,bind,ro {kubelet['mountPath']}")
    if security["readOnlyRootFilesystem"]:
        setup.append("mount -o remount,bind,ro /")
    arguments = [_seen(each, root, environment) for each in container["args"]]
    command = f"exec {'' if security.get('privileged') else _NO_PRIVILEGE} {shlex.join([str(MOUNTCTL), *arguments])}"
    propagation = _PROPAGATION[kubelet["mountPropagation"]]
    with log.open("ab") as to:
        return subprocess.Popen(
            ["unshare", "--mount", "--propagation", propagation, "sh", "-ec", "\n".join([*setup, command])],
            env={**_inherited(), **_environment(container, root, environment)},
            stdin=subprocess.DEVNULL,
            stderr=to,
        )


def _inherited() -> dict[str, str]:
    """What every process needs; no credentials, which a test's own environment has."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "MOUNTCTL_"))}


def _environment(container: dict[str, Any], root: Path, given: dict[str, str]) -> dict[str, str]:
    named = {each["name"]: _seen(each["value"], root, given) for each in container.get("env", []) if "value" in each}
    return named | given


def _seen(text: str, root: Path, environment: dict[str, str]) -> str:
    """An argument as the container gets it, but for /etc."""
    for name, value in environment.items():
        text = text.replace(f"$({name})", value)
    return text.replace("/etc/mountctl", f"{root}/etc/mountctl")
