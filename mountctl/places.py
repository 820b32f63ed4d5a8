"""Where a supervisor keeps its things, unless somebody says otherwise. For cli.py and command_line.py."""

from pathlib import Path
from typing import Final

RUNTIME_DIR_VARIABLE: Final = "MOUNTCTL_RUNTIME_DIR"
RUNTIME_DIR: Final = Path("/run/mountctl")
# `mount` runs beside the supervisor of the file, so each of its own mounts has a place of its own.
ONE_MOUNT_RUNTIME_DIR: Final = Path("/run/mountctl-mounts")

CONFIG_VARIABLE: Final = "MOUNTCTL_CONFIG"
CONFIG: Final = Path("/etc/mountpoint-s3.toml")
