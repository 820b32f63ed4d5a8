"""Drop-ins beside a configuration: merged key by key, and errors told where they stand."""

from pathlib import Path

from engine.spec import MountSpec
from mountctl.config.load import load
from tests.unit.test_config_load import GOOD, _told, _write


def test_drop_ins_merge_key_by_key_in_the_order_of_their_names(tmp_path: Path) -> None:
    path = _write(tmp_path, GOOD + 'prefix = "x/"\nregion = "one"\n')
    second = _write(tmp_path, '[mount.a]\nregion = "three"\n', "m.d/20.toml")
    first = _write(tmp_path, '[mount.a]\nregion = "two"\nuid = 7\n[defaults]\ngid = 8\n', "m.d/10.toml")
    _write(tmp_path, "not even TOML", "m.d/30.toml.bak")
    _write(tmp_path, "not even TOML", "m.d/.40.toml")
    config = load(path)
    assert config.files == (path, first, second)
    assert config.mounts["a"] == MountSpec(
        name="a", bucket="bucket-a", mountpoint="/mnt/a", prefix="x/", region="three", uid=7, gid=8
    )


def test_an_error_in_a_drop_in_is_told_there(tmp_path: Path) -> None:
    path = _write(tmp_path, GOOD)
    _write(tmp_path, "\n[mount.a]\nuid = 0\n", "m.d/10.toml")
    _write(tmp_path, '[mount.b]\nbucket = "bbb"\nmountpoint = "/mnt/a/b"\n', "m.d/20.toml")
    assert _told(path) == [
        "m.d/10.toml:3: mount.a.uid: must be between 1 and 4294967294, not 0",
        "m.d/20.toml:3: mount.b.mountpoint: inside the mountpoint of mount.a (/mnt/a): mounts can't be nested",
    ]


def test_a_drop_in_can_mend_what_the_file_has_wrong(tmp_path: Path) -> None:
    path = _write(tmp_path, GOOD + "uid = 0\n")
    _write(tmp_path, "[mount.a]\nuid = 1\n", "m.d/10.toml")
    assert load(path).mounts["a"].uid == 1


def test_an_unknown_key_is_told_even_where_a_drop_in_has_it_again(tmp_path: Path) -> None:
    path = _write(tmp_path, GOOD + "uidd = 1\n")
    _write(tmp_path, "[mount.a]\nuidd = 1\n", "m.d/10.toml")
    assert _told(path) == [
        "m.toml:4: mount.a.uidd: unknown key: did you mean uid?",
        "m.d/10.toml:2: mount.a.uidd: unknown key: did you mean uid?",
    ]
