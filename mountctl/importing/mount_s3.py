"""The options of mount-s3, which are ours by another spelling. Read by translate.py.

A new option of MountSpec is known here at once; what is deliberately none is in config/model.py with the reason.
"""

import re
from typing import Any, Final

from engine.spec import MountSpec
from mountctl.config.model import UNSUPPORTED_MOUNT_OPTIONS
from mountctl.config.words import fields, takes_number, takes_truth
from mountctl.importing.draft import Draft, Refused, Rule, Rules, apply_all, none, switch, unneeded, value_of
from mountctl.importing.found import Given
from mountctl.importing.keys import of_environment
from mountctl.importing.mount_words import with_words
from mountctl.importing.refusals import DISK_CACHE

_SCHEME: Final = "s3://"
_FIELDS: Final = {
    key: info for key, info in fields(MountSpec).items() if key not in ("name", "bucket", "mountpoint", "environment")
}
_TO_DO: Final = {
    "cache": DISK_CACHE,
    "cache-xz": "a cache in S3 Express is not supported. Nothing to do, but where many hosts read the same.",
    "max-cache-size": "there is no cache on a disk. Nothing to do.",
    "cache-block-size": "there is no cache on a disk. Nothing to do.",
    "incremental-upload": "S3 appends in directory buckets only, which are not supported. Write new files.",
    "otlp-endpoint": "mounts push nothing. One unit does, for all: `systemctl enable --now mountctl-otlp`.",
    "otlp-export-interval": "mounts push nothing. One unit does, for all: MOUNTCTL_OTLP_SECONDS in its environment.",
}


def _value(key: str) -> Rule:
    def apply(draft: Draft, given: Given) -> None:
        text = value_of(given)
        if isinstance(_FIELDS[key].default, tuple):
            draft.keys[key] = [*draft.keys.get(key, ()), text]
        elif key in ("uid", "gid") and re.fullmatch(r"0+", text):
            draft.keys.pop(key, None)
        else:
            draft.keys[key] = _number(text) if takes_number(_FIELDS[key]) else text

    return Rule(apply)


def _number(text: str) -> Any:
    return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else text


def _directory_bucket(draft: Draft, given: Given) -> None:
    if given.value == "directory":
        raise Refused("directory buckets (S3 Express) are not supported yet: mount a general purpose bucket")
    draft.keys["bucket-type"] = value_of(given)


RULES: Final[Rules] = {
    **{key: switch(key) if takes_truth(info) else _value(key) for key, info in _FIELDS.items()},
    **{
        key: none(_TO_DO[key], takes=key != "incremental-upload")
        for key in UNSUPPORTED_MOUNT_OPTIONS
        if key != "foreground"
    },
    "bucket-type": Rule(_directory_bucket),
    "foreground": unneeded(takes=False),
    "f": unneeded(takes=False),
    "d": switch("debug"),
    "l": _value("log-directory"),
    "aws-max-attempts": Rule(lambda draft, given: draft.environment.__setitem__("AWS_MAX_ATTEMPTS", value_of(given))),
}


def translate(draft: Draft) -> None:
    """Fill the draft. Raises Refused."""
    source = draft.found.source
    if source.startswith(_SCHEME):
        bucket, _, prefix = source.removeprefix(_SCHEME).partition("/")
        if prefix:
            draft.keys["prefix"] = prefix if prefix.endswith("/") else f"{prefix}/"
    else:
        bucket = source
    draft.keys["bucket"] = bucket
    apply_all(draft, with_words(draft, RULES), "mount-s3")
    if not draft.keys.get("profile") and not draft.keys.get("no-sign-request"):
        draft.key_source = of_environment(draft.found.environment, f"the environment of {draft.found.origin}")
