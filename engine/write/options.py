"""How an object is to be stored: the mount's options and the key, turned into what the client is told.

Used by uploader.py. Pure, but for the system's table of content types, which is read when this module is imported: an
engine is unprivileged by the time it serves, and may see no file of the host.
"""

import mimetypes
from typing import Final

from engine.s3.interface import UploadOptions
from engine.spec import MountSpec

mimetypes.init()

# The types of what `mimetypes` calls encodings. A file `a.tar.gz` is sent as gzip: as Content-Encoding, programs would
# unpack it on the way and get another file than the one that was written.
_OF_ENCODING: Final = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "br": "application/x-brotli",
    "compress": "application/x-compress",
}


def upload_options(spec: MountSpec, key: str) -> UploadOptions:
    """How a key of this mount is stored."""
    return UploadOptions(
        storage_class=spec.storage_class,
        sse=spec.sse,
        sse_kms_key_id=spec.sse_kms_key_id,
        content_type=content_type(key) if spec.infer_content_type else None,
        checksum_algorithm=spec.upload_checksums,
    )


def content_type(key: str) -> str | None:
    """The Content-Type that a key's extension stands for; None if it has none that is known."""
    name = key.rpartition("/")[2]
    kind, encoding = mimetypes.guess_type("file:" + name)  # a name with a colon is no URL
    return _OF_ENCODING.get(encoding) if encoding else kind
