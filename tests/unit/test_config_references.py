"""References: `${env:NAME}` and `${file:PATH}` in values; what is told of those with nothing behind them."""

import os
from pathlib import Path

import pytest

from mountctl.config.load import load
from mountctl.config.read import REFERENCED_BYTES_MAX
from tests.unit.toml_files import MOUNT, problems_told, written

FORMS = "write ${env:NAME} or ${file:PATH}; $${ stands for ${ itself"
ACCESS_KEY = "AKIA" + "ABCDEFGHIJKLMNOP"


def test_a_variable_is_put_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGE", "test")
    monkeypatch.setenv("TEAM", "blue")
    path = written(tmp_path, MOUNT + 'prefix = "${env:STAGE}/${env:TEAM}/x/"\n')
    assert load(path).mounts["a"].prefix == "test/blue/x/"


def test_a_files_text_is_put_in_its_place_without_its_last_newline(tmp_path: Path) -> None:
    (tmp_path / "region").write_text("eu-west-1\n")
    absolute = tmp_path / "owner"
    absolute.write_text("123456789012")
    path = written(tmp_path, MOUNT + f'region = "${{file:region}}"\nexpected-bucket-owner = "${{file:{absolute}}}"\n')
    config = load(path)
    assert (config.mounts["a"].region, config.mounts["a"].expected_bucket_owner) == ("eu-west-1", "123456789012")
    assert config.referenced == (tmp_path / "region", absolute)


def test_a_drop_ins_relative_file_is_beside_the_drop_in(tmp_path: Path) -> None:
    (tmp_path / "m.d").mkdir()
    (tmp_path / "m.d" / "region").write_text("eu-west-1")
    (tmp_path / "m.d" / "1.toml").write_text('[defaults]\nregion = "${file:region}"\n')
    assert load(written(tmp_path, MOUNT)).mounts["a"].region == "eu-west-1"


def test_what_a_reference_stands_for_has_the_type_that_the_option_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_UID", "1000")
    monkeypatch.setenv("A_MODE", "0750")
    monkeypatch.setenv("A_TTL", "60")
    monkeypatch.setenv("YES", "true")
    text = MOUNT + 'uid = "${env:A_UID}"\ndir-mode = "${env:A_MODE}"\nmetadata-ttl = "${env:A_TTL}"\n'
    mount = load(written(tmp_path, text + 'read-only = "${env:YES}"\nbind = ["${env:YES}"]\n')).mounts["a"]
    assert (mount.uid, mount.dir_mode, mount.metadata_ttl, mount.read_only) == (1000, 0o750, 60, True)
    assert mount.bind == ("true",)


def test_a_reference_can_be_in_defaults_templates_and_uses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHICH", "fast")
    monkeypatch.setenv("WHERE", "eu-west-1")
    text = '[defaults]\nregion = "${env:WHERE}"\n[template.fast]\nprofile = "${env:WHICH}"\n'
    mount = load(written(tmp_path, text + MOUNT + 'use = "${env:WHICH}"\n')).mounts["a"]
    assert (mount.region, mount.profile) == ("eu-west-1", "fast")


def test_two_dollars_stand_for_one_and_what_a_reference_stands_for_is_not_looked_through_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ODD", "${env:HOME}")
    path = written(tmp_path, MOUNT + 'prefix = "$${env:HOME}/$x/${env:ODD}/"\n')
    assert load(path).mounts["a"].prefix == "${env:HOME}/$x/${env:HOME}/"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (
            "${env:NOBODY_SET_THIS}",
            "the environment has no NOBODY_SET_THIS: set it for `mountctl run` (in its unit), and here",
        ),
        ("${env:}", f'not a reference: "${{env:}}": {FORMS}'),
        ("${env:A B}", f'not a reference: "${{env:A B}}": {FORMS}'),
        ("${HOME}", f'not a reference: "${{HOME}}": {FORMS}'),
        ("${cred:x}", f'not a reference: "${{cred:x}}": {FORMS}'),
        ("x${env:HOME", f"a reference that does not end: {FORMS}"),
    ],
)
def test_a_reference_with_nothing_behind_it_is_told_at_its_key_and_once(tmp_path: Path, value: str, told: str) -> None:
    path = written(tmp_path, f'[mount.a]\n  bucket = "{value}"\nmountpoint = "/mnt/a"\n')
    assert problems_told(path) == [f"2:3: mount.a.bucket: {told}"]


