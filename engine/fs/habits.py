"""Whether a file that is looked up will be read: a rule without any I/O. Used by beginnings.py, which acts on it.

`stat`, `ls -l` and `find` look names up and read nothing; a web server, a loader that knows its files' names, `cat` in
a loop read each file that they look up. So it is a directory's habit that counts, whoever the programs are.
"""

import collections
from typing import Final

# Files of a directory that were looked up and then read, before a lookup brings bytes along.
READS_MIN: Final = 2

# Lookups by which a file must have been read, to count as read after its lookup: more than programs read at a time.
BEFORE_READ_MAX: Final = 16

# GETs on trust in one directory: 2 MiB for who reads, and at most as many in vain for who then only looks.
TRUST_MAX: Final = 16


class Habit:
    """What programs do with files of one directory that they look up. Pure.

    Trust is earned by reads, one each, and lost as a whole by a lookup that no read followed. There are never more GETs
    on the way than trust: so never more are made in vain than files were read.
    """

    __slots__ = ("_looked", "_trust", "coming")

    def __init__(self) -> None:
        self._trust = 0
        self._looked: collections.OrderedDict[int, None] = collections.OrderedDict()  # and not read yet; by number
        self.coming = 0  # GETs in place of a HEAD whose bytes are not read

    @property
    def reads(self) -> bool:
        """The next file that is looked up will be read."""
        return self._trust >= READS_MIN and self.coming < self._trust

    def looked(self, number: int) -> None:
        """S3 was asked for a file."""
        self._looked[number] = None
        if len(self._looked) > BEFORE_READ_MAX:
            self._looked.popitem(last=False)
            self._trust = 0

    def read(self, number: int) -> None:
        """A file is read."""
        if number in self._looked:
            del self._looked[number]
            self._trust = min(TRUST_MAX, self._trust + 1)

    def failed(self) -> None:
        """A GET in place of a HEAD was in vain: nobody has read what it brought, or it brought nothing."""
        self._trust = 0
