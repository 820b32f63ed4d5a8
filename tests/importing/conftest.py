"""A host that is the same everywhere: its users and files are those of the cases."""

from pathlib import Path

import pytest

from mountctl.importing.found import User
from mountctl.importing.host import Host

FILES = Path(__file__).parent / "files"
_USERS = {
    "ec2-user": User("ec2-user", 1000, 1000, "/home/ec2-user"),
    "www-data": User("www-data", 33, 33, "/var/www"),
    "deploy": User("deploy", 1002, 1002, "/home/deploy"),
    "root": User("root", 0, 0, "/root"),
}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    there = {"/home/deploy/.aws/credentials", *(str(tmp_path / "files" / each.name) for each in FILES.iterdir())}
    (tmp_path / "proc").mkdir()
    return Host(
        fstab=tmp_path / "fstab",
        units=(tmp_path / "units",),
        proc=tmp_path / "proc",
        user=lambda name: _USERS.get(name, User(name)),
        is_file=lambda path: path in there or (path.startswith(str(tmp_path / "units")) and Path(path).is_file()),
    )
