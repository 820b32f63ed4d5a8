"""Loading a configuration that can be read: what is accepted, what drop-ins do, and the words of every error."""

import grp
from pathlib import Path

import pytest

from engine.spec import MountSpec
from mountctl.config.load import load
from mountctl.config.model import UNSUPPORTED_MOUNT_OPTIONS, UNSUPPORTED_SUPERVISOR_OPTIONS, SupervisorSpec
from mountctl.config.words import fields
from mountctl.errors import ConfigError, Problem

GOOD = """\
[mount.a]
bucket = "bucket-a"
mountpoint = "/mnt/a"
"""


def _write(directory: Path, text: str, name: str = "m.toml") -> Path:
    path = directory / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def _problems(path: Path) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        load(path)
    return caught.value.problems


def _told(path: Path) -> list[str]:
    """The problems as they are printed, without directory and column (test_config_positions.py has columns)."""
    return [str(problem._replace(column=None)).removeprefix(f"{path.parent}/") for problem in _problems(path)]


def test_a_file_without_mounts_is_an_empty_supervisor(tmp_path: Path) -> None:
    path = _write(tmp_path, "# nothing yet\n")
    config = load(path)
    assert (config.path, config.files, config.mounts) == (path, (path,), {})
    assert config.supervisor == SupervisorSpec()


def test_defaults_are_inherited_and_overridden(tmp_path: Path) -> None:
    defaults = '[defaults]\nregion = "eu-west-1"\nread-only = true\nbucket = "shared"\n'
    mounts = '[mount.a]\nmountpoint = "/mnt/a"\n[mount.b]\nmountpoint = "/mnt/b"\nbucket = "own"\nread-only = false\n'
    config = load(_write(tmp_path, defaults + mounts))
    assert config.mounts == {
        "a": MountSpec(name="a", bucket="shared", mountpoint="/mnt/a", region="eu-west-1", read_only=True),
        "b": MountSpec(name="b", bucket="own", mountpoint="/mnt/b", region="eu-west-1"),
    }


def test_every_way_to_write_a_table_is_the_same(tmp_path: Path) -> None:
    ways = (
        GOOD,
        'mount.a.bucket = "bucket-a"\nmount.a.mountpoint = "/mnt/a"\n',
        'mount = {a = {bucket = "bucket-a", mountpoint = "/mnt/a"}}\n',
        '[mount]\n"a" = {bucket = "bucket-a", mountpoint = "/mnt/a"}\n',
    )
    assert len({load(_write(tmp_path, way)).mounts["a"] for way in ways}) == 1


def test_a_mounts_name_may_have_a_dot_in_quotes(tmp_path: Path) -> None:
    assert list(load(_write(tmp_path, GOOD.replace("mount.a", 'mount."a.b"'))).mounts) == ["a.b"]


