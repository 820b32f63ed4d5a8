"""Warnings of `mountctl check`: what is legal and unwise, where it is told, and what is not warned of."""

from pathlib import Path

import pytest

from mountctl.config.advice import advice, prefixes
from mountctl.config.load import examine

ACCESS_KEY = "AKIA" + "ABCDEFGHIJKLMNOP"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENGbPxRfiCYEXAMPLEKEY1"


def _mount(name: str, bucket: str, *lines: str) -> str:
    return "\n".join([f"[mount.{name}]", f'bucket = "{bucket}"', f'mountpoint = "/mnt/{name}"', *lines, ""])


def _warned(directory: Path, text: str) -> list[str]:
    path = directory / "m.toml"
    path.write_text(text)
    warnings = advice(examine(path))
    assert all(each.is_warning for each in warnings)
    return [str(each).removeprefix(f"{path}:") for each in warnings]


def test_a_wise_file_has_no_warnings(tmp_path: Path) -> None:
    text = "[defaults]\nmetadata-ttl = 60\nallow-other = true\nuid = 5\n" + _mount("a", "aaa") + _mount("b", "bbb")
    assert _warned(tmp_path, text) == []


@pytest.mark.parametrize(
    ("line", "place", "what"),
    [
        (f'user-agent-prefix = "{ACCESS_KEY}"', "4:22", "an access key is written here"),
        (f"# key: {ACCESS_KEY}", "4:8", "an access key is written here"),
        ("# -----BEGIN RSA PRIVATE KEY-----", "4:3", "a private key is written here"),
        (f'# aws_secret_access_key = "{SECRET_KEY}"', "4:7", "a secret key is written here"),
        (f'user-agent-prefix = "{SECRET_KEY}"', "4:1", "looks secret"),
    ],
)
def test_a_secret_in_the_file_is_warned_of_at_its_place_and_not_shown(
    tmp_path: Path, line: str, place: str, what: str
) -> None:
    [warning] = _warned(tmp_path, _mount("a", "aaa", line))
    assert warning.startswith(f"{place}: warning: ")
    assert what in warning
    assert "~/.aws/credentials" in warning
    assert ACCESS_KEY not in warning
    assert SECRET_KEY not in warning


def test_a_secret_that_a_reference_stands_for_is_not_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT", ACCESS_KEY)
    assert _warned(tmp_path, _mount("a", "aaa", 'user-agent-prefix = "${env:AGENT}"')) == []


def test_secrets_are_warned_of_in_a_file_with_errors(tmp_path: Path) -> None:
    assert len(_warned(tmp_path, _mount("a", "aaa", f'aws-access-key-id = "{ACCESS_KEY}"'))) == 1


@pytest.mark.parametrize(
    ("first", "second"), [("", ""), ("x/", "x/"), ("", "x/y/"), ("x/y/", ""), ("x/", "x/y/"), ("x/y/", "x/")]
)
def test_two_mounts_that_write_to_the_same_keys_are_told_at_the_later(tmp_path: Path, first: str, second: str) -> None:
    text = _mount("a", "bbb", f'prefix = "{first}"') + _mount("b", "bbb", f'prefix = "{second}"')
    [warning] = _warned(tmp_path, text)
    assert warning == (
        f"8:1: warning: mount.b.prefix: mount.a writes to keys of this one too (s3://bbb/{first}): of two that write "
        "one file, the last to close it wins; make one read-only, or give each its own prefix"
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ('prefix = "x/"', 'prefix = "y/"'),
        ('prefix = "x/"', 'prefix = "xx/"'),
        ("", "read-only = true"),
        ("read-only = true", ""),
        ("", 'endpoint-url = "http://other:9000"'),
    ],
)
def test_mounts_that_do_not_write_to_the_same_keys_are_no_matter(tmp_path: Path, first: str, second: str) -> None:
    assert _warned(tmp_path, _mount("a", "bbb", first) + _mount("b", "bbb", second)) == []


def test_the_third_of_three_is_told_of_the_first_that_overlaps(tmp_path: Path) -> None:
    text = _mount("a", "bbb", 'prefix = "x/y/"') + _mount("b", "bbb", 'prefix = "z/"') + _mount("c", "bbb")
    assert [warning.partition(" (")[0] for warning in _warned(tmp_path, text)] == [
        "9:1: warning: mount.c: prefix: mount.a writes to keys of this one too"
    ]


