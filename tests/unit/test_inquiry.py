"""What is asked of S3 for a mount, and what is said of each refusal. (With real servers: test_check_online.py.)"""

import pytest
import trio
import trio.testing

from engine import errors
from engine.answers import Step
from engine.inquiry import Inquiry, inquire
from engine.link import Access
from engine.preflight import PREFLIGHT_SECONDS_MAX
from engine.spec import MountSpec
from tests.faults import Answer, ScriptedServer
from tests.unit.asking import ACCESS, SPEC
from tests.unit.bucket import ABORT, CREATE, GET, HEAD, LIST, Bucket

DENIED = errors.AccessDenied("no", status=403, code="AccessDenied")


def _ask(bucket: Bucket, spec: MountSpec = SPEC, access: Access = ACCESS) -> list[Step]:
    async def ask() -> list[Step]:
        return await Inquiry(bucket, spec, access).steps()

    return trio.run(ask, clock=trio.testing.MockClock(autojump_threshold=0))


def _states(steps: list[Step]) -> dict[str, bool | None]:
    return {step.name: step.ok for step in steps}


def _step(steps: list[Step], name: str) -> Step:
    [found] = [step for step in steps if step.name == name]
    return found


def _uploads(bucket: Bucket) -> list[object]:
    return list(trio.run(bucket.memory.list_multipart_uploads, ""))


def test_a_mount_that_may_do_all_is_asked_five_times_and_leaves_nothing() -> None:
    bucket = Bucket("p/a", "p/b")
    steps = _ask(bucket)
    assert _states(steps) == dict.fromkeys(("bucket", "region", "list", "get", "put"), True)
    assert bucket.requests == {LIST: 1, GET: 1, ABORT: 2, CREATE: 1}
    assert _uploads(bucket) == []


def test_a_mount_that_only_reads_is_not_asked_whether_it_may_write() -> None:
    bucket = Bucket("p/a")
    steps = _ask(bucket, SPEC.model_copy(update={"read_only": True}))
    assert _states(steps) == dict.fromkeys(("bucket", "region", "list", "get"), True)
    assert bucket.requests == {LIST: 1, GET: 1}


@pytest.mark.parametrize("keys", [(), ("p/",)])
def test_where_no_object_has_a_byte_one_that_is_not_there_is_asked_for(keys: tuple[str, ...]) -> None:
    bucket = Bucket()
    for key in keys:
        bucket.put(key, b"")
    assert _step(_ask(bucket), "get").ok is True
    assert bucket.requests[HEAD] == 1


def test_an_archived_object_is_not_the_one_that_is_read() -> None:
    bucket = Bucket("p/b")
    bucket.memory.put("p/a", b"cold", storage_class="GLACIER")
    assert _step(_ask(bucket), "get").ok is True
    assert bucket.requests[GET] == 1


@pytest.mark.parametrize(
    ("operation", "step", "permission"),
    [
        (LIST, "list", "s3:ListBucket"),
        (GET, "get", "s3:GetObject"),
        (ABORT, "put", "s3:AbortMultipartUpload"),
        (CREATE, "put", "s3:PutObject"),
    ],
)
def test_a_permission_that_is_missing_is_named(operation: str, step: str, permission: str) -> None:
    bucket = Bucket("p/a")
    bucket.failures[operation] = DENIED
    steps = _ask(bucket)
    found = _step(steps, step)
    assert (found.ok, found.permission) == (False, permission)
    assert permission in found.told
    assert "AKID" in found.told
    assert "hidden" not in "".join(each.told for each in steps)
    assert _uploads(bucket) == []


def test_what_does_not_depend_on_a_permission_that_is_missing_is_asked_all_the_same() -> None:
    bucket = Bucket("p/a")
    bucket.failures[GET] = DENIED
    assert _states(_ask(bucket)) == {"bucket": True, "region": True, "list": True, "get": False, "put": True}


def test_without_a_listing_it_is_not_known_whether_objects_may_be_read() -> None:
    bucket = Bucket("p/a")
    bucket.failures |= {LIST: DENIED, HEAD: DENIED}
    assert _states(_ask(bucket)) == {"bucket": None, "region": True, "list": False, "get": None, "put": True}


def test_nothing_is_begun_that_could_not_be_aborted() -> None:
    bucket = Bucket("p/a")
    bucket.failures[ABORT] = DENIED
    _ask(bucket)
    assert bucket.requests[CREATE] == 0


