"""What S3 says in XML and in headers, as our own types: listings, error documents, an object's metadata. Pure.
(Of uploads: upload_documents.py.)

Used by client.py. Raises BadResponse for what does not say what it must; never guesses a size or a key.
"""

import calendar
import contextlib
import datetime as dt
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_plus

# expat beneath ElementTree bounds the growth of entities by itself, and S3 has none.
from xml.etree import ElementTree as ET

from engine.errors import BadResponse, PreconditionFailed
from engine.s3.interface import ListPage, ObjectInfo
from engine.s3.scan import Scanned, scan_list

_MONTHS: Final = {name: number for number, name in enumerate(calendar.month_abbr) if name}
_HTTP_DATE: Final = re.compile(r"^\w{3}, (\d\d) (\w{3}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT$")
# A size in bytes that S3 can mean: its largest objects need 14 digits. More would not fit where sizes are kept.
SIZE_DIGITS_MAX: Final = 14
_BEGINNING: Final = re.compile(r"^bytes 0-\d+/(\d+)$")
_RESTORING: Final = 'ongoing-request="true"'
_RESTORED: Final = re.compile(r'^ongoing-request="false", expiry-date="([^"]+)"$')


@dataclass(frozen=True, slots=True)
class ErrorDocument:
    """What an error's body says; all empty when there was none (HEAD), or it was no such document."""

    code: str = ""
    message: str = ""
    region: str = ""
    request_id: str = ""
    host_id: str = ""


def root_of(body: bytes) -> ET.Element:
    """A document's outermost element. Raises ValueError if it is not XML, or in characters that nobody knows."""
    try:
        return ET.fromstring(body)  # noqa: S314
    except (ET.ParseError, LookupError) as error:
        raise ValueError(str(error)) from error


def parse_error(body: bytes) -> ErrorDocument:
    """An error's body. One that is empty or not S3's gives an empty document: the status has to do."""
    try:
        root = root_of(body)
    except ValueError:
        return ErrorDocument()
    if name_of(root) != "Error":
        return ErrorDocument()
    said = {name_of(child): child.text or "" for child in root}
    return ErrorDocument(
        code=said.get("Code", ""),
        message=said.get("Message", ""),
        region=said.get("Region", ""),
        request_id=said.get("RequestId", ""),
        host_id=said.get("HostId", ""),
    )


def parse_list(body: bytes, now: float) -> ListPage:
    """A page of ListObjectsV2. `now` decides whether a restored copy is still there.

    Raises BadResponse if it is not one, or lacks what an entry must have.
    """
    scanned = scan_list(body)
    if scanned is not None:
        with contextlib.suppress(ValueError):  # the parser says what is wrong
            return _scanned_page(scanned)
    return parse_list_by_xml(body, now)


def parse_list_by_xml(body: bytes, now: float) -> ListPage:
    """The same, however it is written."""
    try:
        root = root_of(body)
    except ValueError as error:
        raise BadResponse(f"S3's listing is not XML: {error}") from error
    if name_of(root) != "ListBucketResult":
        raise BadResponse(f"S3 answered a listing with <{name_of(root)}>")
    facts: dict[str, str] = {}
    contents, prefixes = [], []
    space = len(root.tag) - len("ListBucketResult")  # all elements have the root's namespace; a page has thousands
    for child in root:
        name = child.tag[space:]
        if name == "Contents":
            contents.append({part.tag[space:]: part for part in child})
        elif name == "CommonPrefixes":
            prefixes += [part.text or "" for part in child if name_of(part) == "Prefix"]
        else:
            facts[name] = child.text or ""
    encoded = _is_encoded(facts)
    return ListPage(
        objects=[_listed_object(entry, now, encoded=encoded) for entry in contents],
        prefixes=[decoded(prefix) for prefix in prefixes] if encoded else prefixes,
        next_token=_next_token(facts),
    )


def _scanned_page(scanned: Scanned) -> ListPage:
    """Raises ValueError if an entry is not usable."""
    objects, prefixes = scanned.objects, scanned.prefixes
    plain = not _is_encoded(scanned.facts)
    return ListPage(
        objects=[
            ObjectInfo(
                key if plain or ("%" not in key and "+" not in key) else unquote_plus(key),
                _size(size),
                f'"{etag}"',
                parse_iso_date(time),
                storage_class or "STANDARD",
            )
            for key, time, etag, size, storage_class in objects
        ],
        prefixes=prefixes if plain else [decoded(prefix) for prefix in prefixes],
        next_token=_next_token(scanned.facts),
    )


def _is_encoded(facts: Mapping[str, str]) -> bool:
    return facts.get("EncodingType") == "url"


def _next_token(facts: Mapping[str, str]) -> str | None:
    """How a listing goes on; None if this is its last page. Raises BadResponse if it goes on and nobody knows how."""
    if facts.get("IsTruncated") != "true":
        return None  # a token behind the last page leads nowhere
    token = facts.get("NextContinuationToken") or None
    if token is None:
        raise BadResponse("S3 says that a listing goes on, and not where")
    return token


def object_of_headers(key: str, headers: Mapping[str, str], now: float) -> ObjectInfo:
    """What HEAD says of an object. Raises BadResponse if size or time are missing or no such thing."""
    try:
        return ObjectInfo(
            key=key,
            size=_size(headers["content-length"]),
            etag=quoted(headers.get("etag", "")),
            last_modified=parse_http_date(headers["last-modified"]),
            storage_class=headers.get("x-amz-storage-class") or "STANDARD",
            restored=is_restored(headers.get("x-amz-restore", ""), now),
            restoring=headers.get("x-amz-restore", "").startswith(_RESTORING),
        )
    except (KeyError, ValueError) as error:
        raise BadResponse(f"S3's metadata of an object is not usable: {error!r}", key=key) from error