def test_the_control_group_must_exist(tmp_path: Path) -> None:
    group = grp.getgrgid(0).gr_name
    assert load(_write(tmp_path, f'[supervisor]\ncontrol-group = "{group}"\n')).supervisor.control_group == group
    assert _told(_write(tmp_path, '[supervisor]\ncontrol-group = "nobody-has-this"\n')) == [
        'm.toml:2: supervisor.control-group: this host has no group "nobody-has-this": create it, or remove the key'
    ]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('readonly = "x"', "mount.a.readonly: unknown key: did you mean read-only?"),
        ("read_only = true", "mount.a.read_only: unknown key: did you mean read-only?"),
        ('xyzzy = "x"', "mount.a.xyzzy: unknown key"),
        ("region = 5", "mount.a.region: must be a string, not the integer 5"),
        ("region = true", "mount.a.region: must be a string, not the boolean true"),
        ("region = 1979-05-27", "mount.a.region: must be a string, not the date 1979-05-27"),
        (
            "region = 1979-05-27T07:32:00Z",
            "mount.a.region: must be a string, not the date-time 1979-05-27 07:32:00+00:00",
        ),
        ("region = 07:32:00", "mount.a.region: must be a string, not the time 07:32:00"),
        ('region = ["x"]', "mount.a.region: must be a string, not an array"),
        ('region = ""', "mount.a.region: must not be empty: remove the key, or give it a value"),
        ('read-only = "yes"', 'mount.a.read-only: must be true or false, not the string "yes"'),
        ("read-only = 1", "mount.a.read-only: must be true or false, not the integer 1"),
        ("uid = 1.5", "mount.a.uid: must be an integer, not the float 1.5"),
        ("uid = true", "mount.a.uid: must be an integer, not the boolean true"),
        ("uid = 0", "mount.a.uid: must be between 1 and 4294967294, not 0"),
        ("max-threads = 5000", "mount.a.max-threads: must be between 1 and 4096, not 5000"),
        (f"uid = 0x1{'0' * 60}", "mount.a.uid: must be between 1 and 4294967294, not of 61 hexadecimal digits"),
        ("dir-mode = 1.5", 'mount.a.dir-mode: must be an octal number such as "0755", not the float 1.5'),
        ('dir-mode = "rwx"', 'mount.a.dir-mode: must be an octal number such as "0755"'),
        ('metadata-ttl = "soon"', "mount.a.metadata-ttl: must be a number of seconds, 'minimal' or 'indefinite'"),
        ("metadata-ttl = -1", "mount.a.metadata-ttl: must be between 0 and 3153600000 seconds (100 years)"),
        ('prefix = "train"', "mount.a.prefix: must end in '/': write 'train/'"),
        ('prefix = "/train/"', "mount.a.prefix: must not start with '/': keys in S3 do not"),
        (
            'endpoint-url = "localhost:9000"',
            "mount.a.endpoint-url: must be http://HOST[:PORT] or https://HOST[:PORT], without path or user",
        ),
        ('cache = "/var/cache"', f"mount.a.cache: {UNSUPPORTED_MOUNT_OPTIONS['cache']}"),
        ('bind = "eth0:1"', "mount.a.bind: not the name of a network interface: 'eth0:1'"),
        ('bind = ["eth0", "eth0"]', "mount.a.bind: names an interface twice"),
        ("bind = 1", "mount.a.bind: must be an array of strings, not the integer 1"),
        ("bind = [1]", "mount.a.bind: must be an array of strings, not the integer 1"),
        ("bind = [[], {}]", "mount.a.bind: must be an array of strings, not an array"),
        ("environment = 1", "mount.a.environment: must be a table of strings, not the integer 1"),
        ("environment = { AWS_PROFILE = 1 }", "mount.a.environment: AWS_PROFILE must be a string"),
        ('ca-bundle = "ca.pem"', "mount.a.ca-bundle: must be an absolute path"),
        ('log-directory = "logs"', "mount.a.log-directory: must be an absolute path"),
        ("fetchers = 17", "mount.a.fetchers: must be 'auto' or a number from 0 to 16"),
        ('fetchers = "many"', "mount.a.fetchers: must be 'auto' or a number from 0 to 16"),
        ("fetchers = true", "mount.a.fetchers: must be 'auto' or a number from 0 to 16"),
        ("maximum-throughput-gbps = 0", "mount.a.maximum-throughput-gbps: must be between 1 and 10000, not 0"),
        (
            "negative-metadata-ttl = -1",
            "mount.a.negative-metadata-ttl: must be between 0 and 3153600000 seconds (100 years)",
        ),
        ("part-size = 1", "mount.a.part-size: must be between 5242880 and 5368709120, not 1"),
        ("write-part-size = 5242879", "mount.a.write-part-size: must be between 5242880 and 5368709120, not 5242879"),
        (
            'sse = "none"',
            'mount.a.sse: must be "aws:kms", "aws:kms:dsse" or "AES256", not the string "none"',
        ),
        ('sse = ""', 'mount.a.sse: must be "aws:kms", "aws:kms:dsse" or "AES256", not the string ""'),
        (
            'upload-checksums = "sha256"',
            'mount.a.upload-checksums: must be "crc32c", "crc64nvme" or "off", not the string "sha256"',
        ),
        (
            'sse-kms-key-id = "alias/mine"\nsse = "aws:kms"',
            "mount.a.sse-kms-key-id: must be a key's ARN, arn:PARTITION:kms:REGION:ACCOUNT:key/ID: no key id, no alias",
        ),
        ('storage-class = ""', "mount.a.storage-class: must not be empty: remove the key, or give it a value"),
        (
            'user-agent-prefix = "a\\nb"',
            "mount.a.user-agent-prefix: must be printable ASCII: it is sent as an HTTP header",
        ),
        ('name = "b"', "mount.a.name: a mount's name is that of its table, [mount.NAME]: remove it"),
        ("b.c = 1", 'mount.a.b: unknown table: a mount\'s name with a dot needs quotes: [mount."a.b"]'),
        ("region.x = 1", 'mount.a.region: unknown table: a mount\'s name with a dot needs quotes: [mount."a.region"]'),
        ('"new\\nline" = 1', 'mount.a."new\\u000aline": unknown key'),
    ],
)
def test_a_wrong_line_in_a_mount_is_told(tmp_path: Path, line: str, told: str) -> None:
    assert _told(_write(tmp_path, f"{GOOD}\n{line}\n")) == [f"m.toml:5: {told}"]


