"""What is said of uploads in XML and in headers: how an object shall be stored, which parts it has. Pure.

Used by writes.py. Raises BadResponse for what does not say what it must.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

# expat beneath ElementTree bounds the growth of entities by itself, and S3 has none.
from xml.etree import ElementTree as ET

from engine.errors import BadResponse, KeyTooLong, WrongEncryption
from engine.s3.checksums import composite_text, text_of
from engine.s3.documents import decoded, name_of, parse_iso_date, quoted, root_of
from engine.s3.etags import etag_of_parts
from engine.s3.interface import KEY_BYTES_MAX, Checksum, Likeness, PartInfo, UploadInfo, UploadOptions

Headers = tuple[tuple[str, str], ...]

_SSE: Final = "x-amz-server-side-encryption"
_SSE_KEY: Final = "x-amz-server-side-encryption-aws-kms-key-id"

_NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
_IN_PARTS: Final = {"crc32c": "ChecksumCRC32C", "crc64nvme": "ChecksumCRC64NVME"}

# What S3 keeps of a multipart object: of CRC32C the checksum of the parts' checksums, as Mountpoint has it.
_TYPES: Final = {"crc32c": "COMPOSITE", "crc64nvme": "FULL_OBJECT"}


@dataclass(frozen=True, slots=True)
class UploadPage:
    """One answer of ListMultipartUploads; `markers` are what to ask for the next with, empty at the last page."""

    uploads: list[UploadInfo]
    markers: Headers


def check_key(key: str) -> None:
    """Raises KeyTooLong for a key that S3 refuses: other servers take it, or fail in ways of their own."""
    if len(key.encode()) > KEY_BYTES_MAX:
        raise KeyTooLong("the key is too long for S3", code="KeyTooLongError", key=key)


def storing(upload: UploadOptions) -> Headers:
    """The headers that tell how an object shall be stored."""
    told = (
        ("x-amz-storage-class", upload.storage_class),
        (_SSE, upload.sse),
        (_SSE_KEY, upload.sse_kms_key_id),
        ("content-type", upload.content_type),
    )
    return tuple((name, value) for name, value in told if value is not None)


def body_checksum(checksum: Checksum | None) -> Headers:
    """The headers that tell the checksum of a request's body."""
    if checksum is None:
        return ()
    return (_checksum_header(checksum), ("x-amz-sdk-checksum-algorithm", checksum.algorithm.upper()))


def upload_checksum(upload: UploadOptions) -> Headers:
    """The headers that tell which checksums an upload's parts will have."""
    if upload.checksum_algorithm == "off":
        return ()
    return (
        ("x-amz-checksum-algorithm", upload.checksum_algorithm.upper()),
        ("x-amz-checksum-type", _TYPES[upload.checksum_algorithm]),
    )


def object_checksum(checksum: Checksum | None) -> Headers:
    """The headers that tell the checksum of the object that parts make, where S3 can compare it."""
    if checksum is None or _TYPES[checksum.algorithm] != "FULL_OBJECT":
        return ()
    return (_checksum_header(checksum), ("x-amz-checksum-type", "FULL_OBJECT"))


def check_encryption(upload: UploadOptions, headers: Mapping[str, str]) -> None:
    """Does S3 encrypt as it was asked to? Raises WrongEncryption. Where nothing was asked for, anything is right."""
    told = (headers.get(_SSE), headers.get(_SSE_KEY))
    if upload.sse is not None and told[0] != upload.sse:
        raise WrongEncryption(f"S3 encrypts by {told[0] or 'nothing that it tells'}, not by {upload.sse} as asked")
    if upload.sse_kms_key_id is not None and told[1] != upload.sse_kms_key_id:
        raise WrongEncryption("S3 encrypts with another KMS key than it was asked to")


def check_checksum(checksum: Checksum | None, headers: Mapping[str, str]) -> bool:
    """Does S3 have the bytes that were sent? False if it does not tell.

    Raises BadResponse if it has others, which has them sent again.
    """
    if checksum is None:
        return False
    name, text = _checksum_header(checksum)
    told = headers.get(name)
    if told not in (None, text):
        raise BadResponse(f"S3 says that what it took has the {name} {told[:20]!r}, not {text!r}")
    return told is not None


def etag_of_headers(headers: Mapping[str, str]) -> str:
    """The ETag of what was sent. Raises BadResponse."""
    etag = headers.get("etag", "")
    if not etag:
        raise BadResponse("S3 took an upload and told no ETag")
    return quoted(etag)


