"""The kinds of records that an engine's journal has, for tests that make up records."""

from typing import Final

KINDS: Final = (
    *("mounted", "inode", "pending", "removed", "forgot", "opened", "reading", "closed", "opendir", "page", "given"),
    *("writing", "publishing", "written", "failed", "upload", "upload-ended", "upload-asked", "upload-settled"),
)
