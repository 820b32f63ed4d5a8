"""Where an engine's log goes: stderr, one line a record, with the mount's name. journald adds the time."""

import logging
import os
import sys


def set_up(name: str, *, debug: bool = False) -> None:
    """Log records of this process to stderr as `LEVEL name: message`, with a time when nobody adds one."""
    handler = logging.StreamHandler(sys.stderr)
    # systemd sets JOURNAL_STREAM when stderr is the journal, which stamps each line itself.
    time = "" if os.environ.get("JOURNAL_STREAM") else "%(asctime)s "
    handler.setFormatter(logging.Formatter(f"{time}%(levelname)s {name}: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    # botocore's debug records hold signed requests: never.
    for noisy in ("botocore", "boto3", "urllib3", "s3transfer"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
