#!/usr/lib/mountctl/bin/python -IS
"""Tells systemd of the mounts that /etc/mountpoint-s3.toml declares, as a generator: at boot and at each daemon-reload.

For each a mount unit, so that another unit may say RequiresMountsFor=/mnt/data or After=mnt-data.mount before it is
there. The supervisor mounts; the unit starts it where it does not run, and waits (mount.mountctl with the option
`declared=NAME`). Nothing is mounted because of such a unit alone, and the service stops or restarts none along.

Runs before anything else does: needs nothing but the standard library, and whatever is wrong with the file costs these
units and no boot. Exit code 0 always; what it could not use is said on stderr, which is the kernel's log then.
"""

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

CONFIG = Path("/etc/mountpoint-s3.toml")
FSTAB = Path("/etc/fstab")
# As of the configuration itself (mountctl/config/read.py); what is longer is refused there.
FILE_BYTES_MAX = 1 << 20
# What systemd.unit(5), "String Escaping for Inclusion in Unit Names", leaves as it is; and the longest name of a unit.
PLAIN = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ:_.")
NAME_BYTES_MAX = 255

UNIT = """\
# Made by mountctl-generator from {config}.
[Unit]
Description=S3 mount {name} (mountctl)
Documentation=man:mountctl(1) man:mountpoint-s3.toml(5)
SourcePath={config}
# Once it is mounted systemd would take it for a local file system, which comes before every service: a circle.
DefaultDependencies=no
Wants=mountctl.service
After=mountctl.service
Before=remote-fs.target umount.target
Conflicts=umount.target

[Mount]
What=mountctl
Where={where}
Type=mountctl
Options=declared={name},_netdev
TimeoutSec=90s
"""


def main(normal: Path, config: Path = CONFIG, fstab: Path = FSTAB) -> None:
    """Write the units.

    Args:
        normal: the directory for units that neither override others nor are overridden by the distribution's.
        config: the configuration file.
        fstab: whose mountpoints are left to systemd-fstab-generator.
    """
    taken = mountpoints(fstab)
    for name, where in declared(config):
        unit = unit_name(where)
        if where in taken or len(unit.encode()) > NAME_BYTES_MAX:
            say(f"{name}: no unit for {where}: it is in {fstab}, or too long for a unit's name")
            continue
        text = UNIT.format(name=name, where=where.replace("%", "%%"), config=config)
        try:
            with (normal / unit).open("x") as file:
                file.write(text)
        except OSError as error:
            say(f"{name}: {error}")


def declared(config: Path) -> Iterator[tuple[str, str]]:
    """Names and mountpoints of the mounts in the file and its drop-ins, of which the later counts."""
    found: dict[str, str] = {}
    for file in (config, *sorted(config.with_suffix(".d").glob("[!.]*.toml"))):
        mounts = read(file).get("mount")
        for name, mount in mounts.items() if isinstance(mounts, dict) else ():
            where = mount.get("mountpoint") if isinstance(mount, dict) else None
            if isinstance(where, str):
                found[name] = where
    for name, where in found.items():
        # A unit for "/" would be that of the root file system, which everything comes after.
        usable = where.startswith("/") and normal(where) != "/" and ".." not in where.split("/") and "${" not in where
        if not usable or not (where + name).isprintable() or set(name) & set("%,\\ "):
            say(f"{name}: no unit: its mountpoint is nothing that a unit could have")
        else:
            yield name, normal(where)


def read(file: Path) -> dict[str, object]:
    """A file as far as it is one: of a broken one nothing is known."""
    try:
        with file.open("rb") as opened:
            return tomllib.loads(opened.read(FILE_BYTES_MAX).decode())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        say(f"{file}: {error}")
        return {}


def normal(path: str) -> str:
    """A path as the configuration's is meant, and as systemd has it: /mnt//a/./b/ is /mnt/a/b."""
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))


def unit_name(path: str) -> str:
    r"""The name of a mountpoint's unit: /mnt/my-data is mnt-my\x2ddata.mount."""
    escaped = ""
    for byte in path.strip("/").encode():
        character = chr(byte)
        if character == "/":
            escaped += "-"
        else:
            plain = character in PLAIN and not (character == "." and not escaped)
            escaped += character if plain else f"\\x{byte:02x}"
    return f"{escaped or '-'}.mount"


def mountpoints(fstab: Path) -> frozenset[str]:
    """The second column of fstab."""
    try:
        lines = fstab.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return frozenset()
    rows = [line.split() for line in lines if not line.lstrip().startswith("#")]
    return frozenset(normal(unescaped(row[1])) for row in rows if len(row) > 1)


def unescaped(column: str) -> str:
    """A column of fstab(5) without the escapes that it needs."""
    for written, meant in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        column = column.replace(written, meant)
    return column


def say(text: str) -> None:
    """One line."""
    sys.stderr.write(f"mountctl-generator: {' '.join(text.split())}\n")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), *map(Path, sys.argv[4:]))
    except Exception as error:  # noqa: BLE001 - no mistake in here may keep a host from booting
        say(repr(error))
