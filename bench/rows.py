"""What is measured: rows (a workload on its objects) and scenes (how the S3 answers, how long names are believed).

Used by bench/run.py. Each row of a scene has keys of its own, so that none finds what another has left in a cache.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from bench.fast_s3 import put, put_same
from bench.nginx import NO_DELAY, S3S_OWN, Manners
from bench.peers import BUCKET, Peer

KIB: Final = 1 << 10
MIB: Final = 1 << 20

# What the goals for random reads are told for.
MEDIUM_BYTES: Final = 150_000_000

SMALL_BYTES: Final = 16 * KIB
SMALL_FILES: Final = 1000

# The object by which a directory is there before anything is written to it.
BEGINNING: Final = "beginning"

# These ask for the attributes of every name before they tell the first one: a minute for as many names.
ASKS_FOR_EACH: Final = ("s3fs",)
ASKED_EACH_MAX: Final = 10_000

TREE_DIRECTORIES: Final = 1000
TREE_FILES: Final = 100_000


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        name: as `goals.py` and the results have it.
        topic: what `--only` selects.
        title: for people.
        unit: of the value.
        scale: what the workload's value is multiplied by to be in it.
        workload: the name of what is done (bench/workloads.py).
        work: its arguments.
        first: what is done before, by other arguments, and not measured.
        sizes: the objects that it needs, bytes by key.
        same: more of them, all of SMALL_BYTES.
        names: it is about how long names are believed: where they are not, peers that always believe them are out.
        without: peers that are not asked, as one run would take them minutes.
        less: the smaller the better.
    """

    name: str
    topic: str
    title: str
    unit: str
    scale: float
    workload: str
    work: Mapping[str, Any]
    sizes: Mapping[str, int] = field(default_factory=dict)
    same: Sequence[str] = ()
    first: Mapping[str, Any] | None = None
    names: bool = False
    without: tuple[str, ...] = ()
    less: bool = False

    @property
    def writes(self) -> bool:
        """It leaves objects behind."""
        return self.topic in ("write", "create")


@dataclass(frozen=True)
class Scene:
    """Rows on one server, by mounts with the same options."""

    name: str
    title: str
    rows: tuple[Row, ...]
    manners: Manners = NO_DELAY
    tls: bool = False
    ttl: bool = False

    def takes_part(self, row: Row, peer: Peer) -> bool:
        """Whether a peer is measured."""
        return peer.name not in row.without and (self.ttl or not row.names or peer.ttl is not None)


def _sequential(
    readers: int, mib: int, *, topic: str = "sequential", title: str = "sequential read", **more: Any
) -> Row:
    keys = [f"{topic}-{readers}/{number}" for number in range(readers)]
    of = f"{readers} reader{'s' if readers > 1 else ''}"
    work = {"keys": keys, **more}
    return Row(
        f"{topic}-{readers}", topic, f"{title}, {of}", "MB/s", 1e-6, "sequential", work, dict.fromkeys(keys, mib * MIB)
    )


def _random(size: int, name: str, span: int, count: int) -> Row:
    key = f"random-{name}/object"
    work = {"key": key, "size": size, "span": span, "count": count}
    title = f"random {name.upper()} reads of {span // 1_000_000} MB"
    return Row(f"random-{name}", "random", title, "reads/s", 1, "pieces", work, {key: span})


def _stride(size: int, apart: int, span: int) -> Row:
    key = "stride/object"
    work = {"key": key, "size": size, "span": span, "apart": apart}
    title = f"{size // KIB} KiB of each {apart // MIB} MiB"
    return Row("stride", "stride", title, "reads/s", 1, "pieces", work, {key: span})


def _small(readers: int) -> Row:
    directory = f"small-{readers}"
    keys = [f"{directory}/{number:05}" for number in range(SMALL_FILES)]
    title = f"{SMALL_FILES:,} small files, {readers} reader{'s' if readers > 1 else ''}"
    work = {"directory": directory, "readers": readers}
    return Row(f"small-{readers}", "small-files", title, "files/s", 1, "small_files", work, same=keys, names=True)


def _list(entries: int) -> Row:
    directory = f"list-{entries}"
    keys = [f"{directory}/{number:06}" for number in range(entries)]
    work = {"directory": directory, "entries": entries}
    without = ASKS_FOR_EACH if entries > ASKED_EACH_MAX else ()
    return Row(
        directory, "list", f"ls -l of {entries:,}", "entries/s", 1, "long_list", work, same=keys, without=without
    )


