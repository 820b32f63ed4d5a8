"""The status as a page for a browser: HTML without scripts, which asks anew by itself. Pure.

Shown by control/pages.py. Everything that comes from outside is escaped, whatever a bucket or an error is called.
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from mountctl.status_table import size

CONTENT_TYPE: Final = "text/html; charset=utf-8"
# Nothing is loaded and nothing runs, even if something were not escaped.
POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Soon enough for a person who watches.
REFRESH_SECONDS: Final = 10

_Part = Mapping[str, Any]

_COLUMNS: Final = (
    "mount",
    "state",
    "source",
    "mountpoint",
    "read",
    "written",
    "open",
    "uploads",
    "keys until",
    "cost today",
)
_STYLE: Final = """\
:root{color-scheme:light dark;font:15px/1.45 system-ui,sans-serif}
body{margin:1.5rem}
h1{font-size:1.2rem}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.3rem .7rem;border-bottom:1px solid #8884;vertical-align:top}
td.number,th.number{text-align:right;font-variant-numeric:tabular-nums}
.ready{color:#1a7f37}.degraded,.recovering,.draining,.starting,.held{color:#9a6700}.failed,.backoff,.stopped{color:#cf222e}
.reason{opacity:.8}
"""
_NUMBERS: Final = frozenset({"read", "written", "open", "uploads", "cost today"})


def render(status: _Part) -> str:
    """The page of an answer of /v1/status (mountctl/status.py)."""
    mounts: Sequence[_Part] = status["mounts"]
    supervisor: _Part = status["supervisor"]
    health = escape(status["health"])
    return "".join(
        [
            "<!DOCTYPE html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n",
            f'<meta http-equiv=refresh content="{REFRESH_SECONDS}">\n',
            '<meta name=viewport content="width=device-width, initial-scale=1">\n',
            f"<title>{health}: {len(mounts)} mounts</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n",
            f"<h1>mountctl: <span class={health}>{health}</span></h1>\n",
            *_paragraphs(supervisor),
            *(_table(mounts) if mounts else ["<p>No mounts.</p>\n"]),
            "</body>\n</html>\n",
        ]
    )


def _paragraphs(supervisor: _Part) -> Iterator[str]:
    config: _Part = supervisor["config"]
    yield (
        f"<p>Version {escape(supervisor['version'])}, process {int(supervisor['pid'])}, "
        f"configuration {escape(config['path'])} ({int(supervisor['generation'])} carried out).</p>\n"
    )
    reload: _Part = config["last_reload"]
    if not reload["ok"]:
        told = "".join(f"<li>{escape(error)}</li>" for error in reload["errors"])
        yield f"<p class=failed>The last reload was refused at {escape(reload['at'])}:</p>\n<ul>{told}</ul>\n"


def _table(mounts: Sequence[_Part]) -> Iterator[str]:
    heads = "".join(f"<th{_class(column)}>{column}</th>" for column in _COLUMNS)
    yield f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n"
    for mount in mounts:
        yield f"<tr>{''.join(_cells(mount))}</tr>\n"
    yield "</tbody>\n</table>\n"


def _cells(mount: _Part) -> Iterator[str]:
    stats: _Part = mount.get("stats") or {}
    cost: _Part = mount.get("cost") or {}
    credentials: _Part = mount.get("credentials") or {}
    state = escape(mount["state"])
    reason = f"<br><span class=reason>{escape(mount['reason'])}</span>" if mount.get("reason") else ""
    texts = {
        "mount": escape(mount["name"]),
        "state": f"<span class={state}>{state}</span>{reason}",
        "source": escape(mount["source"]),
        "mountpoint": escape(mount["mountpoint"]),
        "read": size(stats.get("bytes_read", 0)),
        "written": size(stats.get("bytes_written", 0)),
        "open": str(int(stats.get("open_files", 0))),
        "uploads": str(int(stats.get("uploads", 0))),
        "keys until": escape(credentials.get("expires") or ""),
        "cost today": f"{cost['today']:.4f} {escape(cost['currency'])}" if cost else "",
    }
    for column in _COLUMNS:
        yield f"<td{_class(column)}>{texts[column]}</td>"


def _class(column: str) -> str:
    return " class=number" if column in _NUMBERS else ""
