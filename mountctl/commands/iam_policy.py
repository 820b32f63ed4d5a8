"""`mountctl iam-policy [NAME...]`: the least policy for the mounts as configured. Called by doctor_commands.py.

The policy goes to stdout as JSON, what it can't say to stderr. Reads the configuration only.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from mountctl.config.load import load
from mountctl.config.words import did_you_mean
from mountctl.errors import UnknownMount
from mountctl.iam_policy import NoPolicy, notes, policy


def iam_policy(config: Path, names: Sequence[str], partition: str | None, *, restoring: bool = False) -> int:
    """Print it; `restoring`: for `mountctl restore`, too. Returns 0. Raises ConfigError, UnknownMount, NoPolicy."""
    mounts = load(config).mounts
    for name in names:
        if name not in mounts:
            raise UnknownMount(f"no mount {name} in {config}{did_you_mean(name, tuple(mounts))}")
    chosen = [mounts[name] for name in (names or mounts)]
    signed = [spec for spec in chosen if not spec.no_sign_request]
    if not signed:
        raise NoPolicy("no mount signs its requests, so no policy of an identity counts")
    sys.stdout.write(f"{json.dumps(policy(signed, partition, restoring=restoring), indent=2, ensure_ascii=False)}\n")
    for spec in chosen:
        for note in notes(spec):
            sys.stderr.write(f"mountctl: mount {spec.name}: {note}\n")
    return 0
