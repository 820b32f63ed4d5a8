"""What is legal in a configuration and unwise: warnings for `mountctl check`. Nothing is refused for one.

Called by commands/check.py for a file whose settings are known, right or wrong. Pure: what lies at mountpoints is told
to it. There is no warning of `allow-other` without `user_allow_other` in /etc/fuse.conf: that file binds fusermount3
when it mounts for a user, and these mounts are made by root, by system calls.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from engine.spec import MountSpec
from mountctl.config.address import Address
from mountctl.config.classes import LIMITS
from mountctl.config.findings import Findings, TooMany
from mountctl.config.layers import effective, used
from mountctl.config.load import Examined
from mountctl.config.secrets import ACCESS_KEY_ID, KEY_WITH_NAME, PRIVATE_KEY, WEB_TOKEN
from mountctl.config.tables import MOUNT, SUPERVISOR, TEMPLATE, USE, Setting
from mountctl.config.words import HIDDEN, dotted
from mountctl.errors import Problem

# In the text as it stands, for a comment can be read as well as a value.
_SECRETS: Final = (
    ("an access key", re.compile(ACCESS_KEY_ID)),
    ("a private key", re.compile(PRIVATE_KEY)),
    ("a token", re.compile(WEB_TOKEN)),
    ("a secret key", re.compile(KEY_WITH_NAME, re.IGNORECASE)),
)
_NOT_FOR_SECRETS: Final = (
    "backups, repositories and people may read this file: put keys into root's ~/.aws/credentials, name their profile "
    "here, and have this one replaced"
)

# A key's bound at S3, in bytes: no key is below a longer prefix. Bounds what a hostile prefix of slashes costs.
_PREFIX_CHARACTERS_MAX: Final = 1024
# One may be the mount that asks; another is the one to tell.
_NAMES_KEPT: Final = 2

_Bucket = tuple[str, str]


def advice(
    examined: Examined,
    occupied: Callable[[str], str | None] = lambda _: None,
    unmet: Callable[[MountSpec], str | None] = lambda _: None,
) -> list[Problem]:
    """Every warning, by file and line.

    Args:
        examined: the configuration.
        occupied: what lies at a mountpoint and would be hidden, as a sentence; None: nothing, or nobody knows.
        unmet: which limits of a mount this host can't meet, and why, as a sentence that begins with the option; None:
            it can, or there are none.
    """
    warnings = Warnings(examined)
    try:
        warnings.secrets()
        warnings.unused_templates()
        warnings.mountpoints(occupied)
        warnings.nobody_gets_in()
        warnings.limits(unmet)
        warnings.metrics_for_all()
        warnings.sharedprefixes()
    except TooMany:
        pass  # what was found is told, and that there is more
    return warnings.found()


class Warnings:
    """What was found so far in one configuration."""

    def __init__(self, examined: Examined) -> None:
        self._examined = examined
        self._tables = examined.tables
        self._mounts = examined.config.mounts
        self._findings = Findings(are_warnings=True)

    def found(self) -> list[Problem]:
        """All of it, by file and line."""
        return self._findings.problems(self._examined.config.files)

    def secrets(self) -> None:
        """Keys and tokens written down in a file, in values and in comments."""
        for document in self._examined.documents:
            text = document.source.decode()
            for what, pattern in _SECRETS:
                for match in pattern.finditer(text):
                    line = text.count("\n", 0, match.start()) + 1
                    column = match.start() - text.rfind("\n", 0, match.start())
                    self._findings.at_file(document.path, f"{what} is written here: {_NOT_FOR_SECRETS}", line, column)
        # The others have a shape that only a whole value shows.
        for setting in self._all_settings():
            if (
                setting.secret
                and setting.written is None
                and not any(pattern.search(str(setting.value)) for _, pattern in _SECRETS)
            ):
                self._findings.at_key(setting.document, setting.path, f"looks secret: {_NOT_FOR_SECRETS}")

    def unused_templates(self) -> None:
        """A template that no mount names changes nothing, which its author will wonder about."""
        if self._tables.csi:
            return  # volumes may name it, which are in no file
        names = {name for mount in self._tables.mounts.values() for name in used(mount)}
        for name, template in self._tables.templates.items():
            if name not in names:
                reason = f'no mount has it: write use = "{name}" in one, or remove it'
                self._findings.at_key(template.document, (TEMPLATE, name), reason)

    def mountpoints(self, occupied: Callable[[str], str | None]) -> None:
        """Files below a mountpoint are hidden by the mount, and seem lost."""
        for name, spec in self._mounts.items():
            if (told := occupied(spec.mountpoint)) is not None:
                self._at(name, "mountpoint", told)

    def nobody_gets_in(self) -> None:
        """Owners mean nothing to a mount that only root may enter."""
        for name, spec in self._mounts.items():
            if spec.uid is not None and not spec.allow_other:
                reason = "this user can't get in: mounts are root's, so nobody else may enter one without allow-other"
                self._at(name, "uid", reason)

    def limits(self, unmet: Callable[[MountSpec], str | None]) -> None:
        """A mount is served without them."""
        for name, spec in self._mounts.items():
            if (told := unmet(spec)) is not None:
                key = next(key for key in LIMITS if told.startswith(key))
                self._at(name, key, f"this host can't see to it, and the mount is served without limits: {told}")

    def metrics_for_all(self) -> None:
        """What is told there needs no password."""
        listen = self._examined.config.supervisor.metrics_listen
        setting = self._tables.supervisor.get("metrics-listen")
        if listen is None or setting is None or Address.parse(listen).is_loopback:
            return
        reason = (
            "whoever reaches this address over the network may read metrics and status, names of buckets included: "
            "have a firewall in front, or write 127.0.0.1"
        )
        self._findings.at_key(setting.document, (SUPERVISOR, "metrics-listen"), reason)

    def sharedprefixes(self) -> None:
        """Mounts of the same keys: two that write, and one that believes what it knows while another writes."""
        order = {name: index for index, name in enumerate(self._mounts)}
        writers = _Writers(self._mounts.values())
        for name, spec in self._mounts.items():
            others = writers.beside(spec)
            earlier = next((other for other in others if order[other] < order[name]), None)
            if earlier is not None and not spec.read_only:
                self._at(
                    name,
                    "prefix",
                    f"{_dotted(earlier)} writes to keys of this one too ({self._shown(earlier)}): of two that write "
                    "one file, the last to close it wins; make one read-only, or give each its own prefix",
                )
            if others and spec.metadata_ttl not in ("minimal", 0):
                seen = "never" if spec.metadata_ttl == "indefinite" else f"after up to {spec.metadata_ttl} s"
                self._at(
                    name,
                    "metadata-ttl",
                    f"{_dotted(others[0])} writes to keys of this one ({self._shown(others[0])}), and its changes are "
                    f'seen here {seen}: write "minimal" if that is too late',
                )

    def _at(self, name: str, key: str, reason: str) -> None:
        """At the key that counts for a mount, if that is the mount's own; else at what brings it along."""
        mount = self._tables.mounts[name]
        if key in mount.settings:
            self._findings.at_key(mount.settings[key].document, (MOUNT, name, key), reason)
            return
        setting = effective(self._tables, mount).get(key)
        brought = setting is not None and setting.path[0] == TEMPLATE
        path = (MOUNT, name, USE) if brought else (MOUNT, name)
        document = mount.settings[USE].document if brought else mount.document
        self._findings.at_key(document, path, f"{key}: {reason}")

    def _shown(self, name: str) -> str:
        """A mount's source, if it may be shown."""
        table = effective(self._tables, self._tables.mounts[name])
        secret = any(table[key].secret for key in ("bucket", "prefix") if key in table)
        return HIDDEN if secret else self._mounts[name].source

    def _all_settings(self) -> Iterator[Setting]:
        yield from self._tables.supervisor.values()
        yield from self._tables.csi.values()
        yield from self._tables.defaults.values()
        for named in (*self._tables.templates.values(), *self._tables.mounts.values()):
            yield from named.settings.values()


