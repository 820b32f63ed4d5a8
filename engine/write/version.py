"""Which ETag an object that was made of parts has: what S3 answered, or what a server says of it afterwards.

Owned by uploader.py, asked by upload.py when an object is there. Amazon's S3 answers a CompleteMultipartUpload with the
ETag that the object has. `rclone serve s3` (1.75) answers with one that no later request agrees to, and a file that is
opened by it can't be read (412).
"""

import dataclasses
import logging
from typing import Final

import trio

from engine.errors import AccessDenied, EngineError
from engine.s3.interface import ObjectClient
from engine.write.state import Uploaded

logger = logging.getLogger(__name__)

# A program waits for its close meanwhile, and its object is in S3 already. In seconds.
ASK_SECONDS_MAX: Final = 5.0


class MadeVersions:
    """Asks of objects that were made of parts, until one has the ETag that S3 answered with: one HEAD an engine on S3.

    Args:
        client: S3.
    """

    def __init__(self, client: ObjectClient) -> None:
        self._client: Final = client
        self._agrees = False
        self._told = False

    async def of(self, made: Uploaded) -> Uploaded:
        """The object with the ETag to read it by. What can't be asked (no leave to, an outage) is what S3 answered."""
        if self._agrees:
            return made
        try:
            with trio.fail_after(ASK_SECONDS_MAX):
                info = await self._client.head_object(made.key)
        except AccessDenied:
            self._agrees = True  # most servers do, and to be told no at each close helps nobody
            return made
        except (EngineError, trio.TooSlowError):
            return made
        if info.etag == made.etag:
            self._agrees = True
        if info.size != made.size:
            return made  # somebody has replaced it
        if not (self._agrees or self._told):
            self._told = True
            logger.info("this server gives objects that are made of parts another ETag than it says: each is asked for")
        return dataclasses.replace(made, etag=info.etag)
