"""engine/fs/readable.py: who reads the log of an archived file copies the command from there."""

import re
import subprocess

import pytest

from engine.errors import Archived
from engine.fs.readable import check_readable
from engine.namespace.inode import Inode
from engine.s3.interface import ObjectInfo
from engine.spec import MountSpec


@pytest.mark.parametrize("name", ["a b", "it's $HOME `x`", "a\nb", "\\'\tü", "ü", "$(false)"])
def test_the_command_means_the_file_whatever_its_name_is(name: str) -> None:
    spec = MountSpec(name="m", bucket="bucket", prefix="p/", mountpoint="/mnt/m")
    with pytest.raises(Archived) as error:
        check_readable(Inode.of(2, f"p/{name}", ObjectInfo(f"p/{name}", 1, '"e"', 0.0, "GLACIER"), 0.0), spec)

    found = re.search(r"`mountctl restore (.*)` has it restored", str(error.value))
    assert found is not None
    printed = subprocess.run(["bash", "-c", f"printf %s {found[1]}"], capture_output=True, text=True, check=True)
    assert printed.stdout == f"/mnt/m/{name}"
