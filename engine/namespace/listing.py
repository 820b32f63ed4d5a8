"""A directory's entries as a stream that can be read from any position it ever named.

Opened by the file system at OPENDIR, one for a handle. Asks S3 page by page, as the reader comes along; never keeps
more than two pages, however large the directory: of the others it knows how to ask for them again.

A position is the number of a page and of an entry in it, so that a change to one page moves no position of another.
The kernel goes back within its last answers (when a program's buffer was small) and to 0 (rewinddir), NFS to any.
"""

import bisect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, NamedTuple

import trio

from engine.errors import BadResponse
from engine.namespace.hidden import HiddenNames
from engine.namespace.merge import Entry, Merged, merge
from engine.s3.interface import ListPage, ObjectClient, ObjectInfo

# Entries of a page in a position: 12 bits, twice what S3 puts on a page and can leave pending before it. 32 bits in
# all then hold a million pages, for programs whose off_t has no more.
INDEX_BITS: Final = 12
_INDEX_MASK: Final = (1 << INDEX_BITS) - 1

# The kernel may come back for what did not fit a program's buffer: at most its last answer, which is of one page.
PAGES_KEPT: Final = 2


class Page:
    """Entries of one page. `asked` and `listed` are when S3 was asked and when it answered, on trio's clock; `gone` are
    names of entries that were deleted here since.
    """

    __slots__ = ("_names", "asked", "entries", "gone", "last", "listed", "number")

    def __init__(self, number: int, entries: list[Entry], asked: float, listed: float, *, last: bool) -> None:
        self.number = number
        self.entries = entries
        self.asked = asked
        self.listed = listed
        self.last = last
        self.gone: set[str] = set()
        self._names: frozenset[str] | None = None  # made when it is asked for: most pages are read and never changed

    def remove(self, name: str) -> None:
        """A name was deleted here. Its entry stays, for a position counts them, and is not to be shown."""
        if self._names is None:
            self._names = frozenset(entry.name for entry in self.entries)
        if name in self._names:
            self.gone.add(name)

    def position(self, index: int) -> int:
        """The position of the entry with this index; that behind the last entry is the next page's start."""
        if index >= len(self.entries) and not self.last:
            return (self.number + 1) << INDEX_BITS
        return (self.number << INDEX_BITS) + index


class Answer(NamedTuple):
    """What S3 said of a page, and when it was asked and answered, on trio's clock."""

    page: ListPage
    asked: float
    listed: float


# How to ask for a page (again): S3's token and what the pages before it left undecided.
Start = tuple[str | None, tuple[ObjectInfo, ...]]
FIRST: Final[Start] = (None, ())

# In the place of an entry that was given to a program before, and is not there any more.
_NOBODY: Final = Entry("", None)


class Given(NamedTuple):
    """What a program was given last: the number of its page, how many entries of that, and the last one's name."""

    page: int
    entries: int
    name: str