TABLES = "[supervisor], [csi], [defaults], [template.NAME], [mount.NAME]"
MULTI_REGION = (
    "needs SigV4A signatures, which are not supported: mount one of its buckets, or an access point of one region"
)


@pytest.mark.parametrize(
    ("bucket", "told"),
    [
        ("ab", "bucket names must be 3-255 characters long"),
        ("s3://bucket", "bucket names have only letters, numbers, '.', '-' and '_' (an s3:// URL is not a name)"),
        ("arn:aws:s3:::my-b", "an ARN must be an access point's; write a bucket's name alone: 'my-b'"),
        (
            "arn:aws:iam::1:role/x",
            "not the ARN of an access point: arn:PARTITION:SERVICE:REGION:ACCOUNT:accesspoint/NAME",
        ),
        (
            "arn:aws:s3::123456789012:accesspoint/m.mrap",
            f"a multi-region access point {MULTI_REGION}",
        ),
    ],
)
def test_what_is_no_buckets_name_is_told(tmp_path: Path, bucket: str, told: str) -> None:
    text = GOOD.replace("bucket-a", bucket)
    assert _told(_write(tmp_path, text)) == [f"m.toml:2: mount.a.bucket: {told}"]


@pytest.mark.parametrize(
    ("mountpoint", "told"),
    [
        ("mnt/a", "must be an absolute path"),
        ("", "must be an absolute path"),
        ("/", "must not be '/'"),
        ("/mnt/../etc", "must not contain '..'"),
        ("/mnt/\\u0000", "must not contain a NUL"),
        ("/" + "a" * 256, "must not have a name of more than 255 bytes in it"),
        ("/a" * 2048, "must not be longer than 4095 bytes"),
    ],
)
def test_what_is_no_mountpoint_is_told(tmp_path: Path, mountpoint: str, told: str) -> None:
    text = GOOD.replace("/mnt/a", mountpoint)
    assert _told(_write(tmp_path, text)) == [f"m.toml:3: mount.a.mountpoint: {told}"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[mounts.a]\n", "m.toml:1: mounts: unknown table: did you mean [mount.NAME]?"),
        ("\n[default]\n", "m.toml:2: default: unknown table: did you mean [defaults]?"),
        (
            "[xyzzy]\n",
            f"m.toml:1: xyzzy: unknown table: a configuration has the tables {TABLES}",
        ),
        (
            "xyzzy = 1\n",
            f"m.toml:1: xyzzy: unknown key: a configuration has the tables {TABLES}",
        ),
        ('bucket = "b"\n', "m.toml:1: bucket: no table is open here: put it below [mount.NAME] or [defaults]"),
        ("defaults = 5\n", "m.toml:1: defaults: must be a table, not the integer 5: write [defaults]"),
        ("[[mount]]\n", "m.toml:1: mount: must be a table, not an array: write [mount.NAME]"),
        (
            '[mount]\nbucket = "b"\n',
            'm.toml:2: mount.bucket: must be a table, not the string "b": options go below [mount.NAME]',
        ),
        (
            "[supervisor]\nmetrics-listen = 1\n",
            "m.toml:2: supervisor.metrics-listen: must be a string, not the integer 1",
        ),
        (
            "[supervisor]\ncontrol-group = 1\n",
            "m.toml:2: supervisor.control-group: must be a string, not the integer 1",
        ),
        (
            '[defaults]\nmountpoint = "/m"\n',
            "m.toml:2: defaults.mountpoint: not a default: every mount has its own, in its [mount.NAME] table",
        ),
        (
            "[mount.my.bucket]\n",
            'm.toml:1: mount.my.bucket: unknown table: a mount\'s name with a dot needs quotes: [mount."my.bucket"]',
        ),
    ],
)
def test_a_wrong_table_is_told(tmp_path: Path, text: str, told: str) -> None:
    assert _told(_write(tmp_path, text)) == [told]


