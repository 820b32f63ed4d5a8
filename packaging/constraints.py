"""Writes packaging/constraints.txt anew: the versions that `make packages` puts into packages. `make constraints`.

They are those that are installed beside this project, so run the suite with them first. What builds libraries that come
as source stays as it is: change it by hand.
"""

import sys
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FILE: Final = Path(__file__).with_suffix(".txt")
PROJECT: Final = "mountctl-s3"
HEAD: Final = "# What packages bring of PyPI, written by `make constraints`: the versions that the suite ran with."
EXTRAS: Final = "otlp"
BUILDERS: Final = "# What builds it, where it comes as source. Kept by hand."


def needed() -> dict[str, str]:
    """What is installed for the project and the extra that packages have (EXTRAS of package.py): versions by name."""
    found: dict[str, str] = {}
    left = [PROJECT]
    while left:
        installed = distribution(left.pop())
        extra = EXTRAS if installed.name == PROJECT else ""
        for requirement in map(Requirement, installed.requires or ()):
            name = canonicalize_name(requirement.name)
            if name not in found and (requirement.marker is None or requirement.marker.evaluate({"extra": extra})):
                found[name] = distribution(name).version
                left.append(name)
    return found


def main() -> int:
    """Write the file. Returns the exit code."""
    _, _, builders = FILE.read_text().partition(BUILDERS)
    lines = [HEAD, *(f"{name}=={version}" for name, version in sorted(needed().items())), "", BUILDERS]
    FILE.write_text("\n".join(lines) + builders)
    return 0


if __name__ == "__main__":
    sys.exit(main())