def test_a_key_of_kms_is_named_where_writing_needs_it() -> None:
    bucket = Bucket("p/a")
    bucket.failures[CREATE] = DENIED
    assert "kms:GenerateDataKey" in _step(_ask(bucket, SPEC.model_copy(update={"sse": "aws:kms"})), "put").told


@pytest.mark.parametrize(
    ("error", "step", "said"),
    [
        (errors.NoSuchBucket("no", status=404), "bucket", "does not exist"),
        (errors.WrongRegion("no", region="eu-west-1"), "region", "set region = 'eu-west-1'"),
        (errors.Unreachable("S3 at s3:9000 refused the connection"), "bucket", "is endpoint-url right?"),
        (
            errors.AccessDenied("no", status=403, code="InvalidAccessKeyId"),
            "credentials",
            "does not know the access key",
        ),
        (errors.BadResponse("garbage"), "bucket", "garbage"),
    ],
)
def test_what_ends_the_questions_is_the_only_answer(error: errors.S3Error, step: str, said: str) -> None:
    bucket = Bucket("p/a")
    bucket.failures[LIST] = error
    [found] = _ask(bucket)
    assert (found.name, found.ok) == (step, False)
    assert said in found.told
    assert bucket.requests == {LIST: 1}


def test_silence_ends_the_questions() -> None:
    bucket = Bucket("p/a")
    bucket.gates[GET] = trio.Event()
    steps = _ask(bucket)
    assert _states(steps) == {"bucket": True, "region": True, "list": True, "get": False}
    assert f"no answer within {PREFLIGHT_SECONDS_MAX:.0f} s" in _step(steps, "get").told


class _LostAnswer(Bucket):
    """Begins uploads, and never says so."""

    async def create_multipart_upload(self, key: str, *, upload: object) -> str:
        await super().create_multipart_upload(key, upload=upload)  # type: ignore[arg-type]
        raise errors.Unreachable("S3 at s3:9000 closed the connection")


def test_an_upload_whose_id_never_arrived_is_found_and_aborted() -> None:
    bucket = _LostAnswer("p/a")
    steps = _ask(bucket)
    assert _step(steps, "put").ok is False
    assert bucket.requests["ListMultipartUploads"] == 1
    assert _uploads(bucket) == []


class _AbortsOnce(Bucket):
    """Lets uploads that are not there be aborted, and no others."""

    async def abort_multipart_upload(self, key: str, upload_id: str) -> None:
        await super().abort_multipart_upload(key, upload_id)
        self.failures[ABORT] = DENIED


def test_an_upload_that_is_left_all_the_same_is_told_with_its_key() -> None:
    bucket = _AbortsOnce("p/a")
    found = _step(_ask(bucket), "put")
    [left] = trio.run(bucket.memory.list_multipart_uploads, "")
    assert found.ok is False
    assert left.key in found.told
    assert left.key.startswith("p/.mountctl-check-")


@pytest.mark.parametrize("region", [None, "us-west-2"])
def test_another_region_is_gone_to_only_if_nobody_chose_one(
    monkeypatch: pytest.MonkeyPatch, region: str | None
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    moved = Answer(status=301, headers={"x-amz-bucket-region": "eu-west-3"})
    listing = Answer(body=b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
    server = ScriptedServer([moved, listing, Answer(status=404)])

    async def ask() -> dict[str, tuple[bool | None, str]]:
        async with server.running():
            spec = SPEC.model_copy(update={"endpoint_url": server.url, "region": region, "read_only": True})
            return {step.name: (step.ok, step.told) for step in (await inquire(spec)).steps}

    steps = trio.run(ask)
    assert steps["credentials"] == (True, "key AKID")
    if region is None:
        assert steps["region"][0] is True
        assert steps["region"][1].startswith(f"eu-west-3, at {server.url}")
        assert steps["list"][0] is True
    else:
        assert steps.keys() == {"credentials", "region"}
        assert steps["region"][0] is False
        assert "set region = 'eu-west-3'" in steps["region"][1]


def test_credentials_that_cannot_be_had_are_the_only_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    [step] = trio.run(inquire, SPEC.model_copy(update={"profile": "nobody-has-this"})).steps
    assert (step.name, step.ok) == ("credentials", False)
    assert "nobody-has-this" in step.told