def test_missing_keys_are_told_at_the_tables_header(tmp_path: Path) -> None:
    assert _told(_write(tmp_path, "\n[mount.a]\nread-only = true\n")) == [
        "m.toml:2: mount.a.bucket: missing: this mount needs a bucket",
        "m.toml:2: mount.a.mountpoint: missing: this mount needs a mountpoint",
    ]


def test_a_name_that_no_mount_may_have_is_told_at_the_header(tmp_path: Path) -> None:
    rule = "a mount's name has 1-63 letters, digits, '.', '-' and '_', and starts with a letter or digit"
    assert _told(_write(tmp_path, GOOD.replace("mount.a", 'mount."-a"'))) == [f"m.toml:1: mount.-a: {rule}"]


def test_several_errors_are_told_at_once_by_line(tmp_path: Path) -> None:
    text = '[mount.a]\nuid = 0\nmountpoint = "x"\nallow-root = true\nbukket = 1\nallow-other = true\n'
    text += "[mount.b]\nprefix = 1\n"
    assert [(problem.line, problem.key) for problem in _problems(_write(tmp_path, text))] == [
        (1, "mount.a.bucket"),
        (2, "mount.a.uid"),
        (3, "mount.a.mountpoint"),
        (4, "mount.a.allow-root"),
        (5, "mount.a.bukket"),
        (7, "mount.b.bucket"),
        (7, "mount.b.mountpoint"),
        (8, "mount.b.prefix"),
    ]


def test_a_wrong_default_is_told_once_where_it_stands(tmp_path: Path) -> None:
    text = '[defaults]\nuid = "me"\nbucket = "x"\n[mount.a]\nmountpoint = "/a"\n[mount.b]\nmountpoint = "/b"\n'
    assert _told(_write(tmp_path, text)) == [
        'm.toml:2: defaults.uid: must be an integer, not the string "me"',
        "m.toml:3: defaults.bucket: bucket names must be 3-255 characters long",
    ]


def test_defaults_that_conflict_are_told_once(tmp_path: Path) -> None:
    text = "[defaults]\nallow-other = true\nallow-root = true\n" + GOOD
    assert _told(_write(tmp_path, text)) == [
        "m.toml:3: defaults.allow-root: allow-root conflicts with allow-other: keep one"
    ]


def test_a_mount_that_conflicts_with_a_default_is_told_at_the_mounts_key(tmp_path: Path) -> None:
    text = f"[defaults]\nallow-root = true\n{GOOD}allow-other = true\n"
    assert _told(_write(tmp_path, text)) == [
        "m.toml:6: mount.a.allow-other: allow-root conflicts with allow-other: keep one"
    ]


@pytest.mark.parametrize("same", ["/mnt/a", "/mnt//a/", "/mnt/./a"])
def test_two_mounts_at_one_mountpoint_are_told(tmp_path: Path, same: str) -> None:
    text = f'{GOOD}[mount.b]\nbucket = "bbb"\nmountpoint = "{same}"\n'
    assert _told(_write(tmp_path, text)) == [
        "m.toml:6: mount.b.mountpoint: the mountpoint of mount.a as well: each needs its own"
    ]


def test_a_mount_inside_another_is_told_whichever_comes_first(tmp_path: Path) -> None:
    inner = '[mount.b]\nbucket = "bbb"\nmountpoint = "/mnt/a/x/y"\n'
    told = "mount.b.mountpoint: inside the mountpoint of mount.a (/mnt/a): mounts can't be nested"
    assert _told(_write(tmp_path, GOOD + inner)) == [f"m.toml:6: {told}"]
    assert _told(_write(tmp_path, inner + GOOD)) == [f"m.toml:3: {told}"]


def test_a_mount_beside_another_of_similar_name_is_right(tmp_path: Path) -> None:
    assert len(load(_write(tmp_path, f'{GOOD}[mount.b]\nbucket = "bbb"\nmountpoint = "/mnt/ab"\n')).mounts) == 2


