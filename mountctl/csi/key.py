"""The name of a volume's mount: equal for all pods of a node that may share it, another for anything else. Pure."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

# Of the volume's id, for people. With the rest it stays below the 63 characters of a mount's name (engine.spec).
READABLE_CHARS_MAX: Final = 40
# 60 bits: a node has hundreds of volumes, so that two of one name are not to be expected in its lifetime.
KEY_CHARS: Final = 12


def mount_name(
    driver: str,
    volume_id: str,
    options: Mapping[str, Any],
    templates: Sequence[str],
    credentials: Sequence[str],
    fs_group: str,
    *,
    inline: bool = False,
) -> str:
    """A readable part and a key. Whether a pod only reads is not in it: that is a matter of its own target.

    Args:
        driver: the CSI driver's name.
        volume_id: CSI's.
        options: of the mount, `bucket` and `prefix` among them, in a form that is equal for equal ones.
        templates: of the configuration, in their order.
        credentials: all that decides which keys are used.
        fs_group: the group of the files.
        inline: a pod asks for it by itself.
    """
    parts = [driver, volume_id, options, [*templates], [*credentials], fs_group, inline]
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode(errors="surrogateescape")).digest()
    key = base64.b32encode(digest).decode().lower()[:KEY_CHARS]
    return f"{readable(volume_id)}-{key}"


def readable(volume_id: str) -> str:
    """What of a volume's id may stand in a mount's name."""
    plain = re.sub(r"[^0-9a-zA-Z\-._]+", "-", volume_id).lstrip("-._")[:READABLE_CHARS_MAX]
    return plain.rstrip("-._") or "volume"
