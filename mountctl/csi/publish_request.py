"""What a NodePublishVolume asks for, once it is understood: made by volume.py, read by node.py and credentials. Pure.

Two that are equal ask for the same. Secrets and tokens take no part in that, as they change while a volume is in use,
and are never shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from mountctl.csi.key import mount_name
from mountctl.volume import Apply, Consumer, Pod

# Variables that a mount's chain of credentials and its connections see (MountSpec's `environment`).
ENVIRONMENT: Final = "environment"


class Source(StrEnum):
    """Where a mount's keys come from: the volume attribute authenticationSource."""

    DRIVER = "driver"  # what the supervisor has itself
    POD = "pod"  # the pod's service account: a role by web identity, or EKS Pod Identity
    SECRET = "secret"  # noqa: S105 - the word that users write: the volume's nodePublishSecretRef


@dataclass(frozen=True)
class PublishRequest:
    """One NodePublishVolume.

    Args:
        driver: the CSI driver's name.
        volume_id: of the PersistentVolume, or kubelet's for an inline volume.
        target: where it shall be seen.
        read_only: at this target.
        single_writer: it may be at no second target (SINGLE_NODE_SINGLE_WRITER).
        inline: a pod asks for it by itself; there is no PersistentVolume.
        persistent_volume: its name; empty for an inline volume, or if the target does not tell.
        bucket: as the attribute has it.
        options: of the mount, as a [mount.NAME] table has them, without `mountpoint`; `bucket` is there. Equal ones are
            equal, however they were written.
        templates: the names of [template.NAME] tables.
        fs_group: the pod's group, which was put into `options` already; empty for none.
        source: where keys come from.
        role_arn: the role to take on; empty: what is said elsewhere (the service account's annotation).
        sts_region: where STS is asked; empty: not said.
        region: the bucket's, as attribute or option; empty: not said.
        ca_certificates: PEM text to trust, that somebody must put into a file; empty for none.
        pod: whose volume it is; None if kubelet does not tell.
        service_account_tokens: JSON by audience, as kubelet has it (tokenRequests); empty if there are none.
        secrets: of nodePublishSecretRef, without kubelet's own keys.
        notes: what the user should know and no error is: once in the log.
    """

    driver: str
    volume_id: str
    target: str
    read_only: bool
    single_writer: bool
    inline: bool
    persistent_volume: str
    bucket: str
    options: Mapping[str, Any]
    templates: tuple[str, ...]
    fs_group: str
    source: Source
    role_arn: str
    sts_region: str
    region: str
    ca_certificates: str
    pod: Pod | None
    service_account_tokens: str = field(default="", compare=False, repr=False)
    secrets: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    notes: tuple[str, ...] = field(default=(), compare=False)

    def mount_name(self, identity: str) -> str:
        """The mount that this shares with all that ask for the same (key.py).

        Args:
            identity: whose keys are used (credentials_interface.py).
        """
        return mount_name(
            self.driver,
            self.volume_id,
            self.options,
            [*self.templates],
            [self.source, identity, self.role_arn, self.sts_region, self.ca_certificates],
            self.fs_group,
            inline=self.inline,
        )

    def apply(self, identity: str, environment: Mapping[str, str], options: Mapping[str, Any]) -> Apply:
        """What the supervisor is asked for.

        Args:
            identity: as for `mount_name`.
            environment: variables of the credentials; they win over those that the user gave.
            options: of the credentials; they win too.
        """
        both = {**self.options.get(ENVIRONMENT, {}), **environment}
        return Apply(
            name=self.mount_name(identity),
            options={**self.options, **({ENVIRONMENT: both} if both else {}), **options},
            use=self.templates,
            inline=self.inline,
            driver=self.driver,
            consumer=Consumer(
                target=self.target,
                read_only=self.read_only,
                volume=self.volume_id,
                persistent_volume=self.persistent_volume,
                pod=self.pod,
            ),
        )

    def fits(self, other: "PublishRequest") -> bool:
        """Whether what another request had bound at the same target serves this one.

        Options do not count: an administrator may change those of a PersistentVolume while pods use it, and kubelet
        asks again with the new ones, all the time. The running pods keep what they have; an error would help nobody,
        and kubelet would make new pods of the volume wait for it.
        """
        return (self.volume_id, self.read_only, self.bucket, self.source, self.pod) == (
            other.volume_id,
            other.read_only,
            other.bucket,
            other.source,
            other.pod,
        )
