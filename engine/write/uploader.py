"""The writing side of an engine: who may write, with which memory, and the tasks that send parts.

assembly.py makes one Uploader an engine; engine/fs opens an Upload for each file that is open for writing. Never
decides who may open what, and never retries (the client does).
"""

import logging
from collections.abc import Mapping
from typing import Final

import trio

from engine.arena import SLOT_BYTES, Arena, Slot
from engine.errors import EngineError, S3Error
from engine.facts import about
from engine.message_ids import ENGINE_UNFIT, UPLOAD_LEFT, UPLOAD_LOST
from engine.s3.interface import Likeness, ObjectClient, UploadOptions
from engine.spec import MiB, MountSpec
from engine.stats import EngineStats
from engine.write.bequest import UploadBequest
from engine.write.budget import Budget, Reservation, writers_max
from engine.write.inherited import InheritedUpload
from engine.write.options import upload_options
from engine.write.orphans import Orphans
from engine.write.plan import PartPlan
from engine.write.records import NoRecords, UploadRecords
from engine.write.state import Uploaded
from engine.write.upload import ABORT_SECONDS_MAX, Upload
from engine.write.version import MadeVersions

logger = logging.getLogger(__name__)


class Uploader:
    """All writing of one engine.

    Args:
        client: S3.
        arena: memory, shared with reading.
        nursery: where parts are sent; to be left only after `aclose`.
        spec: the mount.
        stats: bytes_written and uploads are kept here.
        records: where multipart uploads are written down.
        plan: how large parts are; None: as the mount's options ask.
    """

    def __init__(
        self,
        client: ObjectClient,
        arena: Arena,
        nursery: trio.Nursery,
        *,
        spec: MountSpec,
        stats: EngineStats,
        records: UploadRecords | None = None,
        plan: PartPlan | None = None,
    ) -> None:
        self.client: Final = client
        self.arena: Final = arena
        self.nursery: Final = nursery
        self.stats: Final = stats
        self.records: Final = records or NoRecords()
        self.plan: Final = plan or PartPlan(spec.write_part_bytes)
        self.versions: Final = MadeVersions(client)
        self._spec: Final = spec
        writers = writers_max(spec.memory_target * MiB, read_part=spec.read_part_bytes, write_part=self.plan.base)
        self._budget: Final = Budget(writers=writers, part_slots=self.plan.slots(self.plan.base))
        self._held = 0
        self._open: set[Upload] = set()
        self._orphans: Final = Orphans(client, self.records)
        if not spec.read_only:
            self._tell_limit()

    def reserve(self) -> Reservation:
        """Let a writer in; to be given to `start`, or released. Sends nothing. Raises TooManyWriters."""
        return self._budget.reserve()

    def start(self, key: str, reservation: Reservation) -> Upload:
        """An upload for one open file. Sends nothing before there is a full part, or the end."""
        upload = Upload(self, key, upload_options(self._spec, key), reservation)
        self._open.add(upload)
        self._count()
        return upload

    def resume(self, bequest: UploadBequest, slots: Mapping[int, Slot]) -> Upload:
        """Go on with a file that an engine before has frozen; sends what it had not.

        Args:
            bequest: what it left.
            slots: its memory (Arena.inherit), by the numbers in the bequest.
        """
        upload = Upload(self, bequest.state.key, bequest.state.options, self._budget.inherit(bequest.reserved))
        self._open.add(upload)
        for part in bequest.parts:
            self._held += len(part.slots)
        if bequest.state.upload_id is not None:
            self._orphans.spare(bequest.state.upload_id)
        upload.resume(bequest, slots)
        self._count()
        return upload

    async def freeze(self, upload: Upload) -> UploadBequest:
        """Have another engine go on with a file; see Upload.freeze. `aclose` does not give it up then."""
        bequest = await upload.freeze()
        self._open.discard(upload)
        return bequest

    async def begin_multipart(self, key: str, options: UploadOptions) -> str:
        """Begin a multipart upload; returns its id. Raises what S3 failed with."""
        self.records.upload_asked(key)
        try:
            with self._orphans.beginning(key):
                upload_id = await self.client.create_multipart_upload(key, upload=options)
                self._orphans.spare(upload_id)
        except S3Error as error:
            if error.status:  # without an answer it may have been begun all the same
                self.records.upload_refused(key)
            raise
        self.records.upload_begun(upload_id, key)
        return upload_id

    async def abort_multipart(self, key: str, upload_id: str) -> None:
        """Abort a multipart upload. What fails, or S3 does not answer in time, is tried again in the background."""
        try:
            with trio.fail_after(ABORT_SECONDS_MAX):
                await self.client.abort_multipart_upload(key, upload_id)
            self.records.upload_ended(upload_id)
        except (EngineError, trio.TooSlowError) as error:
            facts = about(UPLOAD_LEFT, key=key, error=error)
            logger.warning("the multipart upload %s of %r could not be aborted: %s", upload_id, key, error, extra=facts)
            again = Orphans(self.client, self.records, whose="files that failed")
            again.add({upload_id: key}, {})
            self.nursery.start_soon(again.run_later)

    def abort_orphans(self, uploads: Mapping[str, str], asked: Mapping[str, float]) -> None:
        """Have multipart uploads that an engine before left aborted in the background; see Orphans.add."""
        self._orphans.add(uploads, asked)
        self.nursery.start_soon(self._orphans.run)

    def abort_left(self, uploads: Mapping[str, str]) -> None:
        """Have multipart uploads that sessions before this one left aborted in the background.

        Args:
            uploads: keys by upload id; what is outside this mount's prefix is left alone.
        """
        left = Orphans(self.client, self.records, whose="sessions before this one")
        left.add({each: key for each, key in uploads.items() if key.startswith(self._spec.prefix)}, {})
        self.nursery.start_soon(left.run)

    def inherit(
        self, key: str, *, uploaded: Uploaded | None = None, publishing: Likeness | None = None
    ) -> InheritedUpload:
        """The upload of a handle that an engine before had: complete, perhaps complete, or neither, which is failed."""
        return InheritedUpload(key, self._orphans, uploaded=uploaded, publishing=publishing)

    async def aclose(self) -> None:
        """Give up what is not complete: nothing of it stays in S3."""
        with trio.CancelScope(shield=True):  # each is bounded by ABORT_SECONDS_MAX
            async with trio.open_nursery() as nursery:
                for upload in list(self._open):
                    text = "%r was being written when the engine stopped: it is not uploaded"
                    logger.error(text, upload.key, extra=about(UPLOAD_LOST, key=upload.key))
                    nursery.start_soon(upload.abort, "the engine stopped")

    def spare_slot(self) -> Slot | None:
        """Memory above a reservation, if other writers and readers can spare it now."""
        return self.arena.acquire_nowait() if self._held < self._budget.slots else None

    def took(self, slot: Slot) -> Slot:
        """A writer got a slot."""
        self._held += 1
        self._count()
        return slot

    def give_back(self, slots: list[Slot]) -> None:
        """A writer needs these no more."""
        self._held -= len(slots)
        for slot in slots:
            self.arena.release(slot)
        self._count()

    def ended(self, upload: Upload) -> None:
        """An upload is complete, or failed and cleaned up."""
        self._open.discard(upload)
        if upload.upload_id is not None:
            self._orphans.over(upload.upload_id)
        self._count()

    def _count(self) -> None:
        self.stats.uploads = len(self._open)
        self.stats.arena_bytes = self.arena.in_use * SLOT_BYTES

    def _tell_limit(self) -> None:
        level = logging.INFO if self._budget.writers else logging.WARNING
        logger.log(
            level,
            "up to %d files can be open for writing (memory-target %d MiB, parts of %d MiB)",
            self._budget.writers,
            self._spec.memory_target,
            self.plan.base // MiB,
            extra=about(ENGINE_UNFIT),
        )
