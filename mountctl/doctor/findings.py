"""What doctor finds, and the list of all that it looks for: each with a reason and a way to mend it. Pure.

The list makes docs/guides/troubleshooting.md. An id is a promise: scripts go by it, so none is renamed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

Severity = Literal["ok", "info", "warning", "error"]
SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "info", "ok")
# 0: nothing but notes; 1: something is unwise or may fail; 2: something does not work.
EXIT_CODES: Final[dict[Severity, int]] = {"ok": 0, "info": 0, "warning": 1, "error": 2}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        id: of the check.
        severity: ok: it is as it should be; info: nobody needs to do anything.
        what: was found, as a sentence.
        why: it matters.
        fix: how to mend it; empty for what is as it should be.
        mount: whose; None: not one mount's.
    """

    id: str
    severity: Severity
    what: str
    why: str
    fix: str
    mount: str | None = None


@dataclass(frozen=True)
class Check:
    """Something that doctor looks at.

    Args:
        id: for programs.
        severity: of a finding when it is not as it should be.
        why: it matters.
        fix: how to mend it.
    """

    id: str
    severity: Severity
    why: str
    fix: str

    def found(self, what: str, mount: str | None = None) -> Finding:
        """It is not as it should be."""
        return Finding(self.id, self.severity, what, self.why, self.fix, mount)

    def ok(self, what: str, mount: str | None = None) -> Finding:
        """It is."""
        return Finding(self.id, "ok", what, self.why, "", mount)


CHECKS: Final[dict[str, Check]] = {}


def check(id: str, severity: Severity, why: str, fix: str) -> Check:  # noqa: A002
    """A check, put on the list. Ids are unique."""
    assert id not in CHECKS, id
    CHECKS[id] = Check(id, severity, why, fix)
    return CHECKS[id]


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """Worst first; what is equally bad in the order in which it was found."""
    return sorted(findings, key=lambda each: SEVERITIES.index(each.severity))


def exit_code(findings: Iterable[Finding]) -> int:
    """Of the worst."""
    return max((EXIT_CODES[each.severity] for each in findings), default=0)
