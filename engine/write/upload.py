"""One file on its way to S3: bytes in order go in, an object comes out at the end, or nothing at all.

Opened by uploader.py for engine/fs, one for each file that is open for writing. What fits one part goes up as one PUT
when the file is complete. More becomes a multipart upload, begun when the first part is full, with parts in parallel
while the program goes on writing. The first error is final: the multipart upload is aborted, and whoever asks for
anything later gets the same error. Never publishes anything before `complete`, and never a part of what was written.
"""

import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

import trio

from engine.arena import SLOT_BYTES, Slot
from engine.errors import (
    EngineError,
    FileTooBig,
    InvalidArgument,
    OutOfOrderWrite,
    UploadCompleted,
    UploadFailed,
)
from engine.s3.interface import Likeness, UploadOptions
from engine.s3.upload_documents import likeness_of_body, likeness_of_parts
from engine.write.bequest import PartBequest, UploadBequest
from engine.write.budget import Reservation, next_size
from engine.write.failures import as_told
from engine.write.part import Part
from engine.write.state import Uploaded, UploadState
from engine.write.turns import Turns

if TYPE_CHECKING:
    from engine.write.uploader import Uploader

logger = logging.getLogger(__name__)

# Parts of one file on their way at once. With 20 ms to S3's first byte and its usual 90 MB/s a connection a part of
# 8 MiB takes 115 ms, so 16 of them are 1.1 GB/s, the most that one program writes through FUSE: 435 MB/s where 8 gave
# 360. It is 128 MiB of memory, when that is free and S3 takes as long; 45 MiB more than with 8 were met.
PARTS_IN_FLIGHT_MAX: Final = 16

# What the end of a multipart upload may wait for the answer to its abort, in seconds (and before that for the answer to
# its beginning). S3 answers in a fraction of one; beyond it the abort is tried again in the
# background, and the log says so.
ABORT_SECONDS_MAX: Final = 10.0

# What a handover may wait for the answer to the beginning of a multipart upload, or to an abort, in seconds: programs
# wait meanwhile. Beyond it the successor begins another, or aborts.
FREEZE_SECONDS_MAX: Final = 1.0


