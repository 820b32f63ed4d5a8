"""Whether S3 gives mounts what they need, asked before any of them is mounted: `python -m engine.inquiry`.

Started by `mountctl check --online`, a process of its own. Reads a JSON array of MountSpecs from stdin; writes an
Answer a line for each, as they come. Uses the engine's own way to S3: credential chain, endpoints, signatures. Changes
nothing that anybody could see, and leaves nothing: to learn whether it may write it begins a multipart upload and
aborts it, but only where it may abort; an upload in progress is no object, and is in no listing of objects.
"""

import logging
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, TypeVar

import trio
from pydantic import TypeAdapter

from engine import errors
from engine.answers import Answer, Step, StepName
from engine.link import Access
from engine.preflight import PREFLIGHT_ATTEMPTS_MAX, PREFLIGHT_SECONDS_MAX, explain, in_region
from engine.s3 import refusal
from engine.s3.access import AccessUnavailable, resolve
from engine.s3.configured import CaBundleUnusable, client_for, read_authorities
from engine.s3.interface import ObjectClient, ObjectInfo
from engine.spec import MountSpec
from engine.stats import EngineStats
from engine.write.options import upload_options

# Mounts that are asked about at once: S3 answers them in parallel, and botocore's look-ups take a core each.
MOUNTS_AT_ONCE: Final = 8
# A credential process may take so long (engine/s3/access.py), and a metadata service that is not there a little less.
CREDENTIALS_SECONDS_MAX: Final = 30.0
# Of the prefix's first keys one that holds bytes is tried: the very first are often markers of directories.
KEYS_LOOKED_AT: Final = 50

# A key that nobody has. Begins with a dot, as files do that are not for people.
_KEY: Final = ".mountctl-check-"

# Made up: S3 asks for the permission first, and then says that there is no such upload.
_NO_UPLOAD: Final = "mountctl-check-no-such-upload"

_LIST: Final = "s3:ListBucket"
_GET: Final = "s3:GetObject"
_PUT: Final = "s3:PutObject"
_ABORT: Final = "s3:AbortMultipartUpload"


_T = TypeVar("_T")
_ClientOf = Callable[[Access], AbstractAsyncContextManager[ObjectClient]]


def main() -> int:
    """Answer what stdin asks. Returns the exit code."""
    # stdout is for answers; S3's failures are in them.
    logging.getLogger().addHandler(logging.NullHandler())
    logging.getLogger("botocore").setLevel(logging.CRITICAL)
    specs = TypeAdapter(list[MountSpec]).validate_json(sys.stdin.buffer.read())
    trio.run(_ask_all, specs)
    return 0


async def _ask_all(specs: list[MountSpec]) -> None:
    limit = trio.CapacityLimiter(MOUNTS_AT_ONCE)

    async def ask(spec: MountSpec) -> None:
        async with limit:
            answer = await inquire(spec)
        sys.stdout.write(answer.model_dump_json() + "\n")
        sys.stdout.flush()

    async with trio.open_nursery() as nursery:
        for spec in specs:
            nursery.start_soon(ask, spec)


async def inquire(spec: MountSpec) -> Answer:
    """All steps for one mount."""
    try:
        with trio.fail_after(CREDENTIALS_SECONDS_MAX):
            access = await trio.to_thread.run_sync(resolve, spec, abandon_on_cancel=True)
        trust = read_authorities(spec).trust()
    except trio.TooSlowError:
        told = f"no credentials within {CREDENTIALS_SECONDS_MAX:.0f} s: what they are asked from does not answer"
        return Answer(name=spec.name, steps=(Step(name="credentials", ok=False, told=told),))
    except (AccessUnavailable, CaBundleUnusable) as error:
        return Answer(name=spec.name, steps=(Step(name="credentials", ok=False, told=str(error)),))

    @asynccontextmanager
    async def client_of(access: Access) -> AsyncIterator[ObjectClient]:
        client = client_for(spec, access, EngineStats(), trust=trust, attempts_max=PREFLIGHT_ATTEMPTS_MAX)
        try:
            yield client
        finally:
            with trio.CancelScope(shield=True):
                await client.aclose()

    region = await _find_region(spec, access, client_of)
    if isinstance(region, Step):
        return Answer(name=spec.name, steps=(_known(access), region))
    async with client_of(region) as client:
        steps = await Inquiry(client, spec, region).steps()
    return Answer(name=spec.name, steps=(_known(access), *steps))


