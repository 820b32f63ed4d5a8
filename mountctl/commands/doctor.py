"""`mountctl doctor [NAME...]`: what is wrong or unwise, worst first, each with a reason and a way to mend it.

Called by doctor_commands.py. Changes nothing, needs no supervisor and ends in bounded time.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import engine
from mountctl.config.words import did_you_mean
from mountctl.doctor import bundle as bundling
from mountctl.doctor.findings import SEVERITIES, Finding, exit_code, ordered
from mountctl.doctor.judging import judge
from mountctl.doctor.probing import Facts, gather
from mountctl.errors import UnknownMount
from mountctl.status_table import printable

# Of the JSON's form. Keys are added freely; one that is renamed or removed makes it another.
SCHEMA: Final = 1
_NOUNS: Final = {"error": "error", "warning": "warning", "info": "note", "ok": "check"}


def doctor(
    config: Path, runtime: Path, state: Path, names: Sequence[str], *, as_json: bool, bundle: Path | None = None
) -> int:
    """Print what is found. Returns 0, 1 for warnings, 2 for errors. Raises UnknownMount, BundleFailed.

    Args:
        config: the file.
        runtime: the supervisor's runtime directory.
        state: its state directory.
        names: the mounts to look at; none: all.
        as_json: print one JSON object instead of text.
        bundle: where to write all that a bug report needs, without secrets.
    """
    if bundle is not None:
        bundling.refuse_existing(bundle)
    facts, findings = examine(config, runtime, state, names)
    if bundle is not None:
        bundling.write(bundle, facts, told(findings), config, runtime)
        sys.stderr.write(
            f"mountctl: wrote {bundle}; look through it before you send it (README.txt says what is in it)\n"
        )
    if as_json:
        sys.stdout.write(f"{json.dumps(told(findings), indent=2, ensure_ascii=False)}\n")
    else:
        sys.stdout.write("\n".join(lines(findings)) + "\n")
    return exit_code(findings)


def examine(config: Path, runtime: Path, state: Path, names: Sequence[str]) -> tuple[Facts, list[Finding]]:
    """Facts and findings, worst first. Raises UnknownMount."""
    facts = gather(config, runtime, state, names)
    known = {*facts.declared, *(mount["name"] for mount in facts.status.get("mounts", ()))}
    for name in names:
        if name not in known and not facts.problems and not facts.missed:
            raise UnknownMount(f"no mount {name} in {config}{did_you_mean(name, tuple(known))}")
    return facts, ordered(judge(facts, config, names, engine.__version__, datetime.now(UTC)))


def told(findings: Sequence[Finding]) -> dict[str, object]:
    """The JSON."""
    return {
        "schema": SCHEMA,
        "ok": exit_code(findings) == 0,
        "summary": {severity: sum(each.severity == severity for each in findings) for severity in SEVERITIES},
        "findings": [asdict(each) for each in findings],
    }


def lines(findings: Sequence[Finding]) -> Iterator[str]:
    """For a person: a summary, what is not as it should be, and in one line each what is."""
    count = Counter(each.severity for each in findings)
    yield ", ".join(_counted(count[severity], _NOUNS[severity]) for severity in SEVERITIES) + " passed"
    for before, each in zip([None, *findings], findings, strict=False):
        about = f"mount {each.mount}: " if each.mount else ""
        if each.severity == "ok":
            if before is None or before.severity != "ok":
                yield ""
            yield printable(f"ok       {about}{each.what}")
            continue
        yield ""
        yield printable(f"{each.severity:<8} {about}{each.what}  [{each.id}]")
        yield f"         why: {each.why}"
        yield f"         fix: {_fix(each)}"


def _fix(finding: Finding) -> str:
    return finding.fix if finding.mount is None else re.sub(r"\bNAME\b", finding.mount, finding.fix)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