class Upload:
    """One file.

    Args:
        uploader: memory, requests, and the nursery for parts.
        key: the object's key.
        options: how it is stored.
        reservation: the memory that is sure; released here when it is over.
    """

    def __init__(self, uploader: "Uploader", key: str, options: UploadOptions, reservation: Reservation) -> None:
        self._uploader = uploader
        self._reservation = reservation
        self._state = UploadState(key, options)
        self._filling = self._part(1, uploader.plan.base)
        self._sending: set[Part] = set()
        self._held = 0  # slots
        self._part_ended = trio.Event()
        self._requests: set[trio.CancelScope] = set()
        self._beginning = trio.Lock()
        # An upload whose id never reaches us can't be aborted, and is paid for: so this request is seen to its end.
        self._beginning_scope = trio.CancelScope(shield=True)
        self._lock = Turns()  # one write or completion at a time
        self._cleaned: trio.Event | None = None  # set when nothing is left in S3 after an error
        self._frozen = False  # another engine goes on with it
        self._unsent: list[Part] = []  # full, and on their way when it was frozen
        self._repeated = 0  # bytes of the write that will come again, as the engine before took them in already
        self.error: EngineError | None = None
        self.uploaded: Uploaded | None = None
        self.publishing: Likeness | None = None  # what the object will be like, once S3 is asked to make it
        self.on_publishing: Callable[[Likeness], None] = lambda _likeness: None

    @property
    def key(self) -> str:
        """The object's key."""
        return self._state.key

    @property
    def upload_id(self) -> str | None:
        """The multipart upload's, once S3 has begun one."""
        return self._state.upload_id

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._state.offset

    async def write(self, offset: int, data: bytes | memoryview) -> int:
        """Append; returns the number of bytes: all. `offset` must be where the last write ended.

        Waits while memory is short. Raises OutOfOrderWrite, FileTooBig, UploadCompleted, and what the upload failed
        with before.
        """
        async with self._lock:
            await self._check()
            if self.uploaded is not None:
                raise UploadCompleted(f"{self.key!r} is complete in S3 since fsync: nothing can be added")
            try:
                self._state.check_place(offset, len(data), self._uploader.plan.object_max)
                await self._append(memoryview(data)[self._repeated :])
                self._repeated = 0
            except EngineError as error:
                await self._refuse(error)
            self._state.offset += len(data)
            self._uploader.stats.bytes_written += len(data)
            return len(data)

    @property
    def begun(self) -> bool:
        """There is more to it than its name: it was written to, or given a size."""
        return self._state.offset > 0 or self._state.expected > 0

    def expect(self, size: int) -> None:
        """A program gives the file a size in bytes: so much must have been written when it is completed.

        Programs do that before they write (to claim room) and after (where they skipped zeros at the end). What was
        written can't be cut: raises InvalidArgument, and the file stays as it is.
        """
        if size < self._state.offset:
            raise InvalidArgument(f"{self.key!r} has {self._state.offset} bytes already and can't be cut to {size}")
        self._state.expected = size

    async def complete(self) -> Uploaded:
        """Publish the object; at once if that was done before. Raises what it fails, or failed, with."""
        async with self._lock:
            await self._check()
            if self.uploaded is None and self._state.offset < self._state.expected:
                # To publish it would be to cut it: `cp` of a sparse file leaves out the zeros, and says how many.
                expected, found = self._state.expected, self._state.offset
                await self._refuse(OutOfOrderWrite(f"{self.key!r} was given {expected} bytes, and {found} written"))
            if self.uploaded is None:
                etag = await self._asking(self._finish)
                self.uploaded = Uploaded(self.key, etag, self._state.offset)
                self._release()
                if self.upload_id is not None:
                    self.uploaded = await self._uploader.versions.of(self.uploaded)
            return self.uploaded

    async def abort(self, why: str) -> None:
        """Give up: nothing is published, nothing stays in S3. No effect on a complete object."""
        if self.uploaded is None:
            self._fail(UploadFailed(f"{self.key!r} is not uploaded: {why}"))
            await self._wait_until_cleaned()

    async def freeze(self) -> UploadBequest:
        """Stop sending, for another engine to go on: with all that it must know. To be called when nobody waits for
        this upload any more; it must not be used afterwards.

        A part that was on its way goes along, to be sent again.
        """
        self._frozen = True
        for scope in self._requests:
            scope.cancel()
        self._beginning_scope.deadline = trio.current_time() + FREEZE_SECONDS_MAX
        while self._sending:
            await self._part_ended.wait()
        if self._cleaned is not None:
            with trio.move_on_after(FREEZE_SECONDS_MAX):
                await self._cleaned.wait()
        over = self.uploaded is not None or self.error is not None
        parts = [] if over else [*sorted(self._unsent, key=lambda part: part.number), self._filling]
        return UploadBequest(
            state=self._state,
            parts=[
                PartBequest(part.number, part.wanted, part.size, [slot.index for slot in part.slots]) for part in parts
            ],
            reserved=self._reservation.slots,
            uploaded=self.uploaded,
            failure=None if self.error is None else str(self.error),
        )

    def resume(self, bequest: UploadBequest, slots: Mapping[int, Slot]) -> None:
        """Be the upload that another engine has frozen; to be called before anything else.

        Args:
            bequest: what it was.
            slots: its memory, by the numbers in the bequest.
        """
        self._state = bequest.state
        self.uploaded = bequest.uploaded
        if bequest.failure is not None:
            self.error = UploadFailed(bequest.failure)
            self._cleaned = trio.Event()
            self._cleaned.set()
        if self.uploaded is not None or self.error is not None:
            self._release()
            return
        sums, algorithm = self._state.sums, self._state.algorithm
        parts = [Part.of(each, slots, algorithm, sums.get(each.number, (0, None))[1]) for each in bequest.parts]
        self._held = sum(len(part.slots) for part in parts)
        *unsent, self._filling = parts
        taken = sum(size for number, (size, _) in sums.items() if number < self._filling.number)
        self._repeated = taken + self._filling.size - self._state.offset
        for part in unsent:
            self._sending.add(part)
            self._uploader.nursery.start_soon(self._run_part, part)

    async def _append(self, data: memoryview) -> None:
        while len(data):
            if self._filling.size == self._filling.wanted:
                await self._next_part()
            part = self._filling
            if not part.room:
                part.slots.append(await self._slot())
            count = min(len(data), part.room, SLOT_BYTES - part.size % SLOT_BYTES)
            part.take(data[:count])
            data = data[count:]

    async def _next_part(self) -> None:
        """Send the full part on its way and begin another."""
        number, plan = self._filling.number + 1, self._uploader.plan
        if number > plan.parts_max:
            raise FileTooBig(f"{self.key!r} has {plan.parts_max} parts: with more memory-target they would be larger")
        while len(self._sending) >= PARTS_IN_FLIGHT_MAX:
            await self._wait_for_part()
        self._send(self._filling)
        self._filling = self._part(number, next_size(plan, self._reservation, number))

    def _part(self, number: int, wanted: int) -> Part:
        return Part(number, wanted, self._state.algorithm)

    async def _slot(self) -> Slot:
        """Memory: what is reserved in any case; more than that only while it is there, else when parts have left."""
        while True:
            if self._held < self._reservation.slots:
                self._held += 1
                try:
                    slot = self._uploader.took(await self._uploader.arena.acquire())
                except trio.Cancelled:
                    self._held -= 1
                    raise
                if self.error is not None:  # a part failed meanwhile, and what was held has gone
                    self._held -= 1
                    self._uploader.give_back([slot])
                    raise self.error
                return slot
            if (spare := self._uploader.spare_slot()) is not None:
                self._held += 1
                return self._uploader.took(spare)
            await self._wait_for_part()

    async def _wait_for_part(self) -> None:
        """Until a part on its way ends. Raises what it failed with."""
        assert self._sending, "what is not on its way fits the reservation"
        await self._part_ended.wait()
        if self.error is not None:
            raise self.error

    def _send(self, part: Part) -> None:
        self._state.sums[part.number] = (part.size, part.checksum)
        self._sending.add(part)
        self._uploader.nursery.start_soon(self._run_part, part)

    async def _run_part(self, part: Part) -> None:
        try:
            if (upload_id := await self._begin()) is not None:
                with self._request():
                    await self._upload_part(upload_id, part)
        except EngineError as error:
            self._fail(error)
        finally:
            self._sending.discard(part)
            if self._frozen and part.number not in self._state.parts:
                self._unsent.append(part)
            else:
                self._give_back(part)
            ended, self._part_ended = self._part_ended, trio.Event()
            ended.set()

    async def _begin(self) -> str | None:
        """The multipart upload's id; begins it if need be. None if the file has failed."""
        async with self._beginning:
            if self._state.upload_id is None and self.error is None and not self._frozen:
                with self._beginning_scope:
                    self._state.upload_id = await self._uploader.begin_multipart(self.key, self._state.options)
        return self._state.upload_id if self.error is None else None

    async def _upload_part(self, upload_id: str, part: Part) -> None:
        told = self._state.told(part.checksum)
        sent = await self._uploader.client.upload_part(
            self.key, upload_id, part.number, body=part.body(), checksum=told
        )
        if not sent.compared:
            part.review()
        self._state.parts[part.number] = sent

    async def _finish(self) -> str:
        """The last requests; returns the ETag."""
        client, state, last = self._uploader.client, self._state, self._filling
        if last.number == 1:
            last.review()
            checksum = state.told(last.checksum)
            self._publish(likeness_of_body(last.size, "", checksum))
            return await client.put_object(self.key, body=last.body(), upload=state.options, checksum=checksum)
        if last.size:
            self._send(last)
            self._filling = self._part(last.number + 1, last.wanted)
        while self._sending:
            await self._wait_for_part()
        assert state.upload_id is not None, "a part was sent"
        parts, checksum = state.reviewed(), state.told(state.whole())
        self._publish(likeness_of_parts(parts, checksum))
        etag = await client.complete_multipart_upload(self.key, state.upload_id, parts, checksum=checksum)
        self._uploader.records.upload_ended(state.upload_id)
        return etag

    def _publish(self, likeness: Likeness) -> None:
        """S3 is asked to make the object now. If we die before its answer, a successor can look for it."""
        self.publishing = likeness
        self.on_publishing(likeness)

    async def _asking(self, ask: Callable[[], Awaitable[str]]) -> str:
        """Ask S3 for what ends the upload; its error is the upload's."""
        answer: str | None = None
        try:
            with self._request():
                answer = await ask()
        except EngineError as error:
            await self._refuse(error)
        if answer is None:
            await self._check()  # cancelled by a part that failed, or by `abort`
        assert answer is not None, "the scope is cancelled by errors only"
        return answer

    async def _check(self) -> None:
        """Raise what the upload failed with, once nothing of it is left in S3."""
        if self.error is not None:
            await self._wait_until_cleaned()
            raise self.error.with_traceback(None)

    async def _refuse(self, error: EngineError) -> None:
        """Fail, and raise it."""
        self._fail(error)
        await self._check()

    def _fail(self, error: EngineError) -> None:
        """The first error counts: stop all requests, and have what is in S3 cleaned up."""
        if self.error is None:
            self.error = as_told(error)
            self._cleaned = trio.Event()
            for scope in self._requests:
                scope.cancel()
            self._beginning_scope.deadline = trio.current_time() + ABORT_SECONDS_MAX
            self._uploader.nursery.start_soon(self._clean_up, self._cleaned)

    @contextlib.contextmanager
    def _request(self) -> Iterator[None]:
        """What is asked of S3 in here ends when the upload fails."""
        with trio.CancelScope() as scope:
            self._requests.add(scope)
            if self.error is not None or self._frozen:
                scope.cancel()
            try:
                yield
            finally:
                self._requests.discard(scope)

    async def _wait_until_cleaned(self) -> None:
        assert self._cleaned is not None, "it has failed"
        await self._cleaned.wait()

    async def _clean_up(self, cleaned: trio.Event) -> None:
        try:
            with trio.CancelScope(shield=True):
                while self._sending:
                    await self._part_ended.wait()  # a part that arrived after the abort would stay, and be paid for
                if self._state.upload_id is not None:
                    await self._uploader.abort_multipart(self.key, self._state.upload_id)
        finally:
            self._release()
            cleaned.set()

    def _give_back(self, part: Part) -> None:
        self._held -= len(part.slots)
        self._uploader.give_back(part.slots)
        part.slots = []

    def _release(self) -> None:
        self._give_back(self._filling)
        self._reservation.release()
        self._uploader.ended(self)
