"""Writing files: Uploader (one an engine) and Upload (one an open file)."""

from engine.write.upload import Upload
from engine.write.uploader import Uploader

__all__ = ["Upload", "Uploader"]