def likeness_of_body(size: int, etag: str, checksum: Checksum | None) -> Likeness:
    """What the object that one PUT makes will be like. `etag` may be empty: MD5 is slow."""
    if checksum is None:
        return Likeness(size, etag)
    return Likeness(size, etag, text_of(checksum), checksum.algorithm)


def likeness_of_parts(parts: Sequence[PartInfo], checksum: Checksum | None) -> Likeness:
    """What the object that these parts make will be like. `checksum` is the whole object's, if S3 is told one."""
    size, etag = sum(part.size for part in parts), etag_of_parts(parts)
    if checksum is None:
        return Likeness(size, etag)
    text = composite_text(parts) if checksum.algorithm == "crc32c" else text_of(checksum)
    return Likeness(size, etag, text, checksum.algorithm)


def is_like(headers: Mapping[str, str], likeness: Likeness) -> bool:
    """Is the object that HEAD's answer is of the one that is like this?"""
    if headers.get("content-length") != str(likeness.size):
        return False
    if likeness.etag and quoted(headers.get("etag", "")) == likeness.etag:
        return True
    told = headers.get(f"x-amz-checksum-{likeness.algorithm}")
    return likeness.checksum is not None and told == likeness.checksum


def completion(parts: Sequence[PartInfo]) -> bytes:
    """The document that says which parts make the object."""
    root = ET.Element("CompleteMultipartUpload", xmlns=_NAMESPACE)
    for part in parts:
        element = ET.SubElement(root, "Part")
        ET.SubElement(element, "PartNumber").text = str(part.number)
        ET.SubElement(element, "ETag").text = part.etag
        if part.checksum is not None:
            ET.SubElement(element, _IN_PARTS[part.checksum.algorithm]).text = text_of(part.checksum)
    return ET.tostring(root)


def parse_created(body: bytes) -> str:
    """The upload's id in the answer of CreateMultipartUpload. Raises BadResponse."""
    return _fact(_parse(body, "InitiateMultipartUpload"), "UploadId")


def parse_completed(body: bytes) -> str:
    """The ETag in the answer of CompleteMultipartUpload. Raises BadResponse."""
    return quoted(_fact(_parse(body, "CompleteMultipartUpload"), "ETag"))


def parse_uploads(body: bytes) -> UploadPage:
    """A page of ListMultipartUploads. Raises BadResponse."""
    root = _parse(body, "ListMultipartUploads")
    facts = {name_of(child): child.text or "" for child in root}
    encoded = facts.get("EncodingType") == "url"
    uploads = [_listed_upload(child, encoded=encoded) for child in root if name_of(child) == "Upload"]
    if facts.get("IsTruncated") != "true":
        return UploadPage(uploads, ())
    key = facts.get("NextKeyMarker", "")
    if not key:
        raise BadResponse("S3 says that a listing of uploads goes on, and not where")
    markers = (
        ("key-marker", decoded(key) if encoded else key),
        ("upload-id-marker", facts.get("NextUploadIdMarker", "")),
    )
    return UploadPage(uploads, markers)


def _listed_upload(entry: ET.Element, *, encoded: bool) -> UploadInfo:
    said = {name_of(part): part.text or "" for part in entry}
    try:
        key = said["Key"]
        return UploadInfo(decoded(key) if encoded else key, said["UploadId"], parse_iso_date(said["Initiated"]))
    except (KeyError, ValueError) as error:
        raise BadResponse(f"S3's listing of uploads has an entry that is not usable: {error!r}") from error


def _checksum_header(checksum: Checksum) -> tuple[str, str]:
    return f"x-amz-checksum-{checksum.algorithm}", text_of(checksum)


def _parse(body: bytes, wanted: str) -> ET.Element:
    try:
        root = root_of(body.strip())  # S3 sends blanks while it is thinking
    except ValueError as error:
        raise BadResponse(f"S3's answer is not XML: {error}") from error
    if name_of(root).removesuffix("Result") != wanted:  # not every server has the suffix
        raise BadResponse(f"S3 answered <{name_of(root)}> where <{wanted}Result> was due")
    return root


def _fact(root: ET.Element, name: str) -> str:
    for child in root:
        if name_of(child) == name and child.text:
            return child.text
    raise BadResponse(f"S3's <{name_of(root)}> has no {name}")
