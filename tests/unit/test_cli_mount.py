"""The command line of `mountctl mount`: Mountpoint's words, made a mount."""

from pathlib import Path
from typing import Any

import pytest

from mountctl.commands.mount import InvalidOptions, name_of, spec_from


def test_the_command_line_of_mount_is_the_same_mount_as_the_file_says() -> None:
    spec = spec_from(
        "s3://my-bucket/train/2026/",
        "/mnt/data/",
        read_only=True,
        endpoint_url="http://127.0.0.1:9000",
        uid="1000",
        dir_mode="750",
        metadata_ttl="60",
        region=None,
        debug=False,
    )

    assert (spec.name, spec.bucket, spec.prefix, spec.mountpoint) == (
        "mnt-data",
        "my-bucket",
        "train/2026/",
        "/mnt/data",
    )
    assert (spec.read_only, spec.endpoint_url, spec.uid) == (True, "http://127.0.0.1:9000", 1000)
    assert (spec.dir_mode, spec.metadata_ttl, spec.debug) == (0o750, 60, False)


def test_a_bucket_needs_no_scheme_and_takes_a_prefix() -> None:
    spec = spec_from("my-bucket", "relative", prefix="a/", metadata_ttl="indefinite")

    assert (spec.source, spec.metadata_ttl) == ("s3://my-bucket/a/", "indefinite")
    assert spec.mountpoint == str(Path.cwd() / "relative")


def test_words_that_change_nothing_are_taken_as_mountpoint_takes_them() -> None:
    plain = spec_from("my-bucket", "/x")

    assert spec_from("my-bucket", "/x", foreground=True, bucket_type=None) == plain
    spec = spec_from("my-bucket", "/x", bucket_type="general-purpose", auto_unmount=True, debug_crt=True)
    assert (spec.bucket_type, spec.auto_unmount, spec.log_level, plain.log_level) == (
        "general-purpose",
        True,
        "debug",
        "info",
    )


def test_options_may_be_repeated_or_have_paths_and_numbers() -> None:
    spec = spec_from(
        "my-bucket", "/x", bind=["eth0", "eth1"], ca_bundle="ca.pem", negative_metadata_ttl="5", log_directory=None
    )

    assert (spec.bind, spec.ca_bundle, spec.negative_metadata_ttl) == (("eth0", "eth1"), str(Path.cwd() / "ca.pem"), 5)
    assert (spec.log_directory, spec_from("my-bucket", "/x", bind=[]).bind) == (None, ())


def test_a_number_that_is_none_is_told() -> None:
    with pytest.raises(InvalidOptions, match=r"--uid: .*integer"):
        spec_from("my-bucket", "/mnt/x", uid="many")


@pytest.mark.parametrize(
    ("mountpoint", "name"),
    [
        ("/mnt/data", "mnt-data"),
        ("/mnt/my data", "mnt-my_data"),
        ("/-", "mount"),
        ("/mnt/ü", "mnt-_-c3bd0e9f"),
        ("/ü", "mount-ee50a3e5"),
        ("/" + "a" * 63, "a" * 63),
        ("/" + "a" * 300, f"{'a' * 54}-1a27f0ae"),
    ],
)
def test_a_mount_without_a_name_is_called_by_its_mountpoint(mountpoint: str, name: str) -> None:
    assert name_of(mountpoint) == name


def test_mountpoints_in_other_letters_have_names_of_their_own() -> None:
    assert name_of("/mnt/\u6570\u636e") != name_of("/mnt/\u5907\u4efd")


@pytest.mark.parametrize(
    ("source", "directory", "options", "about"),
    [
        ("s3://bucket/\udcff/", "/mnt/x", {}, "the source"),
        ("bucket", "/mnt/\udcff", {}, "DIR"),
        ("bucket", "/mnt/x", {"log_directory": "/\udcff"}, "--log-directory"),
        ("bucket", "/mnt/x", {"bind": ["eth0", "\udcff"]}, "--bind"),
    ],
)
def test_bytes_that_are_no_text_are_told(source: str, directory: str, options: dict[str, Any], about: str) -> None:
    with pytest.raises(InvalidOptions, match=f"^{about}: has bytes that are no UTF-8"):
        spec_from(source, directory, **options)