class _Writers:
    """Which mounts write to which prefixes, asked in a time that does not grow with their number."""

    def __init__(self, specs: Iterable[MountSpec]) -> None:
        self._at: dict[tuple[_Bucket, str], list[str]] = {}
        self._below: dict[tuple[_Bucket, str], list[str]] = {}
        for spec in specs:
            if not spec.read_only:
                *above, own = prefixes(spec.prefix)
                self._add(self._at, spec, own)
                for prefix in above:
                    self._add(self._below, spec, prefix)

    def beside(self, spec: MountSpec) -> list[str]:
        """Other mounts that write to keys of this one: of each prefix above, of its own, and of those below."""
        bucket = _bucket(spec)
        names = [name for prefix in prefixes(spec.prefix) for name in self._at.get((bucket, prefix), ())]
        return [name for name in (*names, *self._below.get((bucket, spec.prefix), ())) if name != spec.name]

    def _add(self, to: dict[tuple[_Bucket, str], list[str]], spec: MountSpec, prefix: str) -> None:
        names = to.setdefault((_bucket(spec), prefix), [])
        if len(names) < _NAMES_KEPT:
            names.append(spec.name)


def _bucket(spec: MountSpec) -> _Bucket:
    """The same for mounts of one bucket. (Aliases of it are not seen through.)"""
    return spec.endpoint_url or "", spec.bucket


def prefixes(prefix: str) -> list[str]:
    """All prefixes above, from the bucket's root on, and this one."""
    if len(prefix) > _PREFIX_CHARACTERS_MAX:
        return ["", prefix]
    return ["", *(prefix[: index + 1] for index, character in enumerate(prefix) if character == "/")]


def _dotted(name: str) -> str:
    return dotted((MOUNT, name))