def test_a_file_that_cannot_be_had_is_told_with_its_path_and_why(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * (REFERENCED_BYTES_MAX + 1))
    (tmp_path / "bytes").write_bytes(b"\xff")
    os.mkfifo(tmp_path / "fifo")
    names = ("gone", "large", "bytes", "fifo", ".")
    text = "".join(f'[mount.{n}]\nbucket = "${{file:{name}}}"\nmountpoint = "/{n}"\n' for n, name in enumerate(names))
    assert [line.partition("bucket: ")[2] for line in problems_told(written(tmp_path, text))] == [
        'file "gone": no such file: write it, or name another',
        'file "large": larger than 4096 bytes, which no option\'s value is: is it the right file?',
        'file "bytes": not UTF-8: values are text',
        'file "fifo": not a regular file: a configuration is a file that can be read again and again',
        'file ".": a directory, not a file: name the file in it',
    ]


def test_a_reference_in_a_default_that_is_missing_is_told_once(tmp_path: Path) -> None:
    text = '[defaults]\nbucket = "${env:NOBODY_SET_THIS}"\n[mount.a]\nmountpoint = "/a"\n[mount.b]\nmountpoint = "/b"\n'
    [told] = problems_told(written(tmp_path, text))
    assert told.startswith("2:1: defaults.bucket: the environment has no NOBODY_SET_THIS")


def test_a_drop_in_can_replace_a_reference_that_is_missing(tmp_path: Path) -> None:
    path = written(tmp_path, MOUNT + 'region = "${env:NOBODY_SET_THIS}"\n')
    (tmp_path / "m.d").mkdir()
    (tmp_path / "m.d" / "1.toml").write_text('[mount.a]\nregion = "eu-west-1"\n')
    assert load(path).mounts["a"].region == "eu-west-1"


@pytest.mark.parametrize(
    ("variable", "value"),
    [("PLAIN", ACCESS_KEY), ("MY_SECRET", "hunter2"), ("PLAIN", "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY12")],
)
def test_a_wrong_value_that_looks_secret_is_not_in_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    for key in ("prefix", "sse", "uid", "mountpoint", "use", "endpoint-url", "metadata-ttl"):
        lines = {"bucket": '"bbb"', "mountpoint": '"/mnt/a"'} | {key: f'"${{env:{variable}}}"'}
        told = problems_told(written(tmp_path, "[mount.a]\n" + "".join(f"{k} = {v}\n" for k, v in lines.items())))
        assert len(told) == 1, key
        assert f"mount.a.{key}: " in told[0]
        assert value not in told[0]


def test_a_wrong_value_that_does_not_look_secret_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGE", "test")
    assert problems_told(written(tmp_path, MOUNT + 'prefix = "${env:STAGE}"\n')) == [
        "4:1: mount.a.prefix: must end in '/': write 'test/'"
    ]
    assert problems_told(written(tmp_path, MOUNT + 'uid = "${env:STAGE}"\n')) == [
        '4:1: mount.a.uid: must be an integer, not the string "test"'
    ]


def test_a_secret_written_at_the_wrong_place_is_not_in_the_error(tmp_path: Path) -> None:
    for text in (
        f'[mount]\nbucket = "{ACCESS_KEY}"\n',
        f'{MOUNT}sse = "{ACCESS_KEY}"\n',
        f'defaults = "{ACCESS_KEY}"\n',
    ):
        assert ACCESS_KEY not in "".join(problems_told(written(tmp_path, text)))


def test_credentials_are_told_where_they_belong(tmp_path: Path) -> None:
    [told] = problems_told(written(tmp_path, MOUNT + 'aws-secret-access-key = "x"\n'))
    assert told == (
        "4:1: mount.a.aws-secret-access-key: credentials don't belong in this file, which many may read: put them into "
        "root's ~/.aws/credentials, and name their profile with the option profile"
    )
