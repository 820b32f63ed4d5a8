"""Whether each Python file is short enough to be read as a whole: `make check`.

Exit code 1 with the names of those that are not.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

LINES_MAX: Final = 400
# Made by packaging/protocols.py, and read by nobody.
MADE: Final = ("_pb2.py", "_pb2_grpc.py")
# Longer than that since before this was checked: to be split by whoever works on them. Nothing is to be added here.
LONGER: Final = frozenset(
    {
        "tests/conformance/test_faulty_s3.py",
        "tests/fuse/test_writing.py",
        "tests/model/kernel.py",
        "tests/model/machine.py",
        "tests/model/promises.py",
        "tests/service/tool_tables.py",
        "tests/unit/test_filesystem.py",
        "tests/unit/test_s3_client.py",
        "tests/unit/test_s3_writes.py",
        "tests/unit/test_write_filesystem.py",
        "tests/unit/test_write_takeover.py",
        "tests/unit/test_write_upload.py",
    }
)


def main(root: Path) -> int:
    """Look at the files that git has, or would add. Returns the exit code."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", "*.py"]
    names = set(subprocess.run(listed, cwd=root, check=True, capture_output=True, text=True).stdout.split("\0"))
    lines = {name: (root / name).read_bytes().count(b"\n") for name in names if name and (root / name).is_file()}
    told = [
        f"{name} has {count} lines; at most {LINES_MAX}: split it into modules with names that tell what each is"
        for name, count in sorted(lines.items())
        if count > LINES_MAX and name not in LONGER and not name.endswith(MADE)
    ]
    told += [
        f"{name} is not longer than {LINES_MAX} lines any more: take it out of {Path(__file__).name}"
        for name in sorted(LONGER)
        if lines.get(name, 0) <= LINES_MAX
    ]
    for sentence in told:
        print(sentence, file=sys.stderr)
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main(Path(__file__).parents[1]))
