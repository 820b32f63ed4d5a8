"""engine/variables.py: which variables a mount may have of its own, and in which forms."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from engine.spec import MountSpec
from engine.variables import ALLOWED, as_table
from mountctl.config.classes import ChangeClass, class_of
from mountctl.config.load import load
from mountctl.errors import MountctlError


def spec(environment: Any) -> MountSpec:
    return MountSpec(name="m", bucket="my-bucket", mountpoint="/mnt/m", environment=environment)


def told(environment: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        spec(environment)
    return str(caught.value.errors()[0]["ctx"]["error"])


def test_a_table_in_any_order_an_array_and_what_json_keeps_are_the_same_mount() -> None:
    table = spec({"AWS_PROFILE": "a=b", "AWS_REGION": "eu-west-1"})

    assert table == spec({"AWS_REGION": "eu-west-1", "AWS_PROFILE": "a=b"})
    assert table == spec(["AWS_REGION=eu-west-1", "AWS_PROFILE=a=b"])
    assert table == MountSpec.model_validate_json(table.model_dump_json())
    assert table.model_dump()["environment"] == {"AWS_PROFILE": "a=b", "AWS_REGION": "eu-west-1"}
    assert as_table(table.environment) == {"AWS_PROFILE": "a=b", "AWS_REGION": "eu-west-1"}


@pytest.mark.parametrize(
    "name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN"]
)
def test_a_variable_that_holds_a_secret_is_refused_without_showing_it(name: str) -> None:
    assert told({name: "very-secret"}) == (
        f"{name} holds a secret, which no option takes: write the keys into a file of root's, "
        "and its path here as AWS_SHARED_CREDENTIALS_FILE"
    )


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"AWS_PROFIL": "x"}, "AWS_PROFIL is no variable of a mount's: did you mean AWS_PROFILE?"),
        ({"aws_region": "x"}, "aws_region is no variable of a mount's: did you mean AWS_REGION?"),
        ({"AWS_REGION": ""}, "AWS_REGION must be printable text of 1 to 4095 characters"),
        ({"AWS_REGION": "a\nb"}, "AWS_REGION must be printable text of 1 to 4095 characters"),
        ({"AWS_CONFIG_FILE": "config"}, "AWS_CONFIG_FILE must be an absolute path"),
        ({"AWS_MAX_ATTEMPTS": "0"}, "AWS_MAX_ATTEMPTS must be a number, at least 1"),
        (["AWS_REGION=a", "AWS_REGION=b"], "names a variable twice"),
    ],
)
def test_what_can_not_be_right_is_told_with_its_name(environment: Any, said: str) -> None:
    assert told(environment) == said


def test_a_name_that_is_like_none_is_told_with_those_that_may_be() -> None:
    assert told({"PATH": "/bin"}).startswith("PATH is no variable of a mount's: it may be one of AWS_CONFIG_FILE, ")


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "http_proxy", "AWS_CONTAINER_CREDENTIALS_FULL_URI"])
def test_a_url_with_a_password_is_refused_without_showing_it(name: str) -> None:
    assert "pa55" not in told({name: "http://me:pa55@proxy.test:3128"})


def test_a_table_below_the_mounts_or_in_its_line_is_read_and_references_in_it_are_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCOUNT", "123456789012")
    file = tmp_path / "m.toml"
    file.write_text(
        '[template.t]\nenvironment = { AWS_REGION = "eu-west-1", AWS_PROFILE = "t" }\n'
        '[mount.a]\nbucket = "bucket"\nmountpoint = "/mnt/a"\nuse = "t"\n'
        '[mount.b]\nbucket = "bucket"\nmountpoint = "/mnt/b"\nuse = "t"\n'
        '[mount.b.environment]\nAWS_ROLE_ARN = "arn:aws:iam::${env:ACCOUNT}:role/b"\n'
    )
    mounts = load(file).mounts

    assert as_table(mounts["a"].environment) == {"AWS_REGION": "eu-west-1", "AWS_PROFILE": "t"}
    assert as_table(mounts["b"].environment) == {"AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/b"}


def test_an_error_in_a_table_is_told_where_the_table_is(tmp_path: Path) -> None:
    file = tmp_path / "m.toml"
    file.write_text(
        '[mount.a]\nbucket = "bucket"\nmountpoint = "/mnt/a"\n[mount.a.environment]\nAWS_SECRET_ACCESS_KEY = "x"\n'
    )
    with pytest.raises(MountctlError) as caught:
        load(file)
    assert "mount.a.environment: AWS_SECRET_ACCESS_KEY holds a secret, which no option takes" in str(caught.value)


def test_a_change_of_it_is_one_that_an_engine_need_not_know_of() -> None:
    assert class_of(["environment"]) is ChangeClass.LIVE


def test_every_name_that_is_allowed_is_taken() -> None:
    for name in ALLOWED:
        value = "3" if name == "AWS_MAX_ATTEMPTS" else "/file" if name.endswith("_FILE") else "http://host/x"
        assert as_table(spec({name: value}).environment) == {name: value}
