"""The table of `mountctl status` for a person, made of the answer as it came (the contract is status.py's).

Called by commands/status.py. Of the standard library only: the models of the contract take longer to import than
everything else that `status` does. Pure: no I/O, no clock.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from mountctl.terminal import COLUMNS

_GAP: Final = "  "
_INDENT: Final = "    "
# Narrower than this a name, source or path says nothing any more.
_WIDTH_MIN: Final = 8
_CUT: Final = "..."

# SGR codes (ECMA-48) of the eight colours that every terminal has, by states and health. What is as it should be is
# green, what passes by itself yellow, what needs somebody red; the words say the same.
_COLOURS: Final = {
    "ready": "32",
    **dict.fromkeys(("starting", "degraded", "recovering", "draining"), "33"),
    **dict.fromkeys(("backoff", "failed"), "31"),
    **dict.fromkeys(("held", "stopped"), "36"),
}
_REFUSED: Final = "31"
_BOLD: Final = "1"

# A part of the answer.
_Part = Mapping[str, Any]


class Look(NamedTuple):
    """How a table is to look.

    Args:
        columns: it is at most so wide, if that can be.
        colour: with colours.
        detail: somebody looks at some mounts only, and wants to know more of each.
    """

    columns: int = COLUMNS
    colour: bool = False
    detail: bool = False

    def paint(self, text: str, code: str | None) -> str:
        """The text in this colour."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and code else text


_PLAIN: Final = Look()


def render(status: _Part, now: datetime, look: Look = _PLAIN) -> str:
    """The table that a person sees, without a newline at its end.

    Raises KeyError, TypeError, ValueError or AttributeError for what is not a status.
    """
    lines = [*_headline(status, look), ""] if status["mounts"] else _headline(status, look)
    rows = [_row(mount, now) for mount in status["mounts"]]
    table = _table(_HEADINGS, rows, look) if rows else []
    lines += [look.paint(line, _BOLD) for line in table[:1]]
    for mount, line in zip(status["mounts"], table[1:], strict=True):
        lines += [line, *(look.paint(each, _COLOURS.get(mount["state"])) for each in _remarks(mount, now, look))]
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """How long, in at most two units: 45s, 12m, 3h05m, 12d04h."""
    seconds = max(0.0, seconds)  # clocks are set back now and then
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86400)
    if days:
        return f"{days}d{hours % 24:02}h"
    if hours:
        return f"{hours}h{minutes % 60:02}m"
    return f"{minutes}m" if minutes else f"{int(seconds)}s"