class DirectoryStream:
    """One reading of a directory.

    Args:
        client: S3.
        prefix: the directory's, empty or with its closing slash.
        hidden: told of keys that have no name here.
        starts: how its pages are asked for, as far as an engine before has read it.
        given: what that one has given last.
        local: the names that are not in S3 yet, or are being replaced there, in order; asked when a reading begins.
    """

    def __init__(
        self,
        client: ObjectClient,
        prefix: str,
        hidden: HiddenNames,
        starts: Iterable[Start] = (FIRST,),
        *,
        given: Given | None = None,
        local: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._client = client
        self._prefix = prefix
        self._hidden = hidden
        self._local = local
        self._local_from: dict[int, Sequence[str]] = {}  # by page: those that the pages before have left
        self._lock = trio.Lock()
        self.starts = list(starts)
        self.given = given
        self._resumes = given  # until its page was asked for again
        # The first page, if it was asked for before this was opened; None: it was not good. Asked for once.
        self.ahead: Callable[[], Awaitable[Answer | None]] | None = None
        self.paged: Callable[[int, Start], None] = lambda _number, _start: None  # told of each that is added
        self._complete = False  # the last page has been seen, so no start will be added
        self._kept: dict[int, Page] = {}

    async def read(self, position: int) -> tuple[Page, int] | None:
        """The page with the entry at a position, and its index; None behind the last entry.

        Asks S3 if the page is not at hand. Raises what S3 failed with; reading the same position again tries again.
        """
        number, index = position >> INDEX_BITS, position & _INDEX_MASK
        async with self._lock:
            while True:
                page = await self._page(number)
                if page is None:
                    return None
                if index < len(page.entries):
                    return page, index
                if page.last:
                    return None
                number, index = number + 1, 0

    async def rewind(self) -> None:
        """Start over, as rewinddir does: the next read lists anew."""
        async with self._lock:
            self.starts = [FIRST]
            self.given = self._resumes = None
            self._complete = False
            self._local_from.clear()
            self._kept.clear()

    def remove(self, name: str) -> None:
        """A name was deleted here: pages that S3 listed before don't bring it back."""
        for page in self._kept.values():
            page.remove(name)

    @property
    def started(self) -> bool:
        """S3 has been asked, by this engine or by one before."""
        return bool(self._kept) or self.given is not None

    async def _page(self, number: int) -> Page | None:
        while number >= len(self.starts):
            if self._complete:
                return None
            await self._fetch(len(self.starts) - 1)
        return self._kept.get(number) or await self._fetch(number)

    async def _fetch(self, number: int) -> Page:
        token, pending = self.starts[number]
        ahead, self.ahead = self.ahead, None
        found = await ahead() if ahead is not None and number == 0 else None
        if not self._local_from:
            self._local_from[number] = self._local_behind()
        if found is None:
            asked = trio.current_time()
            found = Answer(await self._client.list_objects(self._prefix, token=token), asked, trio.current_time())
        answer, asked, listed = found
        merged = merge(self._prefix, pending, answer, self._local_from.get(number, ()))
        self._local_from[number + 1] = merged.local
        if self._resumes is not None and self._resumes.page == number:
            self._resume(merged, self._resumes)
        if len(merged.entries) > _INDEX_MASK:
            raise BadResponse(f"a page of a listing has {len(merged.entries)} entries", key=self._prefix)
        if number == len(self.starts) - 1 and not self._complete:
            self._tell(merged)
        self._follow(number, answer, merged)
        page = Page(number, merged.entries, asked, listed, last=answer.next_token is None)
        if _NOBODY in merged.entries[:1]:
            page.gone.add(_NOBODY.name)
        self._keep(page)
        return page

    def _local_behind(self) -> Sequence[str]:
        """The names that are only here, but for those that an engine before has given."""
        if self._resumes is None:
            return self._local()
        return [name for name in self._local() if name + "/" > self._resumes.name]

    def _resume(self, merged: Merged, given: Given) -> None:
        """Go on with a page that an engine before has given a part of.

        What was deleted since then has made room: entries that were not given yet would lie where others have been, and
        never be given; and the page has entries at its end that were on the next one.
        """
        self._resumes = None
        del self.starts[given.page + 1 :]
        self._complete = False
        behind = bisect.bisect_right(merged.entries, given.name, key=lambda entry: entry.name)
        before = merged.entries[max(0, behind - given.entries) : behind]
        merged.entries[:behind] = [_NOBODY] * (given.entries - len(before)) + before

    def _follow(self, number: int, answer: ListPage, merged: Merged) -> None:
        """Remember how the next page is asked for, unless that is known from the first time round."""
        if number < len(self.starts) - 1:
            return
        self._complete = answer.next_token is None
        if answer.next_token is not None:
            self.starts.append((answer.next_token, merged.pending))
            self.paged(len(self.starts) - 1, self.starts[-1])

    def _keep(self, page: Page) -> None:
        self._kept.pop(page.number, None)
        self._kept[page.number] = page
        while len(self._kept) > PAGES_KEPT:
            del self._kept[next(iter(self._kept))]

    def _tell(self, merged: Merged) -> None:
        for key, why in merged.invalid:
            self._hidden.invalid(self._prefix, key, why)
        for info in merged.shadowed:
            self._hidden.shadowed(self._prefix, info.key)
        if merged.marker is not None and merged.marker.size:
            self._hidden.marker(merged.marker.key, merged.marker.size)
