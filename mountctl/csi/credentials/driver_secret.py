"""The driver's own keys, from a mounted Secret: a directory of files, to a credentials file that the supervisor reads.

For a Secret that is mounted, and not put into variables: kubelet changes its files when it changes, and no pod need be
started again. The supervisor's pod has the file's path as its AWS_SHARED_CREDENTIALS_FILE, so that it is for all mounts
without credentials of their own, and the broker sees a change within two seconds.
"""

import logging
import threading
from pathlib import Path
from typing import Final

from engine.facts import about
from engine.message_ids import CSI_CREDENTIALS
from mountctl.csi.credentials import keys
from mountctl.csi.credentials.files import CredentialFiles

# No mount's name begins so.
NAME: Final = "_driver"
# How often the directory is looked at; kubelet itself takes a minute or so to change it.
LOOK_SECONDS: Final = 2.0

_log = logging.getLogger(__name__)


class DriverSecret:
    """Keeps the file as the directory says.

    Args:
        directory: of the mounted Secret: key_id, access_key, perhaps session_token (keys.py has other spellings).
        files: for what is written.
    """

    def __init__(self, directory: Path, files: CredentialFiles) -> None:
        self._directory = directory
        self._files = files
        self._said = ""

    @property
    def path(self) -> Path:
        """The credentials file."""
        return self._files.path(NAME) / keys.FILE

    def render(self) -> bool:
        """Write what the directory has now. Whether anything has changed. Raises nothing: trouble is logged, once.

        Keys that are gone are removed; of half a Secret nothing is made, and what was there stays.
        """
        try:
            secret = keys.mounted(self._directory)
            if not secret:
                self._tell(f"{self._directory} has no keys: mounts of the driver have what else the supervisor finds")
                had = self.path.exists()
                if had:
                    self._files.remove_file(NAME, keys.FILE)
                return had
            changed = self._files.write(NAME, {keys.FILE: keys.found_in(secret).profile()})
        except keys.NoKeys as error:
            self._tell(f"{self._directory}: {error}; the driver's keys stay as they are")
            return False
        except OSError as error:
            self._tell(f"{error.filename}: {error.strerror}; the driver's keys stay as they are")
            return False
        if changed:
            _log.info("the driver's keys were taken from %s", self._directory, extra=about(CSI_CREDENTIALS))
        self._said = ""
        return changed

    def keep(self, stop: threading.Event) -> None:
        """Render again and again until `stop` is set: for a thread of its own."""
        while not stop.is_set():
            self.render()
            stop.wait(LOOK_SECONDS)

    def _tell(self, sentence: str) -> None:
        if sentence != self._said:
            self._said = sentence
            _log.warning("%s", sentence, extra=about(CSI_CREDENTIALS))
