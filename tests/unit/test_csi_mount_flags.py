"""mountOptions of a PersistentVolume: how they are taken apart, and what each comes to."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.spec import MountSpec
from mountctl.config.words import fields, takes_mode, takes_number, takes_seconds, takes_truth
from mountctl.csi.mount_flags import Flags, parse, split
from mountctl.csi.refusal import InvalidArgument
from mountctl.csi.volume import understood
from tests.csi.node.kubelet import publish


@pytest.mark.parametrize(
    ("item", "key", "value"),
    [
        ("allow-delete", "--allow-delete", None),
        ("--allow-delete", "--allow-delete", None),
        ("  allow-delete ", "--allow-delete", None),
        ("region us-east-1", "--region", "us-east-1"),
        ("region=us-east-1", "--region", "us-east-1"),
        ("--region us-east-1", "--region", "us-east-1"),
        ("--region=us-east-1", "--region", "us-east-1"),
        ("region   us-east-1", "--region", "us-east-1"),
        # What comes first separates: a prefix may have either sign.
        ("prefix a=b/", "--prefix", "a=b/"),
        ("prefix=a b/", "--prefix", "a b/"),
        ("prefix=a=b/", "--prefix", "a=b/"),
        ("-d", "-d", None),
        ("-l /var/log", "-l", "/var/log"),
        ("prefix=", "--prefix", ""),
        ("", "--", None),
    ],
)
def test_an_item_is_a_key_and_a_value(item: str, key: str, value: str | None) -> None:
    assert split(item) == (key, value)


@given(
    st.text(alphabet=st.characters(exclude_characters=" ="), min_size=1).filter(lambda k: k == k.strip()),
    st.sampled_from(" ="),
    st.text().filter(lambda v: v == v.strip()),
)
def test_whatever_a_value_is_it_comes_out_whole(key: str, separator: str, value: str) -> None:
    dashed, found = split(f"{key}{separator}{value}")
    assert dashed == (key if key.startswith("-") else f"--{key}")
    if value or separator == "=":
        assert found == value


@given(st.lists(st.text(max_size=40), max_size=5))
def test_no_text_is_anything_but_options_or_a_refusal_of_one_line(items: list[str]) -> None:
    try:
        sentence = repr(parse(items))
    except InvalidArgument as error:
        sentence = str(error)
    assert sentence.isprintable()


_KNOWN = {key: field for key, field in fields(MountSpec).items() if key not in ("name", "bucket", "mountpoint")}
_TEXTS = {
    "prefix": "a/",
    "endpoint-url": "http://localhost:9000",
    "bucket-type": "general-purpose",
    "sse": "aws:kms",
    "sse-kms-key-id": "arn:aws:kms:us-east-1:1:key/k",
    "upload-checksums": "off",
    "fetchers": "auto",
    "log-directory": "/var/log",
    "log-format": "json",
    "read-part-size": "8388608",
    "write-part-size": "8388608",
    "part-size": "8388608",
    "memory-high": "640",
    "memory-max": "640",
    "slice": "batch.slice",
}


@pytest.mark.parametrize("key", [key for key in _KNOWN if key not in ("ca-bundle", "environment", "read-only")])
def test_every_option_of_a_mount_can_be_given(key: str) -> None:
    field = _KNOWN[key]
    if takes_truth(field):
        item, wanted = key, True
    else:
        text = "750" if takes_mode(field) else _TEXTS.get(key) or ("16" if takes_number(field) else "value")
        item, wanted = f"{key} {text}", int(text) if text.isdigit() and not takes_mode(field) else text
    flags = parse([item])
    assert flags.options[key] in (wanted, [wanted])
    more = {"sse-kms-key-id": ["sse aws:kms"], "log-format": ["log-directory /var/log"]}.get(key, [])
    understood(publish(flags=[item, *more]), "driver")  # and makes a mount


@pytest.mark.parametrize("key", [key for key in _KNOWN if takes_seconds(_KNOWN[key])])
@pytest.mark.parametrize("value", ["indefinite", "minimal", "300"])
def test_times_to_live_are_words_or_seconds(key: str, value: str) -> None:
    asked = understood(publish(flags=[f"{key}={value}"]), "driver")
    assert asked.options[key] == (int(value) if value.isdigit() else value)


@pytest.mark.parametrize(
    "item", ["--foreground", "foreground", "-f", "--help", "help", "-h", "--version", "-v", "", "--"]
)
def test_what_their_driver_drops_is_dropped(item: str) -> None:
    assert parse([item]) == Flags()


@pytest.mark.parametrize("item", ["-o allow_other", "-o", "-o=ro", "-oro", "--ca-bundle /ca.pem", "ca-bundle=/ca.pem"])
def test_what_their_driver_refuses_is_refused(item: str) -> None:
    with pytest.raises(InvalidArgument, match="is not supported in a CSI driver"):
        parse([item])


@pytest.mark.parametrize("item", ["read-only", "--read-only"])
def test_read_only_is_of_the_target_and_not_of_the_mount(item: str) -> None:
    assert parse([item]) == Flags(read_only=True)


@pytest.mark.parametrize("item", ["aws-max-attempts 5", "--aws-max-attempts=5", "aws-max-attempts=05"])
def test_attempts_are_a_variable(item: str) -> None:
    assert parse([item]) == Flags(environment={"AWS_MAX_ATTEMPTS": "5"})


@pytest.mark.parametrize("value", ["0", "-1", "many", "1001", "1e2"])
def test_attempts_are_a_number(value: str) -> None:
    with pytest.raises(InvalidArgument, match="must be a number from 1 to 1000"):
        parse([f"aws-max-attempts {value}"])


@pytest.mark.parametrize(
    "item",
    [
        "cache /cache",
        "max-cache-size 100",
        "cache-block-size 1024",
        "cache-xz bucket--az--x-s3",
        "otlp-endpoint http://collector:4318",
        "otlp-export-interval 60",
    ],
)
def test_what_has_no_effect_here_is_accepted_and_told(item: str) -> None:
    flags = parse([item])
    assert flags.options == {}
    (note,) = flags.notes
    assert note.startswith(f"mount option --{item.split(maxsplit=1)[0]} has no effect: ")
    with pytest.raises(InvalidArgument, match="needs a value"):
        parse([item.split(maxsplit=1)[0]])


def test_two_ways_to_ask_for_a_cache_conflict() -> None:
    with pytest.raises(InvalidArgument, match="conflicts with the volume attribute cache"):
        parse(["cache /cache"], has_cache=True)


def test_the_size_of_a_cache_is_checked_as_theirs() -> None:
    parse(["max-cache-size 100"], cache_size_limit=Decimal(100 * 1024 * 1024))
    with pytest.raises(InvalidArgument, match="101 MiB is more than the volume attribute cacheEmptyDirSizeLimit"):
        parse(["max-cache-size 101"], cache_size_limit=Decimal(100 * 1024 * 1024))
    with pytest.raises(InvalidArgument, match='must be a number of MiB, not "1Gi"'):
        parse(["max-cache-size 1Gi"])


@pytest.mark.parametrize(
    ("item", "sentence"),
    [
        ("regoin x", 'unknown mount option "--regoin": did you mean --region?'),
        ("allow_delete", 'unknown mount option "--allow_delete": did you mean --allow-delete?'),
        ("ro", 'unknown mount option "--ro": write read-only, or nothing'),
        ("mountpoint /mnt", 'unknown mount option "--mountpoint"'),
        ("environment x", 'unknown mount option "--environment"'),
        ("-x", 'unknown mount option "-x"'),
        ("incremental-upload", "mount option --incremental-upload is not supported, because"),
        ("allow-delete=true", "mount option --allow-delete takes no value: write allow-delete"),
        ("region", "mount option --region needs a value: write region=VALUE"),
        ("region=", "mount option --region needs a value"),
    ],
)
def test_what_is_wrong_is_told(item: str, sentence: str) -> None:
    with pytest.raises(InvalidArgument) as error:
        parse([item])
    assert str(error.value).startswith(sentence)


def test_the_same_twice_is_once_and_another_value_is_refused() -> None:
    assert parse(["region x", "--region=x", "allow-delete", "--allow-delete"]).options == {
        "region": "x",
        "allow-delete": True,
    }
    with pytest.raises(InvalidArgument, match="--region is given twice, with different values"):
        parse(["region x", "region y"])


def test_an_option_that_may_be_repeated_is_a_set() -> None:
    assert parse(["bind eth1", "bind eth0", "bind eth1"]).options == {"bind": ["eth0", "eth1"]}


@pytest.mark.parametrize("item", ["uid=0", "gid=0", "uid 000"])
def test_root_owns_files_without_an_option(item: str) -> None:
    assert parse([item]) == Flags()


def test_a_secret_in_an_option_is_not_shown() -> None:
    with pytest.raises(InvalidArgument) as error:
        parse(["AKIAABCDEFGHIJKLMNOP=x"])
    assert "AKIA" not in str(error.value)
