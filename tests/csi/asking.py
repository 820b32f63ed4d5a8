"""Asks a supervisor for volumes, as the CSI node service does."""

from pathlib import Path
from typing import Any, Final

from mountctl.control.client import ControlClient
from mountctl.volume import Applied, Apply, Consumer, Pod, Release, Released
from tests.servers import S3Server
from tests.service.running import Running

POD: Final = Pod(namespace="team", name="web-0", uid="1")


class Asking:
    """A client of one supervisor, with the targets below its working directory.

    Args:
        running: the supervisor.
        server: where the buckets are.
    """

    def __init__(self, running: Running, server: S3Server | str) -> None:
        self.running = running
        self.endpoint = server if isinstance(server, str) else server.endpoint
        self.client = ControlClient(running.work / "run")
        self.pods = running.work / "pods"
        self.pods.mkdir(exist_ok=True)

    def configure(self, text: str = "", *, csi: str = "") -> None:
        """Write the file: defaults for the server, the [csi] table, and what else is given."""
        lines = [
            "[defaults]",
            f'endpoint-url = "{self.endpoint}"',
            "force-path-style = true",
            "[csi]",
            f'target-directory = "{self.pods}"',
            csi,
            text,
        ]
        new = self.running.config.with_suffix(".new")
        new.write_text("\n".join(lines) + "\n")
        new.rename(self.running.config)

    def target(self, name: str) -> Path:
        return self.pods / name

    def request(
        self, name: str, target: str, *, read_only: bool = False, use: tuple[str, ...] = (), **options: Any
    ) -> Apply:
        inline = options.pop("inline", False)
        return Apply(
            name=name,
            options={key.replace("_", "-"): value for key, value in options.items()},
            use=use,
            inline=inline,
            driver="s3.mountctl.io",
            consumer=Consumer(
                target=str(self.target(target)),
                read_only=read_only,
                volume=name,
                persistent_volume=f"pv-{name}",
                pod=POD,
            ),
        )

    def apply(self, name: str, target: str, **options: Any) -> Applied:
        return self.client.apply(self.request(name, target, **options))

    def release(self, target: str, volume: str = "") -> Released:
        return self.client.release(Release(target=str(self.target(target)), volume=volume))

    def release_all(self) -> None:
        """So that the supervisor ends with nothing mounted."""
        for mount in self.running.status().get("mounts", []):
            for consumer in (mount["volume"] or {"consumers": []})["consumers"]:
                self.client.release(Release(target=consumer["target"]))
