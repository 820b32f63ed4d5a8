"""Tells the supervisor of each multipart upload, in case that the host goes down with engine, session and journal.

run.py makes one `UploadTeller` an engine; assembly.py puts it between the uploader and the ledger, which is written
first: a successor on the session reads the journal, and only who has none needs what is told here. Never waits for the
supervisor: what its link has no room for is kept, the last word of each upload, and sent later.
"""

import json
from collections.abc import Callable, Mapping
from typing import Final

from engine.fs.ledger import Ledger
from engine.uploads import UploadsTold
from engine.write.uploader import Uploader

# What ids and keys of one message may take, in bytes of JSON: with their frame far below link.PACKET_BYTES_MAX, even if
# the last one is a key of 1,024 control characters, each six bytes long.
_BYTES_MAX: Final = 32 * 1024
# A time, and what stands around it.
_TIME_BYTES: Final = 24


class UploadTeller:
    """An UploadRecords: writes to the ledger, and tells.

    Args:
        tell: sends a message; False if there is no room for it now.
    """

    def __init__(self, tell: Callable[[UploadsTold], bool] = lambda _told: True) -> None:
        self._tell: Final = tell
        self._ledger = Ledger()
        self._uploader: Uploader | None = None  # None: nothing is told yet
        self._anew = False  # all is to be told
        self._all_told = True
        # What is to be told: the last word of each.
        self._uploads: dict[str, str | None] = {}  # keys by id; None: it has ended
        self._asked: dict[str, float | None] = {}  # times by key; None: it is settled
        self._aborting: set[str] = set()  # those of sessions that are gone

    def over(self, ledger: Ledger) -> "UploadTeller":
        """Write to this ledger from now on; returns itself."""
        self._ledger = ledger
        return self

    def begin(self, uploader: Uploader) -> None:
        """Tell all that there are, those of the engine before too, and from now on what becomes of them.

        Args:
            uploader: aborts what is left by others.
        """
        self._uploader = uploader
        self.tell_all()

    def tell_all(self) -> None:
        """Tell all anew: who listens now has heard nothing, or not all. Nothing happens before `begin`."""
        self._anew, self._all_told = True, False
        # An end that is not told yet is told all the same: it may be of one that another session has left.
        self._uploads = {each: key for each, key in self._uploads.items() if key is None} | self._ledger.uploads
        self._asked = dict(self._ledger.asked)
        self.catch_up()

    def abort(self, uploads: Mapping[str, str]) -> None:
        """Abort what sessions that are gone have left, in the background.

        Never one that this session knows: it is being written, or aborted already.
        """
        assert self._uploader is not None, "the supervisor asks for it when it was told"
        known = self._ledger.uploads.keys() | self._aborting
        left = {each: key for each, key in uploads.items() if each not in known}
        if left:
            self._aborting |= left.keys()
            self._uploader.abort_left(left)

    def catch_up(self) -> None:
        """Tell what could not be told before."""
        if self._uploader is None:
            return
        while self._uploads or self._asked or not self._all_told:
            uploads, asked = self._some()
            last = len(uploads) == len(self._uploads) and len(asked) == len(self._asked)
            told = UploadsTold(
                anew=self._anew,
                all_told=last and not self._all_told,
                begun={each: key for each, key in uploads.items() if key is not None},
                ended=tuple(each for each, key in uploads.items() if key is None),
                asked={key: when for key, when in asked.items() if when is not None},
                settled=tuple(key for key, when in asked.items() if when is None),
            )
            if not self._tell(told):
                return
            self._anew, self._all_told = False, self._all_told or last
            for each in uploads:
                del self._uploads[each]
            for key in asked:
                del self._asked[key]

    def upload_asked(self, key: str) -> None:
        """S3 is about to be asked to begin one."""
        self._ledger.upload_asked(key)
        self._asked[key] = self._ledger.asked[key]
        self.catch_up()

    def upload_refused(self, key: str) -> None:
        """S3 has not begun it."""
        self._ledger.upload_refused(key)
        self._asked[key] = None
        self.catch_up()

    def upload_begun(self, upload_id: str, key: str) -> None:
        """It has this id; nothing was sent to it yet."""
        self._ledger.upload_begun(upload_id, key)
        self._asked[key] = None
        self._uploads[upload_id] = key
        self.catch_up()

    def upload_ended(self, upload_id: str) -> None:
        """S3 says that it is complete, aborted or not there."""
        self._ledger.upload_ended(upload_id)
        self._aborting.discard(upload_id)
        self._uploads[upload_id] = None
        self.catch_up()

    def upload_looked_for(self, key: str) -> None:
        """One that was asked for by an engine before is found, or not there."""
        self._ledger.upload_looked_for(key)
        self._asked[key] = None
        self.catch_up()

    def _some(self) -> tuple[dict[str, str | None], dict[str, float | None]]:
        """What of it fits one message: at least one thing, if there is any."""
        uploads, asked, room = {}, {}, _BYTES_MAX
        for each, key in self._uploads.items():
            if room <= 0:
                break
            uploads[each] = key
            room -= len(json.dumps([each, key])) + _TIME_BYTES
        for key, when in self._asked.items():
            if room <= 0:
                break
            asked[key] = when
            room -= len(json.dumps(key)) + _TIME_BYTES
        return uploads, asked
