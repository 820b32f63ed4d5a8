"""The upload of a handle whose engine died: the object is there, or nothing is.

Made by uploader.py for engine/fs, in the place of an Upload. Sends nothing but a question.
"""

from typing import Final

import trio

from engine.errors import EngineError, UploadCompleted, UploadFailed
from engine.s3.interface import Likeness
from engine.write.orphans import Orphans
from engine.write.state import Uploaded


class InheritedUpload:
    """A file that is not written any more.

    Args:
        key: the object's key.
        orphans: multipart uploads that are being aborted: one of them may be this file's.
        uploaded: the object is in S3.
        publishing: S3 was asked to make an object like this, and the answer died with the engine: if the object is
            there, it was made; if not, the program is told that it failed.
    """

    def __init__(self, key: str, orphans: Orphans, *, uploaded: Uploaded | None, publishing: Likeness | None) -> None:
        self.key: Final = key
        self.publishing: Final = publishing
        self.uploaded = uploaded
        self.error: EngineError | None = None
        self._orphans: Final = orphans
        self._lock: Final = trio.Lock()
        if uploaded is None and publishing is None:
            self._fail()

    @property
    def size(self) -> int:
        """Bytes written, as far as that is known."""
        if self.uploaded is not None:
            return self.uploaded.size
        return 0 if self.publishing is None else self.publishing.size

    @property
    def begun(self) -> bool:
        """Something was written, or at least meant to be the object."""
        return True

    def expect(self, size: int) -> None:
        """It can be given no size any more. Raises UploadFailed or UploadCompleted."""
        raise self.error or UploadCompleted(f"{self.key!r} is complete in S3: it can't get {size} bytes")

    async def write(self, offset: int, data: bytes | memoryview) -> int:
        """Nothing can be added. Raises UploadCompleted or UploadFailed."""
        await self.complete()
        raise UploadCompleted(f"{self.key!r} is complete in S3 since fsync or close: nothing can be added")

    async def complete(self) -> Uploaded:
        """The object, if it is there. Raises UploadFailed; also when S3 can't be asked, which is not final."""
        async with self._lock:
            if self.uploaded is None and self.error is None:
                await self._decide()
        if self.error is not None:
            raise self.error.with_traceback(None)
        assert self.uploaded is not None, "it is decided"
        return self.uploaded

    async def _decide(self) -> None:
        assert self.publishing is not None, "it was neither complete nor failed"
        await self._orphans.tried()
        try:
            etag = await self._orphans.client.find_object(self.key, self.publishing)
        except EngineError as error:
            raise UploadFailed(f"whether {self.key!r} is uploaded is not known: {error}") from error
        if etag is None:
            self._fail()
        else:
            self.uploaded = Uploaded(self.key, etag, self.publishing.size)

    def _fail(self) -> None:
        self.error = UploadFailed(f"{self.key!r} is not uploaded: the engine that wrote it died")
