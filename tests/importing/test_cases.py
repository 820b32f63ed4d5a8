"""The corpus: lines and units as people have them, each with the configuration that is made of it beside it.

`NAME.fstab`, `.service`, `.mount` or `.txt` (command lines) has `FILE.toml`. Those whose name begins with `no-equal-`
have options without an equal; of all others nobody has to edit anything. After a change of words: run the tests with
MOUNTCTL_ACCEPT=1, and read the difference.
"""

import os
import re
from pathlib import Path

import pytest

from mountctl.config.load import load
from mountctl.importing import writing
from mountctl.importing.collect import Imported, collect
from mountctl.importing.host import Host
from mountctl.importing.keys import passwd
from tests.importing.conftest import FILES

CASES = Path(__file__).parent / "cases"
NAMES = sorted(path.name for path in CASES.iterdir() if path.suffix != ".toml")
# They say where keys are, and are read for that alone.
SECRETS = ("secret", "hunter2", "c2VjcmV0", "AKID")
CREDENTIALS = Path("/etc/mountctl/credentials")


def imported(name: str, host: Host, tmp_path: Path) -> Imported:
    files = tmp_path / "files"
    files.mkdir(exist_ok=True)
    for file in FILES.iterdir():
        (files / file.name).write_bytes(file.read_bytes())
    source = tmp_path / name
    source.write_text((CASES / name).read_text().replace("@FILES@", str(files)))
    return collect([str(source)], [], host, CREDENTIALS)


def unwrapped(text: str, tmp_path: Path) -> str:
    """The paths of a run are of any length: comments are compared as one line each."""
    lines: list[str] = []
    for line in text.split("\n"):
        starts = re.match(
            r"# (From|Nothing needed|NO EQUAL|TO DO|note|NOT IMPORTED|Made by|Comments that|Files are)", line
        )
        if line.startswith("# ") and not starts and lines and lines[-1].startswith("# "):
            lines[-1] += line.removeprefix("#")
        else:
            lines.append(line)
    return "\n".join(lines).replace(f"{tmp_path}/files", "@FILES@").replace(f"{tmp_path}/", "")


@pytest.mark.parametrize("name", NAMES)
def test_a_case_becomes_what_stands_beside_it_and_that_is_right(name: str, host: Host, tmp_path: Path) -> None:
    made = imported(name, host, tmp_path)
    text = unwrapped(writing.document(made), tmp_path)
    expected = CASES / f"{name}.toml"
    if "MOUNTCTL_ACCEPT" in os.environ:
        expected.write_text(text)
    file = tmp_path / "mountpoint-s3.toml"
    file.write_text(writing.document(made))

    assert text == expected.read_text()
    assert list(load(file).mounts) == list(made.drafts)
    for secret in SECRETS:
        assert secret not in text.replace("the remote secret", "")
    asks = [note for draft in made.drafts.values() for note in draft.notes if note.kind.asks]
    if name.startswith("no-equal-"):
        assert asks or made.unusable
    else:
        assert made.drafts
        assert (asks, made.unusable) == ([], ())


def test_there_are_thirty_cases_that_need_no_edit() -> None:
    assert len([name for name in NAMES if not name.startswith("no-equal-")]) >= 30


def test_the_same_input_gives_the_same_text(host: Host, tmp_path: Path) -> None:
    texts = {writing.document(imported("shared-defaults.fstab", host, tmp_path)) for _ in range(3)}

    assert len(texts) == 1


def test_a_buckets_own_line_of_a_file_of_keys_wins() -> None:
    text = (FILES / "passwd-s3fs").read_text()
    own, common = passwd(text, "videos"), passwd(text, "images")

    assert own is not None
    assert common is not None
    assert (own.access, common.access) == ("AKIDVIDEOS", "AKIDCOMMON")