def beginning_of_headers(
    key: str, headers: Mapping[str, str], length: int | None, room: int, now: float
) -> tuple[ObjectInfo, int]:
    """What a GET of the first `room` bytes says of an object, and how many of its bytes come.

    0: they can't be used, for they are more than that, or nobody knows how many, or of which version. `length` is the
    body's. Raises BadResponse if the answer is not usable.
    """
    told = headers.get("content-range")
    if told is None:
        size = headers.get("content-length", "")
    else:
        found = _BEGINNING.match(told)
        if found is None:
            raise BadResponse(f"S3 answered {told[:80]!r} to a request of the first {room} bytes", key=key)
        size = found.group(1)
    info = object_of_headers(key, {**headers, "content-length": size}, now)
    count = min(info.size, room)
    return info, count if length == count and info.etag else 0


def check_range(status: int, headers: Mapping[str, str], length: int | None, offset: int, count: int) -> None:
    """Is this the answer to a GET of `count` bytes from `offset` on? Raises BadResponse if any other bytes would come.

    `length` is the body's, None if the answer does not tell.
    """
    if length not in (None, count):
        raise BadResponse(f"S3 answered {length} bytes to a request of {count}", status=status)
    told = headers.get("content-range", "")
    if status == 206 or told:  # some servers send a range with 200: what counts is that it is the one
        if not told.startswith(f"bytes {offset}-{offset + count - 1}/"):
            raise BadResponse(
                f"S3 answered {told[:80]!r} to a request of {count} bytes from {offset} on", status=status
            )
    elif status != 200 or offset != 0 or length is None:
        raise BadResponse("S3 answered a whole object to a request of a range", status=status)


def check_version(headers: Mapping[str, str], status: int, if_match: str) -> None:
    """A server that ignores If-Match must not get another version's bytes into a file. Raises PreconditionFailed."""
    etag = quoted(headers.get("etag", ""))
    if if_match and etag and etag != if_match:
        raise PreconditionFailed("the object was replaced in S3", status=status)


def quoted(etag: str) -> str:
    """An ETag with its quotes, which some servers leave out of listings: it must be the same text everywhere."""
    return f'"{etag}"' if etag and not etag.endswith('"') else etag


def is_restored(restore: str, now: float) -> bool:
    """Does `x-amz-restore` tell of a restored copy whose expiry is still to come? A malformed one does not."""
    found = _RESTORED.match(restore)
    if found is None:
        return False
    try:
        return parse_http_date(found.group(1)) > now
    except ValueError:
        return False


@functools.lru_cache(maxsize=256)  # objects written together have the same second
def parse_http_date(text: str) -> float:
    """`Sun, 22 Nov 2026 21:37:12 GMT` in seconds since the epoch. Raises ValueError."""
    found = _HTTP_DATE.match(text)
    if found is None:
        raise ValueError(f"not a date: {text[:40]!r}")
    day, month, year, *time = found.groups()
    if month not in _MONTHS:
        raise ValueError(f"not a month: {month!r}")
    hour, minute, second = map(int, time)
    return float(calendar.timegm((int(year), _MONTHS[month], int(day), hour, minute, second)))


def parse_iso_date(text: str) -> float:
    """`2026-11-22T21:37:12.000Z` in seconds since the epoch. Raises ValueError."""
    date = dt.datetime.fromisoformat(text)
    return (date if date.tzinfo else date.replace(tzinfo=dt.UTC)).timestamp()


def _listed_object(entry: dict[str, ET.Element], now: float, *, encoded: bool) -> ObjectInfo:
    try:
        key = entry["Key"].text or ""
        storage_class = entry.get("StorageClass")
        etag = entry.get("ETag")
        restore = entry.get("RestoreStatus")
        return ObjectInfo(
            key=decoded(key) if encoded else key,
            size=_size(entry["Size"].text or ""),
            etag=quoted(etag.text or "") if etag is not None else "",
            last_modified=parse_iso_date(entry["LastModified"].text or ""),
            storage_class=(storage_class.text if storage_class is not None else None) or "STANDARD",
            restored=restore is not None and _is_restored_listing(restore, now),
            restoring=restore is not None and _is_restoring_listing(restore),
        )
    except (KeyError, ValueError) as error:
        raise BadResponse(f"S3's listing has an entry that is not usable: {error!r}") from error


def decoded(text: str) -> str:
    """A key of a listing that was asked for with encoding-type=url."""
    return unquote_plus(text) if "%" in text or "+" in text else text


def _is_restored_listing(status: ET.Element, now: float) -> bool:
    said = {name_of(part): part.text or "" for part in status}
    if said.get("IsRestoreInProgress") != "false":
        return False
    try:
        return parse_iso_date(said.get("RestoreExpiryDate", "")) > now
    except ValueError:
        return False


def _is_restoring_listing(status: ET.Element) -> bool:
    return any(name_of(part) == "IsRestoreInProgress" and part.text == "true" for part in status)


def _size(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > SIZE_DIGITS_MAX:
        raise ValueError(f"not a size: {text[:40]!r}")
    return int(text)


def name_of(element: ET.Element) -> str:
    """An element's name without its namespace, which other servers than S3 spell differently or leave out."""
    return element.tag.rpartition("}")[2]
