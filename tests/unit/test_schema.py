"""The JSON Schema for editors: what `check` takes it takes, and wrong keys, types and values it does not."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.spec import MountSpec
from mountctl.commands import schema as command
from mountctl.config.load import examine
from mountctl.config.schema import schema
from mountctl.config.words import fields

VALIDATOR: Any = jsonschema.Draft7Validator(schema())
MOUNT = '[mount.a]\nbucket = "bucket-a"\nmountpoint = "/mnt/a"\n'


def _valid(text: str) -> bool:
    return bool(VALIDATOR.is_valid(tomli.loads(text)))


def test_the_schema_is_one() -> None:
    jsonschema.Draft7Validator.check_schema(schema())


def test_the_schema_is_printed_as_it_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.schema() == 0
    kept = Path(__file__).parent.parent.parent / "config" / "mountpoint-s3.schema.json"
    out = capsys.readouterr().out
    assert out == kept.read_text()
    assert json.loads(out) == schema()


def test_every_option_is_there_with_its_description() -> None:
    properties = schema()["properties"]["mount"]["additionalProperties"]["properties"]
    assert properties.keys() - {"use"} == fields(MountSpec).keys() - {"name"}
    assert all(option["description"] for option in properties.values())


@pytest.mark.parametrize(
    "line",
    [
        'region = "eu-west-1"',
        "read-only = true",
        'read-only = "${env:X}"',
        "uid = 5",
        'uid = "${file:/etc/uid}"',
        "dir-mode = 0o755",
        'dir-mode = "0755"',
        'metadata-ttl = "minimal"',
        "metadata-ttl = 5",
        'fetchers = "auto"',
        "fetchers = 0",
        'prefix = ""',
        'prefix = "a/b/"',
        'prefix = "a/${env:X}"',
        'bind = "eth0"',
        'bind = ["eth0", "eth1"]',
        'sse = "AES256"',
        'environment = { AWS_PROFILE = "batch", https_proxy = "http://proxy:3128" }',
        'environment = ["AWS_PROFILE=batch"]',
        'use = "t"',
        'use = ["t", "u"]',
    ],
)
def test_a_right_line_is_valid(line: str) -> None:
    assert _valid(f"{MOUNT}{line}\n")


@pytest.mark.parametrize(
    "line",
    [
        "region = 5",
        'region = ""',
        "regoin = 1",
        'read-only = "true"',
        "uid = 0",
        "uid = 1.5",
        'uid = "5"',
        "dir-mode = 512",
        'dir-mode = "rwx"',
        'metadata-ttl = "soon"',
        "metadata-ttl = -1",
        "fetchers = 17",
        'fetchers = "many"',
        'prefix = "a/b"',
        'prefix = "/a/"',
        'endpoint-url = "s3:9000"',
        'sse = "none"',
        "bind = [1]",
        'environment = "AWS_PROFILE"',
        'environment = ["AWS_SECRET_ACCESS_KEY=x"]',
        'environment = { AWS_SECRET_ACCESS_KEY = "x" }',
        "environment = { AWS_PROFILE = 1 }",
        "use = 1",
        'name = "a"',
        'cache = "/x"',
        'storage-class = ""',
    ],
)
def test_a_wrong_line_is_not(line: str) -> None:
    assert not _valid(f"{MOUNT}{line}\n")


@pytest.mark.parametrize(
    "text",
    ["[mounts.a]\n", "[defaults]\nmountpoint = '/x'\n", "[template.x]\nuse = 'y'\n", '[mount."-a"]\n', "a = 1\n"],
)
def test_a_wrong_table_is_not_valid(text: str) -> None:
    assert not _valid(text)


_VALUES = st.one_of(
    st.booleans(),
    st.integers(-1, 10_000),
    st.sampled_from(["", "x", "x/", "/x", "0755", "minimal", "http://x:1", "AES256", "crc32c", "${env:HOME}", "a/\n/"]),
    st.lists(st.sampled_from(["eth0", "a b"]), max_size=2),
)


@given(
    options=st.dictionaries(
        st.sampled_from([key for key in fields(MountSpec) if key not in ("name", "bucket", "mountpoint")]),
        _VALUES,
        max_size=4,
    )
)
@settings(max_examples=300, deadline=None)
def test_what_check_takes_is_valid(tmp_path_factory: pytest.TempPathFactory, options: dict[str, Any]) -> None:
    path = tmp_path_factory.mktemp("schema") / "m.toml"
    path.write_text(MOUNT + "".join(f"{key} = {json.dumps(value)}\n" for key, value in options.items()))
    if not examine(path).problems:
        assert _valid(path.read_text())
