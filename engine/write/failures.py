"""Which error a writing program is told when its upload fails. Used by upload.py. Pure."""

from engine.errors import (
    AccessDenied,
    EngineError,
    EntityTooLarge,
    FileTooBig,
    KeyTooLong,
    OutOfOrderWrite,
    UploadFailed,
)


def as_told(error: EngineError) -> EngineError:
    """What the writing program is told. Errors of S3 whose errno would mislead it are EIO."""
    told = (AccessDenied, EntityTooLarge, KeyTooLong, FileTooBig, OutOfOrderWrite, UploadFailed)
    if isinstance(error, told):
        return error
    failed = UploadFailed(str(error))
    failed.__cause__ = error
    return failed
