"""Preflight: why a mount can't be had, in a sentence that names the thing and the remedy."""

import pytest
import trio
import trio.testing

from engine import errors
from engine.link import Access
from engine.preflight import PREFLIGHT_SECONDS_MAX, Unmountable, check, explain, in_region, preflight
from engine.stats import EngineStats
from tests.faults import Answer, ScriptedServer
from tests.unit.asking import ACCESS, SPEC
from tests.unit.bucket import LIST, Bucket


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (errors.NoSuchBucket("no", status=404), ["'bucket' does not exist at http://s3:9000"]),
        (errors.AccessDenied("no", status=403, code="AccessDenied"), ["s3://bucket/p/", "s3:ListBucket", "AKID"]),
        (errors.AccessDenied("no", status=403, code="ExpiredToken"), ["have expired"]),
        (errors.AccessDenied("no", status=403, code="SignatureDoesNotMatch"), ["secret key does not fit"]),
        (errors.WrongRegion("no", region="eu-west-1"), ["eu-west-1", "set region = 'eu-west-1'"]),
        (errors.WrongRegion("no"), ["not in us-east-1", "set region"]),
        (errors.Unreachable("S3 at s3:9000 refused the connection"), ["refused", "is endpoint-url right?"]),
        (errors.Throttled("slow down", status=503), ["too busy"]),
        (errors.BadResponse("garbage"), ["garbage"]),
    ],
)
def test_each_failure_has_its_sentence_and_no_secret(error: errors.S3Error, said: list[str]) -> None:
    reason = explain(error, SPEC, ACCESS)

    for words in said:
        assert words in reason
    assert "hidden" not in reason


def test_an_anonymous_mount_is_not_told_about_keys() -> None:
    anonymous = ACCESS.model_copy(update={"credentials": None})
    assert "anonymous" in explain(errors.AccessDenied("no", status=403), SPEC, anonymous)


def test_the_check_lists_the_prefix_once() -> None:
    async def test() -> None:
        bucket = Bucket()
        await check(bucket, SPEC, ACCESS)
        assert bucket.requests == {LIST: 1}

    trio.run(test)


def test_a_failure_is_told_with_what_the_supervisor_shows() -> None:
    async def test() -> None:
        bucket = Bucket()
        bucket.failures[LIST] = errors.WrongRegion("no", region="eu-west-1", code="PermanentRedirect", status=301)
        with pytest.raises(Unmountable) as caught:
            await check(bucket, SPEC, ACCESS)
        assert (caught.value.code, caught.value.status, caught.value.region) == ("PermanentRedirect", 301, "eu-west-1")

    trio.run(test)


def test_silence_is_told_after_a_few_seconds() -> None:
    async def test() -> None:
        bucket = Bucket()
        bucket.gates[LIST] = trio.Event()
        began = trio.current_time()
        with pytest.raises(Unmountable, match="no answer within 5 s; is endpoint-url right"):
            await check(bucket, SPEC, ACCESS)
        assert trio.current_time() - began == PREFLIGHT_SECONDS_MAX

    trio.run(test, clock=trio.testing.MockClock(autojump_threshold=0))


def test_another_region_changes_the_signature_and_amazons_host_names_only() -> None:
    amazon = Access(name="m", endpoint="https://bucket.s3.us-east-1.amazonaws.com", region="us-east-1")

    assert in_region(amazon, "eu-west-1").endpoint == "https://bucket.s3.eu-west-1.amazonaws.com"
    assert in_region(ACCESS, "eu-west-1").endpoint == ACCESS.endpoint
    assert in_region(ACCESS, "eu-west-1").region == "eu-west-1"


@pytest.mark.parametrize(("told", "found"), [(False, "eu-west-3"), (True, None)])
def test_another_region_is_followed_only_if_nobody_chose_one(told: bool, found: str | None) -> None:
    moved = Answer(
        status=301,
        headers={"x-amz-bucket-region": "eu-west-3"},
        body=b"<Error><Code>PermanentRedirect</Code></Error>",
    )
    listing = Answer(body=b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
    server = ScriptedServer([moved, listing])

    async def test() -> None:
        async with server.running():
            access = server.access().model_copy(update={"region_told": told})
            if found is None:
                with pytest.raises(Unmountable, match="set region = 'eu-west-3'"):
                    await preflight(SPEC, access, EngineStats())
            else:
                assert (await preflight(SPEC, access, EngineStats())).region == found

    trio.run(test)