def test_mountpoints_are_compared_even_if_mounts_have_other_errors(tmp_path: Path) -> None:
    keys = [
        problem.key for problem in _problems(_write(tmp_path, f'{GOOD}uid = 0\n[mount.b]\nmountpoint = "/mnt/a"\n'))
    ]
    assert keys == ["mount.a.uid", "mount.b.bucket", "mount.b.mountpoint"]


def test_what_is_missing_is_not_told_while_a_file_cannot_be_read(tmp_path: Path) -> None:
    path = _write(tmp_path, "[mount.a]\nuid = 0\n")
    _write(tmp_path, "bucket = ", "m.d/10.toml")
    assert [problem.key for problem in _problems(path)] == ["mount.a.uid", ""]


def test_options_refused_by_name_are_none_of_ours() -> None:
    assert not UNSUPPORTED_MOUNT_OPTIONS.keys() & fields(MountSpec).keys()
    assert not UNSUPPORTED_SUPERVISOR_OPTIONS.keys() & fields(SupervisorSpec).keys()


@pytest.mark.parametrize("option", sorted(UNSUPPORTED_MOUNT_OPTIONS))
def test_an_option_of_mountpoint_that_is_not_there_yet_is_refused_with_a_sentence(tmp_path: Path, option: str) -> None:
    told = _told(_write(tmp_path, f"[defaults]\n{option} = 1\n"))
    assert told == [f"m.toml:2: defaults.{option}: {UNSUPPORTED_MOUNT_OPTIONS[option]}"]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (
            'transfer-acceleration = true\nendpoint-url = "http://s3:9000"',
            "transfer-acceleration conflicts with endpoint-url: it is a service of Amazon's own endpoints",
        ),
        (
            "transfer-acceleration = true\nforce-path-style = true",
            "transfer-acceleration conflicts with force-path-style: it knows buckets by their host name",
        ),
        (
            'dual-stack = true\nendpoint-url = "http://s3:9000"',
            "dual-stack conflicts with endpoint-url: what addresses a server has is its own business",
        ),
        (
            'no-log = true\nlog-directory = "/var/log/mounts"',
            "no-log conflicts with log-directory: keep one",
        ),
        ("no-log = true\ndebug = true", "no-log conflicts with debug: keep one"),
        ("part-size = 8388608\nread-part-size = 8388608", "part-size conflicts with read-part-size: keep one"),
        ("part-size = 8388608\nwrite-part-size = 8388608", "part-size conflicts with write-part-size: keep one"),
        (
            'sse-kms-key-id = "arn:aws:kms:eu-west-1:1:key/a"',
            "sse-kms-key-id needs sse: set it to 'aws:kms' or 'aws:kms:dsse'",
        ),
        (
            'sse-kms-key-id = "arn:aws:kms:eu-west-1:1:key/a"\nsse = "AES256"',
            "sse-kms-key-id conflicts with sse 'AES256', which uses no key of KMS",
        ),
    ],
)
def test_options_that_do_not_go_together_are_one_clear_error(tmp_path: Path, lines: str, told: str) -> None:
    assert _told(_write(tmp_path, f"{GOOD}\n{lines}\n")) == [f"m.toml:5: mount.a.{told.partition(' ')[0]}: {told}"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("force-path-style = true", "force-path-style conflicts with an access point's ARN"),
        ("transfer-acceleration = true", "transfer-acceleration conflicts with an access point's ARN"),
    ],
)
def test_an_access_point_is_addressed_by_its_host_name_only(tmp_path: Path, line: str, told: str) -> None:
    text = GOOD.replace("bucket-a", "arn:aws:s3:eu-west-1:123456789012:accesspoint/data")
    assert load(_write(tmp_path, text)).mounts["a"].source == (
        "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/data/"
    )
    [problem] = _told(_write(tmp_path, f"{text}\n{line}\n"))
    assert told in problem


def test_one_interface_may_stand_without_an_array(tmp_path: Path) -> None:
    assert load(_write(tmp_path, GOOD + 'bind = "eth0"\n')).mounts["a"].bind == ("eth0",)
    assert load(_write(tmp_path, GOOD + 'bind = ["eth0", "eth1"]\n')).mounts["a"].bind == ("eth0", "eth1")
