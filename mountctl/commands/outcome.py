"""What commands print that change mounts: what became of each, for a person or as JSON. Called by those commands."""

import json
import sys

from mountctl.control.protocol import ReloadResult, RestartResult
from mountctl.status_table import printable


def show(result: ReloadResult | RestartResult, *, as_json: bool) -> int:
    """Print what became of each mount. Returns 0, or 1 when something was refused or a mount is not as it should be."""
    if as_json:
        sys.stdout.write(f"{json.dumps(result.model_dump(), indent=2, ensure_ascii=False)}\n")
    else:
        for name, done in result.mounts.items():
            sys.stdout.write(f"{printable(f'{name}: {done}')}\n")
    refused = isinstance(result, ReloadResult) and not result.ok
    return 1 if refused or result.troubled else 0
