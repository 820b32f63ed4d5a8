"""docs/guides/troubleshooting.md, made of the list of what `mountctl doctor` looks for. Called by generate.py."""

from collections.abc import Iterator
from types import ModuleType
from typing import Final

from mountctl.doctor import host, judging, mounts, network, running, service
from mountctl.doctor.bundle import README
from mountctl.doctor.findings import CHECKS, Check

_GROUPS: Final[tuple[tuple[str, tuple[ModuleType, ...]], ...]] = (
    ("Mounts and the supervisor", (running,)),
    ("What S3 lets a mount do, and the configuration", (mounts,)),
    ("The way to S3", (network,)),
    ("The supervisor's process, its unit and its limits", (service,)),
    ("The host", (host, judging)),
)

_INTRODUCTION: Final = """\
# When something is wrong

{generated}

`mountctl doctor` looks at the host, the configuration, each mount and what runs, and tells what is wrong or unwise,
worst first, each with a reason and a way to mend it:

```
1 error, 0 warnings, 0 notes, 21 checks passed

error    mount photos: S3 at http://nas:9000 gave no answer within 5 s  [bucket]
         why: a mount is of a bucket that is there
         fix: correct bucket, region or endpoint-url, or make the bucket
```

* `mountctl doctor NAME...` looks at these mounts only. Run it as root: it then looks with the environment of the
  supervisor that runs (proxies, credentials), else with that of your shell.
* It needs no supervisor and changes nothing: what it asks S3 is what `mountctl check --online` asks
  ([file.md](../reference/file.md)), and the date. It ends whatever hangs: what could is asked by processes of their own
  with a time limit.
* Exit code 0: nothing but notes; 1: warnings; 2: errors. `--json` has all findings: `{{"schema": 1, "ok", "summary":
  {{"error", "warning", "info", "ok"}}, "findings": [{{"id", "severity", "what", "why", "fix", "mount"}}]}}`. Ids are
  those below, and stay.
* `mountctl iam-policy [NAME...]` prints the least IAM policy for the mounts as configured; with `--restore` also
  what `mountctl restore` needs.

## A bug report

`mountctl doctor --bundle PATH` also writes a tar.gz, readable by its owner only. Its README.txt:

```
{readme}```
"""


def page(generated: str) -> str:
    """The page. `generated`: the line that says that it is made."""
    return "\n".join([_INTRODUCTION.format(generated=generated, readme=README), *_all(), ""])


def _all() -> Iterator[str]:
    told = set()
    for title, modules in _GROUPS:
        yield f"## {title}\n"
        yield "| id | severity | why it matters | how to mend it |"
        yield "|---|---|---|---|"
        for each in (value for module in modules for value in vars(module).values() if isinstance(value, Check)):
            told.add(each.id)
            yield f"| `{each.id}` | {each.severity} | {each.why} | {each.fix} |"
        yield ""
    assert told == set(CHECKS), set(CHECKS) - told