@pytest.mark.parametrize(("ttl", "seen"), [("60", "after up to 60 s"), ('"indefinite"', "never")])
def test_a_ttl_where_another_mount_writes_is_told(tmp_path: Path, ttl: str, seen: str) -> None:
    reader = _mount("a", "bbb", "read-only = true", f"metadata-ttl = {ttl}")
    [warning] = _warned(tmp_path, reader + _mount("b", "bbb", 'prefix = "x/"'))
    assert warning == (
        "5:1: warning: mount.a.metadata-ttl: mount.b writes to keys of this one (s3://bbb/x/), and its changes are "
        f'seen here {seen}: write "minimal" if that is too late'
    )


@pytest.mark.parametrize("ttl", ["0", '"minimal"'])
def test_no_ttl_where_another_mount_writes_is_no_matter(tmp_path: Path, ttl: str) -> None:
    reader = _mount("a", "bbb", "read-only = true", f"metadata-ttl = {ttl}")
    assert _warned(tmp_path, reader + _mount("b", "bbb")) == []


def test_a_ttl_that_a_template_brings_along_is_told_where_it_is_named(tmp_path: Path) -> None:
    text = "[template.t]\nmetadata-ttl = 60\n" + _mount("a", "bbb", 'use = "t"', "read-only = true")
    [warning] = _warned(tmp_path, text + _mount("b", "bbb"))
    assert warning.startswith("6:1: warning: mount.a.use: metadata-ttl: mount.b writes")


def test_a_user_who_may_not_enter_is_told(tmp_path: Path) -> None:
    [warning] = _warned(tmp_path, _mount("a", "aaa", "uid = 1000"))
    assert warning.startswith("4:1: warning: mount.a.uid: this user can't get in")


def test_a_template_that_nobody_uses_is_told(tmp_path: Path) -> None:
    text = _mount("a", "aaa", 'use = "used"') + "[template.used]\n[template.other]\nuid = 1\n"
    assert _warned(tmp_path, text) == [
        '6:1: warning: template.other: no mount has it: write use = "other" in one, or remove it'
    ]


@pytest.mark.parametrize(
    ("address", "open_to_all"), [("127.0.0.1:1", 0), ("[::1]:1", 0), ("0.0.0.0:1", 1), ("[::]:1", 1)]
)
def test_metrics_that_others_can_reach_are_told(tmp_path: Path, address: str, open_to_all: int) -> None:
    warnings = _warned(tmp_path, f'[supervisor]\nmetrics-listen = "{address}"\n')

    assert len(warnings) == open_to_all
    assert all("over the network" in each and each.startswith("2:1: warning: ") for each in warnings)


def test_what_lies_at_a_mountpoint_is_told_at_its_key(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_text(_mount("a", "aaa") + _mount("b", "bbb"))
    [warning] = advice(examine(path), {"/mnt/b": "not empty"}.get)
    assert (warning.line, warning.key, warning.reason) == (6, "mount.b.mountpoint", "not empty")


def test_many_mounts_of_one_bucket_are_one_warning_each_however_many_overlap(tmp_path: Path) -> None:
    text = "".join(_mount(f"m{number}", "bbb") for number in range(500))
    warnings = _warned(tmp_path, text)
    assert len(warnings) == 499
    assert all("mount.m0 writes" in warning for warning in warnings)


def test_a_prefix_longer_than_any_key_is_compared_as_a_whole() -> None:
    slashes = "/" * 500_000
    assert prefixes(f"x{slashes}") == ["", f"x{slashes}"]
    assert prefixes("x/y//") == ["", "x/", "x/y/", "x/y//"]


def test_limits_that_the_host_cannot_meet_are_told_where_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_text(_mount("a", "aaa", "memory-max = 640", "cpu-weight = 5") + _mount("b", "bbb"))
    unmet = {"a": "cpu-weight: nobody sees to it"}
    [warning] = advice(examine(path), unmet=lambda spec: unmet.get(spec.name))
    assert str(warning) == (
        f"{path}:5:1: warning: mount.a.cpu-weight: this host can't see to it, and the mount is served without limits: "
        "cpu-weight: nobody sees to it"
    )
