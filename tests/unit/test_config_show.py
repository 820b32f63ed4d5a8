"""`mountctl config show`: the mounts as they are meant, and where each value is from."""

import json
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mountctl.commands.config_show import show
from mountctl.config.load import load
from mountctl.errors import ConfigError, UnknownMount

FILE = """\
[defaults]
region = "eu-west-1"
uid = 7

[template.fast]
metadata-ttl = 60

[mount.a]
bucket = "bucket-a"
mountpoint = "/mnt//a/"
use = "fast"
uid = 8
  dir-mode = 0o750

[mount."b.c"]
bucket = "bucket-b"
mountpoint = "/mnt/b"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "m.toml"
    path.write_text(FILE)
    return path


def _out(path: Path) -> str:
    with redirect_stdout(StringIO()) as out:
        show(path)
    return out.getvalue()


def _shown(path: Path, capsys: pytest.CaptureFixture[str], *names: str, origin: bool = False) -> str:
    assert show(path, names, origin=origin) == 0
    return capsys.readouterr().out


def test_a_mount_is_shown_as_it_is_meant(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _shown(path, capsys, "a") == (
        '[mount.a]\nbucket = "bucket-a"\nmountpoint = "/mnt/a"\nregion = "eu-west-1"\nuid = 8\ndir-mode = "0750"\n'
        "metadata-ttl = 60\n\n"
    )


def test_without_a_name_all_mounts_are_shown_and_what_is_printed_means_the_same(
    path: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for origin in (False, True):
        again = tmp_path / "again.toml"
        again.write_text(_shown(path, capsys, origin=origin))
        assert load(again).mounts == load(path).mounts


def test_origins_are_file_line_and_column_and_the_table(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path.with_suffix(".d")).mkdir()
    drop_in = path.with_suffix(".d") / "1.toml"
    drop_in.write_text('\n[mount.a]\nprefix = "x/"\n')
    lines = _shown(path, capsys, "a", origin=True).splitlines()
    origins = {line.partition(" = ")[0]: line.rpartition("  # ")[2] for line in lines[1:] if line}
    assert origins["bucket"] == f"{path}:9:1"
    assert origins["prefix"] == f"{drop_in}:3:1"
    assert origins["region"] == f"{path}:2:1, defaults"
    assert origins["metadata-ttl"] == f"{path}:6:1, template fast"
    assert origins["uid"] == f"{path}:12:1"
    assert origins["dir-mode"] == f"{path}:13:3"
    assert origins["read-only"] == "built-in"


def test_json_has_every_option_with_its_origin(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert show(path, ["a"], as_json=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == 1
    options = told["mounts"]["a"]
    assert options["metadata-ttl"] == {
        "value": 60,
        "origin": {"kind": "template", "template": "fast", "file": str(path), "line": 6, "column": 1},
    }
    assert options["profile"] == {"value": None, "origin": {"kind": "built-in"}}
    assert options["dir-mode"]["value"] == "0750"


def test_a_reference_is_shown_beside_what_it_stands_for(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAGE", "test")
    path.write_text('[mount.a]\nbucket = "data-${env:STAGE}"\nmountpoint = "/mnt/a"\n')
    line = _shown(path, capsys, origin=True).splitlines()[1]
    assert line.startswith('bucket = "data-test" ')
    assert line.endswith(f'  # {path}:2:1, "data-${{env:STAGE}}"')


@pytest.mark.parametrize(("variable", "value"), [("A_TOKEN", "hunter2"), ("PLAIN", "AKIA" + "ABCDEFGHIJKLMNOP")])
@pytest.mark.parametrize("as_json", [False, True])
def test_a_reference_to_what_looks_secret_is_shown_as_it_is_written(
    path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    as_json: bool,
) -> None:
    monkeypatch.setenv(variable, value)
    agent = f"${{env:{variable}}}"
    path.write_text(f'[mount.a]\nbucket = "bucket-a"\nmountpoint = "/mnt/a"\nuser-agent-prefix = "{agent}"\n')
    show(path, origin=True, as_json=as_json)
    out = capsys.readouterr().out
    assert value not in out
    assert agent in out


def test_a_secret_in_the_file_is_not_shown(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = "AKIA" + "ABCDEFGHIJKLMNOP"
    path.write_text(f'[mount.a]\nbucket = "bucket-a"\nmountpoint = "/mnt/a"\nuser-agent-prefix = "{secret}"\n')
    out = _shown(path, capsys)
    assert secret not in out
    assert 'user-agent-prefix = "(hidden: it looks secret)"' in out


def test_a_secret_beside_a_reference_is_not_shown_as_it_is_written(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAGE", "test")
    secret = "AKIA" + "ABCDEFGHIJKLMNOP"
    agent = f"{secret}-${{env:STAGE}}"
    path.write_text(f'[mount.a]\nbucket = "bucket-a"\nmountpoint = "/mnt/a"\nuser-agent-prefix = "{agent}"\n')
    assert secret not in _shown(path, capsys, origin=True)


def test_a_name_that_is_none_is_told_with_a_guess(path: Path) -> None:
    with pytest.raises(UnknownMount, match=r"no mount b\.cc in .*m\.toml: did you mean b\.c\?"):
        show(path, ["b.cc"])


def test_a_file_with_errors_is_not_shown(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text("[mount.a]\n")
    with pytest.raises(ConfigError):
        show(path)
    assert capsys.readouterr().out == ""


def test_a_file_without_mounts_shows_nothing(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text("")
    assert _shown(path, capsys).strip() == ""


@given(prefix=st.text(max_size=20), agent=st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1))
@settings(max_examples=100, deadline=None)
def test_whatever_is_in_a_value_what_is_shown_means_the_same(
    tmp_path_factory: pytest.TempPathFactory, prefix: str, agent: str
) -> None:
    directory = tmp_path_factory.mktemp("show")
    path, again = directory / "m.toml", directory / "again.toml"
    lines = {"bucket": "bbb", "mountpoint": "/a", "prefix": f"x{prefix}/", "user-agent-prefix": agent}
    text = "".join(
        f"{key} = {json.dumps(value.replace('${', '$${'), ensure_ascii=False)}\n" for key, value in lines.items()
    )
    path.write_text("[mount.a]\n" + text.replace("\x7f", "\\u007f"))
    again.write_text(_out(path))
    assert load(again).mounts == load(path).mounts
