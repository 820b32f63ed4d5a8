"""What is written down of multipart uploads, so that none of them stays in S3 for good. A contract; no behaviour.

Called by uploader.py; engine/fs's ledger keeps it.
"""

from typing import Protocol


class UploadRecords(Protocol):
    """Each is safe when its method returns."""

    def upload_asked(self, key: str) -> None:
        """S3 is about to be asked to begin one."""
        ...

    def upload_refused(self, key: str) -> None:
        """S3 has not begun it."""
        ...

    def upload_begun(self, upload_id: str, key: str) -> None:
        """It has this id; nothing was sent to it yet."""
        ...

    def upload_ended(self, upload_id: str) -> None:
        """S3 says that it is complete, aborted or not there."""
        ...

    def upload_looked_for(self, key: str) -> None:
        """One that was asked for by an engine before is found, or not there."""
        ...


class NoRecords:
    """For an engine without a successor."""

    def upload_asked(self, key: str) -> None:
        """Nobody will look for it."""

    def upload_refused(self, key: str) -> None:
        """Nothing."""

    def upload_begun(self, upload_id: str, key: str) -> None:
        """Nothing."""

    def upload_ended(self, upload_id: str) -> None:
        """Nothing."""

    def upload_looked_for(self, key: str) -> None:
        """Nothing."""
