"""docs/tutorial.md is true: its commands, run one after the other in one shell, print what it says they print.

They run in namespaces of their own, so that ports, /mnt, /run and processes are those of the page and nobody else's,
and whatever they started ends with the shell. The S3 server is the one of packaging/demo.py, moto.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

PAGE: Final = Path(__file__).parents[2] / "docs" / "tutorial.md"
# Where the page has its reader work; the test has a directory of its own.
READERS_DIRECTORY: Final = "/root/tutorial"
SECONDS_MAX: Final = 120.0

_ALONE: Final = ["unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child", "bash"]
_ROOM: Final = """\
ip link set lo up
for place in /mnt /run /var/lib; do mount -t tmpfs room $place; done
"""
_NEXT: Final = "=== command "


class Step(NamedTuple):
    """A command of the page, with the lines that a here-document of it has, and what it prints."""

    command: str
    printed: str


def steps(markdown: str) -> list[Step]:
    """What the blocks of kind `console` have: a command after `$ `, its output below it."""
    found: list[Step] = []
    for block in re.findall(r"^```console\n(.*?)^```$", markdown, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, printed = part.partition("\n")
            if "<<'END'" in command:
                document, _, printed = printed.partition("\nEND\n")
                command += f"\n{document}\nEND"
            found.append(Step(command, printed))
    return found


def plain(text: str) -> str:
    """Without what is different each time: numbers, times, and the widths of columns that follow from them."""
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text)
    text = re.sub(r"^\S+: line \d+: ", "bash: ", text, flags=re.MULTILINE)  # as a script's errors are told
    return re.sub(r"[ \t]+", " ", re.sub(r"\d+", "0", text)).strip()


def test_the_commands_of_the_tutorial_print_what_it_says(tmp_path: Path) -> None:
    page = steps(PAGE.read_text().replace(READERS_DIRECTORY, str(tmp_path)))
    assert len(page) > 30
    script = tmp_path / "tutorial.sh"
    script.write_text(_ROOM + "".join(f"echo '{_NEXT}{n}'\n{step.command}\n" for n, step in enumerate(page)))
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
    ran = subprocess.run(
        [*_ALONE, str(script)],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS_MAX,
    )
    log = tmp_path / "mountctl.log"
    told = ran.stdout + (log.read_text() if log.exists() else "")
    before, *printed = re.split(rf"^{_NEXT}\d+\n", ran.stdout, flags=re.MULTILINE)
    assert before == "", told
    for step, output in zip(page, printed, strict=True):
        assert plain(step.printed) == plain(output), f"$ {step.command}\n{told}"
