"""The driver's own keys, from a Secret that kubelet mounts and changes."""

import logging
import threading
from pathlib import Path

import pytest

from mountctl.csi.credentials import driver_secret
from mountctl.csi.credentials.driver_secret import DriverSecret
from mountctl.csi.credentials.files import CredentialFiles


class Mounted:
    """A Secret as kubelet has it in a pod: links to files in a directory that is exchanged as a whole."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.directory.mkdir()
        self._count = 0

    def set(self, **secret: str) -> None:
        self._count += 1
        data = self.directory / f"..{self._count}"
        data.mkdir()
        for name, value in secret.items():
            (data / name).write_text(value)
            link = self.directory / name
            if not link.is_symlink():
                link.symlink_to(Path("..data") / name)
        new = self.directory / "..data_tmp"
        new.symlink_to(data.name)
        new.rename(self.directory / "..data")


@pytest.fixture
def secret(tmp_path: Path) -> Mounted:
    return Mounted(tmp_path / "secret")


@pytest.fixture
def driver(secret: Mounted, tmp_path: Path) -> DriverSecret:
    return DriverSecret(secret.directory, CredentialFiles(tmp_path / "run"))


def test_a_mounted_secret_is_rendered_and_again_when_it_changes_only(secret: Mounted, driver: DriverSecret) -> None:
    secret.set(key_id="AKIDONE", access_key="very-secret")
    assert driver.render()
    assert not driver.render()

    secret.set(key_id="AKIDTWO", access_key="other-secret", session_token="token")
    assert driver.render()
    assert driver.path.read_text() == (
        "[default]\naws_access_key_id = AKIDTWO\naws_secret_access_key = other-secret\naws_session_token = token\n"
    )


def test_half_a_secret_leaves_the_keys_as_they_are_and_is_told_once_without_them(
    secret: Mounted, driver: DriverSecret, caplog: pytest.LogCaptureFixture
) -> None:
    secret.set(key_id="AKIDONE", access_key="very-secret")
    driver.render()
    secret.set(access_key="half-secret")

    with caplog.at_level(logging.INFO):
        assert not driver.render()
        assert not driver.render()

    assert "very-secret" in driver.path.read_text()
    assert caplog.text.count("key_id missing") == 1
    assert "half-secret" not in caplog.text


def test_a_secret_without_keys_leaves_what_else_the_supervisor_finds(secret: Mounted, driver: DriverSecret) -> None:
    secret.set(key_id="AKIDONE", access_key="very-secret")
    driver.render()
    secret.set(unrelated="x")

    assert driver.render()
    assert not driver.path.exists()
    assert not driver.render()


def test_a_sweep_leaves_it(secret: Mounted, driver: DriverSecret, tmp_path: Path) -> None:
    secret.set(key_id="AKIDONE", access_key="very-secret")
    driver.render()

    assert CredentialFiles(tmp_path / "run").sweep((), 0.0) == []
    assert driver.path.exists()


def test_a_directory_that_is_not_there_is_told_and_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    driver = DriverSecret(tmp_path / "secret", CredentialFiles(tmp_path / "run"))
    assert not driver.render()
    assert "has no keys" in caplog.text

    Mounted(tmp_path / "secret").set(key_id="AKIDONE", access_key="very-secret")
    assert driver.render()


def test_its_thread_takes_a_change_and_ends_when_it_is_asked(
    secret: Mounted, driver: DriverSecret, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver_secret, "LOOK_SECONDS", 0.01)
    stop, taken = threading.Event(), threading.Event()
    render = driver.render

    def noted() -> bool:
        changed = render()
        if changed:
            taken.set()
        return changed

    monkeypatch.setattr(driver, "render", noted)
    thread = threading.Thread(target=driver.keep, args=(stop,), daemon=True)
    thread.start()
    secret.set(key_id="AKIDONE", access_key="very-secret")

    assert taken.wait(30)
    stop.set()
    thread.join(30)
    assert not thread.is_alive()
