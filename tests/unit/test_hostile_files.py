"""Hostile configuration files: `check` and `config show` end, in time and with sentences, whatever the file holds."""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mountctl.commands.check import check
from mountctl.commands.config_show import show
from mountctl.config.read import FILE_BYTES_MAX
from mountctl.config.references import CHARACTERS_MAX, REFERENCES_MAX
from mountctl.errors import ConfigError

MOUNTCTL = Path(sys.executable).parent / "mountctl"
# What a busy machine may need for the worst of these; each takes a few seconds on a quiet one.
SECONDS_MAX = 100.0
MOUNT = '[mount.a]\nbucket = "bucket-a"\nmountpoint = "/mnt/a"\n'


def _whole(text: str, line: str) -> str:
    """The text and as many of the lines as a file may have."""
    return text + line * ((FILE_BYTES_MAX - len(text)) // len(line))


def _numbered(line: str) -> str:
    return "".join(line.replace("#", str(number)) for number in range(FILE_BYTES_MAX // (len(line) + 12)))


def _value(text: str) -> str:
    return f'{MOUNT}prefix = "{text}"\n'


HOSTILE = {
    "references without end": _value("${" * 500_000),
    "as many references as fit": _value("${env:BIG}" * 100_000),
    "a reference that goes on": _value("${env:" + "A" * 900_000),
    "starts of tokens": _value("eyJ-" * 250_000),
    "starts of private keys": _whole(MOUNT, "# -----BEGIN PRIVATE KEY \n"),
    "access keys": _whole(MOUNT, "# AKIAABCDEFGHIJKLMNOP\n"),
    "names of secrets": _whole(MOUNT + "# ", "secret_key    "),
    "templates and uses that miss them": _numbered('[template.abc#]\n[mount.m#]\nuse = "abd#x"\n'),
    "one mount that uses a template again and again": (
        "[template.t]\nuid = 1\ngid = 1\n" + MOUNT + "use = [" + '"t",' * 200_000 + "]\n"
    ),
    "mounts of one prefix": _numbered('[mount.m#]\nbucket = "bbb"\nmountpoint = "/m/#"\nmetadata-ttl = 5\n'),
    "a prefix of slashes": _value("x" + "/" * 900_000),
    "a mountpoint of many names": f'[mount.a]\nbucket = "bbb"\nmountpoint = "{"/a" * 2000}"\n',
    "references to files that are not there": _numbered('[mount.m#]\nbucket = "${file:#}"\nmountpoint = "/#"\n'),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_file_is_told_with_sentences(tmp_path: Path, what: str) -> None:
    path = tmp_path / "m.toml"
    path.write_text(HOSTILE[what])
    assert path.stat().st_size <= FILE_BYTES_MAX
    done = subprocess.run(
        [MOUNTCTL, "check", "--json", "--config", path],
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        env={**os.environ, "BIG": "x" * CHARACTERS_MAX},
    )
    assert done.stderr == ""
    errors = [each for each in json.loads(done.stdout)["problems"] if each["severity"] == "error"]
    assert done.returncode == (2 if errors else 0)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (
            "${env:BIG}" * 2,
            f"what this stands for is longer than {CHARACTERS_MAX} characters, which no option's value is",
        ),
        ("${env:BIGGER}", f"the environment's BIGGER is longer than {CHARACTERS_MAX} characters"),
        (
            "${env:BIG}" * (REFERENCES_MAX + 1),
            f"more than {REFERENCES_MAX} references: write a file that has all of it, and refer to that",
        ),
    ],
)
def test_references_cannot_grow_without_bounds(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    value: str,
    told: str,
) -> None:
    monkeypatch.setenv("BIG", "x" * CHARACTERS_MAX)
    monkeypatch.setenv("BIGGER", "x" * (CHARACTERS_MAX + 1))
    path = tmp_path / "m.toml"
    path.write_text(_value(value))
    assert check(path, tmp_path) == 2
    assert capsys.readouterr().out == f"{path}:4:1: mount.a.prefix: {told}\n"


@pytest.mark.parametrize(
    "text",
    [
        MOUNT.replace("mount.a", 'mount."a\\n"'),
        MOUNT.replace("bucket-a", "bucket-a\\n"),
        *(
            f'{MOUNT}{key} = "{value}\\n"\n'
            for key, value in (
                ("endpoint-url", "http://localhost:9000"),
                ("region", "eu-west-1"),
                ("bind", "eth0"),
                ("slice", "batch.slice"),
                ("dir-mode", "0755"),
            )
        ),
        MOUNT + 'sse = "aws:kms"\nsse-kms-key-id = "arn:aws:kms:eu-west-1:1:key/a\\n"\n',
        MOUNT + '"b\\n" = 1\n',
    ],
)
def test_a_line_end_behind_a_name_is_none_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    path = tmp_path / "m.toml"
    path.write_text(text)
    assert check(path, tmp_path) == 2
    assert capsys.readouterr().out.count("\n") == 1


_KEYS = st.sampled_from(
    [
        "bucket",
        "mountpoint",
        "prefix",
        "uid",
        "use",
        "bind",
        "environment",
        "read-only",
        "metadata-ttl",
        "dir-mode",
        "region",
        "secret-key",
    ]
)
_TEXTS = st.lists(
    st.sampled_from(
        [
            "x",
            "/",
            "t",
            "${env:SET}",
            "${env:UNSET}",
            "${file:m.toml}",
            "${file:gone}",
            "${",
            "$${",
            "}",
            "AKIA" + "Q" * 16,
            "eyJ" + "a" * 12,
            ".",
            "..",
            "\\u0000",
            "\\n",
            "é",
            "\U0001f600",
            "0",
            "true",
            "minimal",
            "\\u007f",
        ]
    ),
    max_size=5,
).map("".join)
_VALUES = st.recursive(
    st.one_of(_TEXTS.map(lambda text: f'"{text}"'), st.sampled_from(["1", "0o755", "true", "1.5", "1979-05-27", "{}"])),
    lambda inner: st.lists(inner, max_size=3).map(lambda values: f"[{', '.join(values)}]"),
    max_leaves=4,
)
_TABLES = st.sampled_from(
    [
        "mount.a",
        "mount.b",
        "mount.b.c",
        "template.t",
        "template.x",
        'template."t.t"',
        "template",
        "defaults",
        "supervisor",
    ]
)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile") / "m.toml"


@given(
    tables=st.dictionaries(_TABLES, st.dictionaries(_KEYS, _VALUES, max_size=5), max_size=5),
    drop_in=st.dictionaries(_TABLES, st.dictionaries(_KEYS, _VALUES, max_size=2), max_size=2),
)
@settings(max_examples=200, deadline=None)
def test_whatever_is_in_tables_is_shown_or_told_and_no_secret_is(
    scratch: Path, tables: dict[str, dict[str, str]], drop_in: dict[str, dict[str, str]]
) -> None:
    scratch.write_text(_written(tables))
    directory = scratch.with_suffix(".d")
    directory.mkdir(exist_ok=True)
    (directory / "1.toml").write_text(_written(drop_in))
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = check(scratch, scratch.parent)
    assert code in (0, 2)
    assert all(line.isprintable() for line in out.getvalue().splitlines())
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        if code == 0:
            assert show(scratch, origin=True) == 0
        else:
            with pytest.raises(ConfigError):
                show(scratch)
    assert "AKIA" + "Q" * 16 not in out.getvalue() + shown.getvalue()


def _written(tables: dict[str, dict[str, str]]) -> str:
    return "".join(
        f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in table.items()) for name, table in tables.items()
    )


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SET", "set/")
    monkeypatch.delenv("UNSET", raising=False)
