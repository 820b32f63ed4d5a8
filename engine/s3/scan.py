"""A page of a listing taken apart by regular expressions, as far as it is written as S3 writes it. Pure.

Used by documents.py, which reads with the XML parser what this leaves to it, and to which it must be equal: a page is
either understood to its last byte or not at all. Measured on 1,000 keys (318 KB): 2.7 ms of CPU to the finished page,
6.3 ms by ElementTree, 6.4 by expat's callbacks.

What makes it safe is checked for the body as a whole. No control characters, nothing beyond ASCII, as many `>` as `<`
and no `&` but those of an ETag's quotes: so no entity, comment, CDATA, instruction or white space between elements is
there, and text between two tags is what XML would make of it. And the elements found must cover the body without a gap.
"""

import re
from dataclasses import dataclass
from typing import Final

# What XML does not allow, and what it does not leave as it is.
_CONTROLS: Final = bytes(range(32))

_BEGIN: Final = re.compile(
    rb'(?:<\?xml version="1\.0"(?: encoding="(?i:UTF-8)")?\?>\n?)?'
    rb'<ListBucketResult(?: xmlns="http://[a-z0-9]+\.amazonaws\.com/doc/2006-03-01/")?>'
)
_END: Final = b"</ListBucketResult>"

_FACT: Final = re.compile(r"(<([A-Za-z]+)(?:/>|>([^<]*)</\2>))")

# Of S3, MinIO, Ceph and Go's encoder (`&#34;`). Whole, key, time, quote, ETag, size, class; or a common prefix.
_ENTRY: Final = re.compile(
    r"(<Contents><Key>([^<]*)</Key><LastModified>([^<]*)</LastModified><ETag>(&quot;|&#34;)([^<&]*)\4</ETag>"
    r"(?:<Checksum(?:Algorithm>[^<]*</ChecksumAlgorithm|Type>[^<]*</ChecksumType)>)*"
    r"<Size>([^<]*)</Size>(?:<StorageClass>([^<]*)</StorageClass>)?</Contents>"
    r"|<CommonPrefixes><Prefix>([^<]*)</Prefix></CommonPrefixes>)"
)
_QUOTES_OF_ETAG: Final = 2
_LISTS: Final = frozenset({"Contents", "CommonPrefixes"})


@dataclass(frozen=True, slots=True)
class Scanned:
    """What a page says, as text.

    Args:
        facts: the elements that are there once.
        objects: of each key, time, ETag without its quotes, size, storage class (empty: not told).
        prefixes: common prefixes.
    """

    facts: dict[str, str]
    objects: list[tuple[str, str, str, str, str]]
    prefixes: list[str]


def scan_list(body: bytes) -> Scanned | None:
    """A page of ListObjectsV2; None if only an XML parser can tell what it says."""
    begin = _BEGIN.match(body)
    body = body.rstrip(b"\n")
    if begin is None or not body.endswith(_END):
        return None
    inner = body[begin.end() : -len(_END)]
    if not inner.isascii() or len(inner.translate(None, _CONTROLS)) != len(inner):
        return None
    if inner.count(b"<") != inner.count(b">"):
        return None
    text = inner.decode("ascii")
    first, last = _entries(text)
    found = _ENTRY.findall(text, first, last)
    told = _FACT.findall(text, 0, first) + _FACT.findall(text, last)
    covered = sum([len(entry[0]) for entry in found]) + sum([len(fact[0]) for fact in told])
    objects = [(key, time, etag, size, kind) for _, key, time, quote, etag, size, kind, _ in found if quote]
    facts = {name: value for _, name, value in told}
    if covered != len(text) or text.count("&") != _QUOTES_OF_ETAG * len(objects) or not _LISTS.isdisjoint(facts):
        return None
    return Scanned(facts, objects, [entry[-1] for entry in found if not entry[3]])


def _entries(text: str) -> tuple[int, int]:
    """Where objects and common prefixes begin and end; before and behind them is what is there once."""
    firsts = [at for name in _LISTS if (at := text.find(f"<{name}>")) >= 0]
    lasts = [at + len(name) + 3 for name in _LISTS if (at := text.rfind(f"</{name}>")) >= 0]
    if not firsts or not lasts:
        return len(text), len(text)
    return min(firsts), max(lasts)
