"""Completion: commands, options and names of mounts, in the shells that are known."""

import json
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.unit.controlled import Supervisor, serving
from tests.unit.test_cli import assert_one_sentence, mountctl


def completed(words: str, **environment: str) -> list[str]:
    """What bash would offer for the last of these words."""
    done = mountctl(
        _MOUNTCTL_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(words.count(" ")), **environment
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_names_are_completed_by_the_supervisor_and_those_given_already_are_left_out(tmp_path: Path) -> None:
    async def body(runtime_dir: Path, _supervisor: Supervisor) -> None:
        place = {"MOUNTCTL_RUNTIME_DIR": str(runtime_dir)}
        assert await trio.to_thread.run_sync(partial(completed, "mountctl status o", **place)) == ["one"]
        assert await trio.to_thread.run_sync(partial(completed, "mountctl logs x", **place)) == []
        assert await trio.to_thread.run_sync(partial(completed, "mountctl wait one o", **place)) == []

    serving(tmp_path, body)


def test_without_a_supervisor_names_are_the_files_and_a_broken_one_has_none(tmp_path: Path) -> None:
    config = tmp_path / "m.toml"
    (tmp_path / "m.d").mkdir()
    places = {"MOUNTCTL_RUNTIME_DIR": str(tmp_path), "MOUNTCTL_CONFIG": str(config)}
    assert completed("mountctl status ", **places) == []
    config.write_text('[mount.alpha]\n[mount."be.ta"]\n')
    (tmp_path / "m.d" / "x.toml").write_text("[mount.gamma]\n")
    (tmp_path / "m.d" / "y.toml").write_text("[[[")
    assert completed("mountctl status ", **places) == ["alpha", "be.ta", "gamma"]
    config.write_text("nonsense")
    assert completed("mountctl status ", **places) == ["gamma"]


def test_commands_are_completed() -> None:
    assert completed("mountctl re") == ["reload", "restart", "restore"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shells_script_asks_the_program(shell: str) -> None:
    assert "_MOUNTCTL_COMPLETE" in mountctl("completion", shell).stdout
    assert json.loads(mountctl("completion", shell, "--json").stdout)["shell"] == shell


def test_a_shell_that_is_not_known_is_wrong_usage() -> None:
    assert_one_sentence(mountctl("completion", "tcsh"), exit_code=2, about="'tcsh' is no shell")


def test_the_mounts_are_shown_by_the_program(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_text('[mount.a]\nbucket = "bbb"\nmountpoint = "/mnt/a"\n')
    done = mountctl("config", "show", "a", "--config", path)
    assert (done.returncode, done.stdout, done.stderr) == (0, path.read_text() + "\n", "")
    assert_one_sentence(mountctl("config", "show", "b", "--config", path), exit_code=1, about="no mount b in ")