def size(number: float) -> str:
    """Bytes for a person: 512 B, 1.4 GiB."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if number < 1023.95:  # 1024, as one decimal rounds it
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} PiB"


def _headline(status: _Part, look: Look) -> list[str]:
    supervisor = status["supervisor"]
    count = len(status["mounts"])
    mounts = f"{count} mount" if count == 1 else f"{count} mounts"
    process = f"supervisor {supervisor['pid']}, version {supervisor['version']}, generation {supervisor['generation']}"
    config = supervisor["config"]
    lines = _wrapped(f"{status['health']}: {mounts}; {process}", look)
    health, rest = lines[0].split(":", 1)
    lines[0] = f"{look.paint(health, _COLOURS.get(health))}:{rest}"
    lines += _wrapped(f"configuration: {printable(config['path'])}", look)
    if without := supervisor.get("fd_holder_reason"):
        lines += _wrapped(without, look)
    reload = config["last_reload"]
    if not reload["ok"]:
        at = datetime.fromisoformat(reload["at"])
        told = _wrapped(f"the last reload, at {at:%Y-%m-%d %H:%M:%S} UTC, was refused and changed nothing:", look)
        for error in reload["errors"]:
            told += _indented(error, look)
        lines += [look.paint(line, _REFUSED) for line in told]
    return lines


_HEADINGS: Final = ("NAME", "STATE", "SOURCE", "MOUNTPOINT", "SINCE", "ENGINE", "READ")
_STATE: Final = 1
# The columns that are cut when a line gets too long, and whether their end tells more than their beginning.
_KEEPS_END: Final = {0: False, 2: True, 3: True}


def _row(mount: _Part, now: datetime) -> tuple[str, ...]:
    return (
        printable(mount["name"]),
        printable(mount["state"]),
        printable(mount["source"]),
        printable(_place(mount)),
        duration((now - datetime.fromisoformat(mount["since"])).total_seconds()),
        str(mount["engine"]["pid"] or "-"),
        size(mount["stats"].get("bytes_read", 0)),
    )


def _place(mount: _Part) -> str:
    """Where programs see it: of a volume, in which pods, or at which targets."""
    if (volume := mount.get("volume")) is None:
        return str(mount["mountpoint"])
    users = list(dict.fromkeys(_user(each) for each in volume["consumers"]))
    return f"{users[0]}{f' +{len(users) - 1}' if len(users) > 1 else ''}" if users else "(nobody)"


def _user(consumer: _Part) -> str:
    pod = consumer.get("pod")
    return str(consumer["target"]) if pod is None else f"{pod['namespace']}/{pod['name']}"


def _remarks(mount: _Part, now: datetime, look: Look) -> list[str]:
    said = [mount["reason"]] if mount["reason"] else []
    for trouble in (mount["backend"]["error"], mount["backend"].get("refused")):
        if trouble and not any(trouble in each for each in said):
            said.append(f"S3: {trouble}")
    said += _about_credentials(mount, now)
    volume = mount.get("volume") or {}
    if waiting := volume.get("waiting_keys"):
        said.append(f"changes when nobody uses it any more: {', '.join(waiting)}")
    if trouble := volume.get("trouble"):
        said.append(f"goes on as it runs: {trouble}")
    if trouble := (mount.get("slice") or {}).get("trouble"):
        said.append(f"served without the limits that it asks for: {trouble}")
    if (last := mount.get("last_error")) and last not in said:
        said.append(f"last error: {last}")
    said += _about_restores(mount, now, look)
    return [line for remark in said for line in _indented(remark, look)]


def _about_credentials(mount: _Part, now: datetime) -> list[str]:
    """One line about keys that expire or could not be renewed; none about those of which there is nothing to say."""
    keys = mount.get("credentials", {})
    source, profile, error = keys.get("source"), keys.get("profile"), keys.get("error")
    parts = []
    if (expires := keys.get("expires")) is not None:
        left = (datetime.fromisoformat(expires) - now).total_seconds()
        parts.append(f"expire in {duration(left)}" if left > 0 else f"expired {duration(-left)} ago")
    if error and error != mount["reason"]:
        parts.append(f"can't be renewed: {error}" if source else error)
    if not parts:
        return []
    whose = " ".join(filter(None, [source or "none", profile and f"({profile})"]))
    return [f"credentials: {whose}; {'; '.join(parts)}"]


def _about_restores(mount: _Part, now: datetime, look: Look) -> list[str]:
    """How many objects S3 restores, and in detail which, and when they may be there."""
    known = mount.get("restores", {})
    if not (count := known.get("under_way")):
        return []
    requests = known.get("requests", []) if look.detail else []
    said = [f"{count} restoring" + _expected(", the next expected ", known.get("next_expected"), now)]
    for each in requests:
        below = " and below" if each["recursive"] else ""
        tier = f" ({each['tier']})" if each["tier"] else ""
        said.append(
            f"restoring{tier}: {each['path']}{below}: {each['objects']}"
            + _expected(", expected ", each["expected"], now)
        )
    if (told := sum(each["objects"] for each in requests)) and told < count:
        said.append(f"restoring: {count - told} elsewhere")
    return said


def _expected(words: str, when: str | None, now: datetime) -> str:
    if when is None:
        return ""
    left = (datetime.fromisoformat(when) - now).total_seconds()
    return f"{words}within {duration(left)}" if left > 0 else f"{words}by now"


def _indented(text: str, look: Look) -> list[str]:
    return _wrapped(printable(" ".join(text.split())), look, _INDENT)


def _wrapped(text: str, look: Look, indent: str = "") -> list[str]:
    if len(indent) + len(text) <= look.columns:
        return [indent + text]
    import textwrap  # and with it regular expressions: most of what is shown is short

    return textwrap.wrap(text, look.columns, initial_indent=indent, subsequent_indent=indent and indent + "  ")


def _table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]], look: Look) -> list[str]:
    widths = [max(len(row[column]) for row in (headings, *rows)) for column in range(len(headings))]
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - look.columns
    while excess > 0:
        widest = max(_KEEPS_END, key=lambda column: widths[column])
        if widths[widest] <= _WIDTH_MIN:
            break
        widths[widest] -= 1
        excess -= 1
    table = []
    for row in (headings, *rows):
        cells = [
            _cut(cell, widths[column], keep_end=_KEEPS_END.get(column, False)).ljust(widths[column])
            for column, cell in enumerate(row)
        ]
        cells[_STATE] = look.paint(cells[_STATE], _COLOURS.get(row[_STATE]))
        table.append(_GAP.join(cells).rstrip())
    return table


def _cut(text: str, width: int, *, keep_end: bool) -> str:
    if len(text) <= width:
        return text
    kept = width - len(_CUT)
    return _CUT + text[-kept:] if keep_end else text[:kept] + _CUT


def printable(text: str) -> str:
    """Without what could steer the terminal: a key, a path or a server's words may hold anything."""
    return "".join(character if character.isprintable() else "?" for character in text)