def _find() -> Row:
    files = range(TREE_FILES // TREE_DIRECTORIES)
    keys = [f"tree/{directory:04}/{number:03}" for directory in range(TREE_DIRECTORIES) for number in files]
    title = f"find, {TREE_FILES:,} keys in {TREE_DIRECTORIES:,} directories"
    work = {"directory": "tree"}
    return Row("find", "find", title, "keys/s", 1, "find", work, same=keys, without=ASKS_FOR_EACH)


def _write(writers: int, mib: int) -> Row:
    names = [f"{number}" for number in range(writers)]
    work = {"names": names, "size": mib * MIB}
    title = f"write, {writers} stream{'s' if writers > 1 else ''}"
    return Row(f"write-{writers}", "write", title, "MB/s", 1e-6, "write", work)


def _first_byte() -> Row:
    keys = [f"first-byte/{number}" for number in range(20)]
    sizes = dict.fromkeys(keys, 8 * MIB)
    title = "first byte of a file"
    return Row("first-byte", "first-byte", title, "ms", 1e3, "first_byte", {"keys": keys}, sizes, less=True)


_READ_1: Final = _sequential(1, 512)
_READ_4: Final = _sequential(4, 256)
_READ_16: Final = _sequential(16, 64)
_DIRECT: Final[dict[str, Any]] = {"topic": "direct", "title": "sequential read, O_DIRECT", "direct": True}
_AGAIN_ONCE: Final = _sequential(1, 256, topic="again", title="the same file read again")
_AGAIN: Final = replace(_AGAIN_ONCE, first={**_AGAIN_ONCE.work, "keep": True})
_RANDOM_16K: Final = _random(16 * KIB, "16k", MEDIUM_BYTES, 200)
_STRIDE: Final = _stride(64 * KIB, 4 * MIB, 512 * MIB)
_SMALL: Final = (_small(1), _small(16))
_FIND: Final = _find()
_WRITE_1: Final = _write(1, 256)
_CREATE: Final = Row(
    "create",
    "create",
    "create 1,000 files of 1 byte",
    "files/s",
    1,
    "create",
    {"names": [f"{number:05}" for number in range(1000)]},
    names=True,
)

SCENES: Final = (
    Scene(
        "plain",
        "no delay",
        (
            *(_READ_1, _READ_4, _READ_16),
            *(_sequential(1, 512, **_DIRECT), _sequential(4, 128, **_DIRECT), _sequential(16, 32, **_DIRECT)),
            _AGAIN,
            _random(4 * KIB, "4k", 512 * MIB, 400),
            _random(256 * KIB, "256k", 512 * MIB, 200),
            *(_RANDOM_16K, _STRIDE, _first_byte()),
            *_SMALL,
            *(_list(1500), _list(100_000), _FIND),
            *(_WRITE_1, _write(4, 128), _CREATE),
        ),
    ),
    Scene("plain-ttl", "no delay, names believed for a minute", (*_SMALL, _CREATE), ttl=True),
    Scene("tls", "TLS, no delay", (_READ_1, _READ_4), tls=True),
    Scene(
        "manners",
        "S3's manners",
        (
            *(_READ_1, _READ_4),
            *(_RANDOM_16K, _STRIDE, _first_byte()),
            *_SMALL,
            *(_list(1500), _FIND),
            *(_WRITE_1, _CREATE),
        ),
        manners=S3S_OWN,
    ),
    Scene(
        "manners-ttl",
        "S3's manners, names believed for a minute",
        (*_SMALL, _CREATE),
        manners=S3S_OWN,
        ttl=True,
    ),
)


def selected(scenes: Sequence[str], topics: Sequence[str]) -> Iterator[Scene]:
    """The scenes of these names with their rows of these topics; none: all. Raises KeyError for an unknown one."""
    known = {row.topic for scene in SCENES for row in scene.rows}
    for unknown in (set(scenes) - {scene.name for scene in SCENES}) | (set(topics) - known):
        raise KeyError(unknown)
    for scene in SCENES:
        rows = tuple(row for row in scene.rows if not topics or row.topic in topics)
        if rows and (not scenes or scene.name in scenes):
            yield Scene(scene.name, scene.title, rows, scene.manners, scene.tls, scene.ttl)


def lay(rows: Sequence[Row], root: Path, written: Sequence[str]) -> None:
    """Make the objects of rows in a bucket's folder, and directories to write to, so that nobody needs mkdir.

    Objects of one size share their bytes, which saves memory.
    """
    pool = root / "content"  # a bucket that nobody asks for
    folder = root / BUCKET
    folder.mkdir(parents=True)
    small = put(pool, str(SMALL_BYTES), SMALL_BYTES)
    put_same(folder, [f"{directory}/{BEGINNING}" for directory in written], small)
    for row in {row.name: row for row in rows}.values():
        for key, size in row.sizes.items():
            content = pool / str(size)
            put_same(folder, [key], content if content.exists() else put(pool, str(size), size))
        put_same(folder, row.same, small)