async def _find_region(spec: MountSpec, access: Access, client_of: _ClientOf) -> Access | Step:
    """The access in the bucket's region, as a mount would find it; a Step if that is not where the mount looks."""
    async with client_of(access) as client:
        try:
            with trio.move_on_after(PREFLIGHT_SECONDS_MAX):
                await client.probe()
        except errors.WrongRegion as error:
            if access.region_told or not error.region:
                return Step(name="region", ok=False, told=explain(error, spec, access))
            return in_region(access, error.region)
        except errors.S3Error:
            pass  # the first step asks again, and tells
    return access


def _known(access: Access) -> Step:
    if access.credentials is None:
        return Step(name="credentials", ok=True, told="none: requests are anonymous")
    return Step(name="credentials", ok=True, told=f"key {access.credentials.access_key}")


class Inquiry:
    """The questions about one mount.

    Args:
        client: of the mount's bucket, in its region.
        spec: the mount.
        access: how the client reaches it.
    """

    def __init__(self, client: ObjectClient, spec: MountSpec, access: Access) -> None:
        self._client = client
        self._spec = spec
        self._access = access
        self._key = f"{spec.prefix}{_KEY}{uuid.uuid4().hex}"

    async def steps(self) -> list[Step]:
        """Ask everything that can be asked."""
        steps: list[Step] = []
        try:
            sample, steps = await self._list()
            may_list = steps[-1].ok is True
            steps.append(await self._get(sample, may_list=may_list))
            if not self._spec.read_only:
                steps.append(await self._put())
        except _Ended as end:
            steps.append(end.step)
        return steps

    async def _list(self) -> tuple[ObjectInfo | None, list[Step]]:
        """Bucket, region and list: one listing tells of all three. Returns an object that can be read, too."""
        where = Step(name="region", ok=True, told=f"{self._access.region}, at {self._access.endpoint}")
        listing = self._client.list_objects(self._spec.prefix, delimiter="", max_keys=KEYS_LOOKED_AT)
        try:
            page = await self._ask("bucket", listing)
        except errors.AccessDenied as error:
            hidden = f"S3 at {self._access.endpoint} does not tell whether it is there"
            denied = Step(name="list", ok=False, told=self._explained(error), permission=_LIST)
            return None, [Step(name="bucket", ok=None, told=hidden), where, denied]
        sample = next((each for each in page.objects if each.size and not each.archived), None)
        there = Step(name="bucket", ok=True, told=f"{self._spec.bucket} is there")
        return sample, [there, where, Step(name="list", ok=True, told=f"may list {self._spec.source}")]

    async def _get(self, sample: ObjectInfo | None, *, may_list: bool) -> Step:
        """Read one byte of an object; where there is none, ask for one that is not there: 404 is only for who may."""
        try:
            if sample is None:
                await self._ask("get", self._client.head_object(self._key))
            else:
                buffers = [memoryview(bytearray(1))]
                reading = self._client.get_object(
                    sample.key, offset=0, buffers=buffers, if_match=sample.etag, progress=lambda _: None
                )
                await self._ask("get", reading)
        except (errors.NoSuchKey, errors.PreconditionFailed):
            pass  # not there, or no longer: that is said to those only who may read
        except errors.AccessDenied as error:
            if sample is None and not may_list:
                told = "can't be known: without a listing there is no key to try, and S3 answers 403 for any other"
                return Step(name="get", ok=None, told=told)
            what = f"read objects of {self._spec.source}" if sample is None else f"read {sample.key!r}"
            return self._denied("get", error, _GET, what, "" if sample is None else "kms:Decrypt if KMS encrypts it")
        return Step(name="get", ok=True, told="may read objects")

    async def _put(self) -> Step:
        """Begin a multipart upload and abort it, having asked whether an abort is allowed."""
        try:
            await self._ask("put", self._try_to_abort())
        except errors.AccessDenied as error:
            denied = self._denied("put", error, _ABORT, "abort uploads")
            return denied.model_copy(update={"told": f"{denied.told}; writing is not tried, for it would leave one"})
        beginning = self._client.create_multipart_upload(self._key, upload=upload_options(self._spec, self._key))
        try:
            upload_id = await self._ask("put", beginning)
        except errors.AccessDenied as error:
            key = "kms:GenerateDataKey and kms:Decrypt for the key" if (self._spec.sse or "").startswith("aws:") else ""
            return self._denied("put", error, _PUT, f"write to {self._spec.source}", key)
        except _Ended:
            # The answer may be lost, and not the request.
            await self._take_back(None)
            raise
        if left := await self._take_back(upload_id):
            return Step(name="put", ok=False, told=left, permission=_ABORT)
        return Step(name="put", ok=True, told="may write objects")

    async def _try_to_abort(self) -> None:
        """Abort an upload that is not there. Raises AccessDenied, Unreachable, Throttled; all else says: it may."""
        try:
            await self._client.abort_multipart_upload(self._key, _NO_UPLOAD)
        except (errors.AccessDenied, errors.Unreachable, errors.Throttled):
            raise
        except errors.S3Error as error:
            if not 400 <= error.status < 500:
                raise

    async def _take_back(self, upload_id: str | None) -> str:
        """Abort the upload, also one whose id never arrived. Returns what may be left behind, as a sentence."""
        try:
            with trio.CancelScope(shield=True), trio.fail_after(PREFLIGHT_SECONDS_MAX):
                begun = [upload_id] if upload_id else await self._uploads_begun()
                for each in begun:
                    await self._client.abort_multipart_upload(self._key, each)
        except (errors.S3Error, trio.TooSlowError) as error:
            return f"an upload of {self._key!r} is left, as it could not be aborted: {error}; abort it by hand"
        return ""

    async def _uploads_begun(self) -> list[str]:
        return [each.upload_id for each in await self._client.list_multipart_uploads(self._key)]

    async def _ask(self, step: StepName, request: Awaitable[_T]) -> _T:
        """One question. Raises AccessDenied, NoSuchKey and PreconditionFailed for the step to judge; else _Ended."""
        try:
            with trio.fail_after(PREFLIGHT_SECONDS_MAX):
                return await request
        except trio.TooSlowError:
            told = f"S3 at {self._access.endpoint} gave no answer within {PREFLIGHT_SECONDS_MAX:.0f} s"
            raise _Ended(Step(name=step, ok=False, told=told)) from None
        except errors.AccessDenied as error:
            if self._keys_are_wrong(error):
                raise _Ended(Step(name="credentials", ok=False, told=self._explained(error))) from error
            raise
        except errors.NoSuchBucket as error:
            raise _Ended(Step(name="bucket", ok=False, told=self._explained(error))) from error
        except errors.WrongRegion as error:
            raise _Ended(Step(name="region", ok=False, told=self._explained(error))) from error
        except (errors.NoSuchKey, errors.PreconditionFailed) as error:
            if step == "bucket":
                raise _Ended(Step(name="bucket", ok=False, told=self._explained(error))) from error
            raise
        except errors.S3Error as error:
            listing = step == "bucket" or isinstance(error, errors.Unreachable)
            told = self._explained(error) if listing else f"S3 at {self._access.endpoint}: {error}"
            raise _Ended(Step(name=step, ok=False, told=told)) from error

    def _keys_are_wrong(self, error: errors.S3Error) -> bool:
        keys = self._access.credentials
        return keys is not None and refusal.of_keys(error.code, keys.access_key) is not None

    def _explained(self, error: errors.S3Error) -> str:
        return explain(error, self._spec, self._access)

    def _denied(self, step: StepName, error: errors.S3Error, permission: str, what: str, also: str = "") -> Step:
        keys = self._access.credentials
        who = "anonymous requests" if keys is None else f"the credentials (key {keys.access_key})"
        code = f" ({error.code})" if error.code else ""
        further = f", and {also}" if also else ""
        told = f"{who} may not {what}{code}: allow {permission}{further}"
        return Step(name=step, ok=False, told=told, permission=permission)


class _Ended(Exception):
    """Nothing more can be asked; the step says why."""

    def __init__(self, step: Step) -> None:
        super().__init__(step.told)
        self.step = step


if __name__ == "__main__":
    sys.exit(main())
