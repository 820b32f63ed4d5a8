"""The option string of fstab: Mountpoint's words, escapes and refusals."""

import pytest

from mountctl.commands.fstab import Call, WrongCall, spec_of, take_apart
from mountctl.commands.mount import InvalidOptions
from mountctl.config.fstab import FstabError, Options, declared, options


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("rw", {}),
        ("ro", {"read_only": True}),
        ("rw,_netdev,nosuid,nodev,nofail,allow-other", {"allow_other": True}),
        ("auto,noauto,user,nouser,users,defaults,noatime,x-systemd.automount,x-anything=1", {}),
        ("ro,,allow-root", {"read_only": True, "allow_root": True}),
        ("region=eu-west-1,metadata-ttl=60", {"region": "eu-west-1", "metadata_ttl": "60"}),
        ("prefix=a=b/", {"prefix": "a=b/"}),
        (r"prefix=a\,b/", {"prefix": "a,b/"}),
        (r"prefix=a\\b/", {"prefix": "a\\b/"}),
        (r"prefix=a\"b/", {"prefix": 'a"b/'}),
        ("prefix=a b/", {"prefix": "a b/"}),
        ("bind=eth0,bind=eth1", {"bind": ("eth0", "eth1")}),
    ],
)
def test_options_are_found_and_other_peoples_words_passed_by(text: str, found: Options) -> None:
    assert options(text) == found


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("--read-only", "--read-only: options have no dashes in front here: write read-only"),
        ("-d", "-d: options have no dashes in front here: write d"),
        ("ro,rw", "ro and rw are both given: keep one"),
        ("read-only", "read-only: write ro instead"),
        ("foreground", "foreground: has no meaning here"),
        ("cache=/var/cache", "cache: not supported, because"),
        ("cache-xz=bucket", "cache-xz: not supported, because"),
        ("incremental-upload", "incremental-upload: not supported, because"),
        ("allow-ohter", "allow-ohter: unknown option: did you mean allow-other?"),
        ("suid", "suid: unknown option"),
        ("bucket=b", "bucket: unknown option"),
        ("allow-other=yes", "allow-other: takes no value"),
        ("region", "region: needs a value: write region=VALUE"),
        (r"prefix=a\b/", "unexpected 'b' behind a backslash"),
        ('prefix="a/"', 'unexpected " at character 8'),
        ("prefix=a/\\", "the options end in a backslash"),
    ],
)
def test_what_is_wrong_is_told_in_one_sentence(text: str, told: str) -> None:
    with pytest.raises(FstabError) as caught:
        options(text)

    assert str(caught.value).startswith(told)


def test_sloppy_passes_by_what_nobody_knows_and_nothing_else() -> None:
    assert options("whatever=1,ro", sloppy=True) == {"read_only": True}
    with pytest.raises(FstabError, match="cache: not supported"):
        options("cache=/x", sloppy=True)


@pytest.mark.parametrize(
    ("arguments", "call"),
    [
        (["s3://b/p/", "/mnt/x", "-o", "rw"], Call("s3://b/p/", "/mnt/x", "rw")),
        (["s3://b/p/", "/mnt/x"], Call("s3://b/p/", "/mnt/x", "")),
        (["b", "/x", "-sfnv", "-o", "ro,allow-other"], Call("b", "/x", "ro,allow-other", fake=True, sloppy=True)),
        (["b", "/x", "-v", "-t", "mountctl", "-o", "rw", "-o", "allow-other"], Call("b", "/x", "rw,allow-other")),
        (["-o", "rw", "b", "/x"], Call("b", "/x", "rw")),
    ],
)
def test_mounts_arguments_are_taken_apart_as_mount_gives_them(arguments: list[str], call: Call) -> None:
    assert take_apart(arguments) == call


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["b"], "usage: mount.mountctl"),
        (["b", "/x", "y"], "usage: mount.mountctl"),
        (["b", "/x", "--read-only"], "usage: mount.mountctl"),
        (["b", "/x", "-N", "/proc/1/ns/mnt"], "-N: another mount namespace can't be mounted into"),
    ],
)
def test_arguments_that_mount_does_not_give_are_refused(arguments: list[str], told: str) -> None:
    with pytest.raises(WrongCall) as caught:
        take_apart(arguments)

    assert told in str(caught.value)


def test_a_line_of_fstab_is_a_mount() -> None:
    line = Call("s3://bucket/pre/fix/", "/mnt/my data", r"_netdev,ro,dir-mode=0700,metadata-ttl=60,uid=1000,bind=eth0")
    spec = spec_of(line)

    assert (spec.name, spec.bucket, spec.prefix, spec.mountpoint) == (
        "mnt-my_data",
        "bucket",
        "pre/fix/",
        "/mnt/my data",
    )
    assert (spec.read_only, spec.dir_mode, spec.metadata_ttl, spec.uid, spec.bind) == (True, 0o700, 60, 1000, ("eth0",))


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (Call("s3://b", "/mnt/x", "ro"), "s3://b: bucket names must be 3-255 characters long"),
        (Call("s3://bucket/pre", "/mnt/x", ""), "s3://bucket/pre: prefix must end in '/'"),
        (Call("s3://bucket/", "/mnt/x", "prefix=a/"), "prefix: not together with an s3:// URL"),
        (Call("bucket", "/mnt/x", "uid=0"), "uid: "),
        (Call("bucket", "/mnt/x", "cache=/x"), "cache: not supported"),
        (Call("bucket", "/mnt/x", "allow-other,allow-root"), "allow-root conflicts with allow-other"),
        (
            Call("s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/a/", "/mnt/x", ""),
            "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/a/: ARNs have no s3:// in front",
        ),
    ],
)
def test_what_is_no_mount_is_refused_before_anybody_is_asked(call: Call, told: str) -> None:
    with pytest.raises(InvalidOptions) as caught:
        spec_of(call)

    assert told in str(caught.value)


def test_an_arn_is_a_source_and_relative_paths_are_those_of_the_shell() -> None:
    source = "arn:aws:s3:eu-west-1:123456789012:accesspoint/a"
    spec = spec_of(Call(source, "x", "prefix=p/"))

    assert (spec.bucket, spec.prefix) == (source, "p/")
    assert spec.mountpoint.endswith("/x")


@pytest.mark.parametrize(
    ("text", "name"),
    [("declared=a-b.c,_netdev", "a-b.c"), ("rw,declared=x", "x"), ("ro", None), ("x-declared=x", None)],
)
def test_a_mount_of_the_file_is_named_by_the_units_of_the_generator(text: str, name: str | None) -> None:
    assert declared(text) == name
