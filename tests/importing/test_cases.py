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


def told(name: str, host: Host, tmp_path: Path) -> str:
    """What is printed, without the paths of this run."""
    return unwrapped(writing.document(imported(name, host, tmp_path)), tmp_path)


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
def test_a_case_becomes_what_stands_beside_it(name: str, host: Host, tmp_path: Path) -> None:
    expected = CASES / f"{name}.toml"
    if "MOUNTCTL_ACCEPT" in os.environ:
        expected.write_text(told(name, host, tmp_path))

    assert told(name, host, tmp_path) == expected.read_text()


@pytest.mark.parametrize("name", NAMES)
def test_what_is_made_of_a_case_is_a_configuration_without_errors(name: str, host: Host, tmp_path: Path) -> None:
    made = imported(name, host, tmp_path)
    file = tmp_path / "mountpoint-s3.toml"
    file.write_text(writing.document(made))

    config = load(file)

    assert list(config.mounts) == list(made.drafts)


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("no-equal-")])
def test_where_each_option_has_an_equal_nobody_has_to_edit_anything(name: str, host: Host, tmp_path: Path) -> None:
    made = imported(name, host, tmp_path)

    assert made.drafts
    assert made.unusable == ()
    assert [note for draft in made.drafts.values() for note in draft.notes if note.kind.asks] == []


def test_there_are_thirty_cases_that_need_no_edit() -> None:
    assert len([name for name in NAMES if not name.startswith("no-equal-")]) >= 30


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("no-equal-")])
def test_where_one_has_none_it_is_said_what_to_do(name: str, host: Host, tmp_path: Path) -> None:
    made = imported(name, host, tmp_path)

    assert made.unusable or any(draft.asks for draft in made.drafts.values())


@pytest.mark.parametrize("name", NAMES)
def test_no_secret_is_in_what_is_printed(name: str, host: Host, tmp_path: Path) -> None:
    text = told(name, host, tmp_path).replace("the remote secret", "").replace("secret:docs", "")

    for secret in SECRETS:
        assert secret not in text


def test_the_same_input_gives_the_same_text(host: Host, tmp_path: Path) -> None:
    assert told("shared-defaults.fstab", host, tmp_path) == told("shared-defaults.fstab", host, tmp_path)


def test_a_buckets_own_line_of_a_file_of_keys_wins() -> None:
    text = (FILES / "passwd-s3fs").read_text()
    own, common = passwd(text, "videos"), passwd(text, "images")

    assert own is not None
    assert common is not None
    assert (own.access, common.access) == ("AKIDVIDEOS", "AKIDCOMMON")
