"""Which error an answer is, whether to try again, and how long to wait."""

import pytest

from engine.errors import (
    AccessDenied,
    AlreadyExists,
    ArchivedObject,
    BadResponse,
    EntityTooLarge,
    KeyTooLong,
    NoSuchBucket,
    NoSuchKey,
    NoSuchUpload,
    PreconditionFailed,
    RangeNotSatisfiable,
    S3Error,
    Throttled,
    Unreachable,
    WrongRegion,
)
from engine.s3.documents import ErrorDocument
from engine.s3.pool import CERTIFICATE_REFUSED
from engine.s3.retry import (
    BODY_BYTES_PER_SECOND,
    DELAY_SECONDS,
    DELAY_SECONDS_MAX,
    RETRYING_SECONDS_MAX,
    are_keys_refused,
    delay,
    error_of,
    is_transient,
    is_worth_another,
    pause,
)


def made(status: int, code: str = "", operation: str = "GetObject", **headers: str) -> S3Error:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return error_of(operation, "key", status, named, ErrorDocument(code=code), "us-east-1")


@pytest.mark.parametrize(
    ("status", "code", "operation", "kind", "again"),
    [
        (404, "NoSuchKey", "GetObject", NoSuchKey, False),
        (404, "", "HeadObject", NoSuchKey, False),
        (404, "NoSuchBucket", "GetObject", NoSuchBucket, False),
        (404, "", "ListObjectsV2", NoSuchBucket, False),
        (404, "", "HeadBucket", NoSuchBucket, False),
        (403, "AccessDenied", "GetObject", AccessDenied, False),
        (403, "", "HeadObject", AccessDenied, False),
        (403, "SignatureDoesNotMatch", "GetObject", AccessDenied, False),
        (403, "RequestTimeTooSkewed", "GetObject", AccessDenied, False),
        (400, "ExpiredToken", "GetObject", AccessDenied, False),
        (403, "InvalidObjectState", "GetObject", ArchivedObject, False),
        (412, "", "GetObject", PreconditionFailed, False),
        (416, "InvalidRange", "GetObject", RangeNotSatisfiable, False),
        (416, "", "GetObject", RangeNotSatisfiable, False),
        (503, "SlowDown", "GetObject", Throttled, True),
        (503, "", "HeadObject", Throttled, True),
        (429, "", "GetObject", Throttled, True),
        (500, "InternalError", "GetObject", S3Error, True),
        (502, "", "GetObject", S3Error, True),
        (504, "", "GetObject", S3Error, True),
        (400, "RequestTimeout", "GetObject", S3Error, True),
        (400, "InvalidArgument", "GetObject", S3Error, False),
        (501, "NotImplemented", "GetObject", S3Error, False),
    ],
)
def test_each_answer_is_its_error_and_is_retried_or_not(
    status: int, code: str, operation: str, kind: type[S3Error], again: bool
) -> None:
    error = made(status, code, operation)
    assert type(error) is kind
    assert is_transient(error) is again
    assert (error.status, error.code, error.key) == (status, code, "key")


@pytest.mark.parametrize(
    ("status", "code"), [(301, "PermanentRedirect"), (307, ""), (400, ""), (400, "AuthorizationHeaderMalformed")]
)
def test_a_bucket_elsewhere_is_told_with_its_region(status: int, code: str) -> None:
    error = made(status, code, x_amz_bucket_region="eu-west-1")
    assert isinstance(error, WrongRegion)
    assert error.region == "eu-west-1"
    assert not is_transient(error)


def test_the_region_may_come_in_the_body() -> None:
    said = ErrorDocument(code="AuthorizationHeaderMalformed", region="ap-south-1")
    error = error_of("ListObjectsV2", "", 400, {}, said, "us-east-1")
    assert isinstance(error, WrongRegion)
    assert error.region == "ap-south-1"


def test_a_denial_in_the_right_region_is_no_wrong_region() -> None:
    assert isinstance(made(403, "AccessDenied", x_amz_bucket_region="us-east-1"), AccessDenied)
    assert not isinstance(made(400, "InvalidArgument", x_amz_bucket_region="us-east-1"), WrongRegion)


def test_a_wrong_clock_is_told_as_such() -> None:
    assert "clock" in str(made(403, "RequestTimeTooSkewed"))


def test_the_request_id_is_kept_for_support() -> None:
    assert made(500, x_amz_request_id="ABC").request_id == "ABC"
    assert error_of("GetObject", "k", 500, {}, ErrorDocument(request_id="XYZ")).request_id == "XYZ"


def test_both_ids_of_a_refused_request_are_in_what_is_told_of_it() -> None:
    for status in (500, 301):
        for told in (
            made(status, x_amz_request_id="ABC", x_amz_id_2="host/+="),
            error_of("GetObject", "k", status, {}, ErrorDocument(request_id="ABC", host_id="host/+=")),
        ):
            assert (told.request_id, told.host_id) == ("ABC", "host/+=")
            assert "request_id='ABC' host_id='host/+='" in str(told)


def test_what_broke_on_the_way_is_worth_another_attempt_but_a_refused_certificate_is_not() -> None:
    assert is_transient(Unreachable("reset"))
    assert is_transient(BadResponse("truncated"))
    assert not is_transient(Unreachable("not trusted", code=CERTIFICATE_REFUSED))


@pytest.mark.parametrize(
    ("failures", "seconds", "again"),
    [(1, 0.0, True), (9, 59.0, True), (10, 1.0, False), (2, RETRYING_SECONDS_MAX, False)],
)
def test_attempts_end_with_their_number_or_with_the_time(failures: int, seconds: float, again: bool) -> None:
    error = Unreachable("reset")
    assert is_worth_another(error, failures=failures, attempts_max=10, seconds=seconds) is again
    assert not is_worth_another(NoSuchKey("gone"), failures=1, attempts_max=10, seconds=0.0)


def test_the_time_that_a_body_takes_on_a_slow_line_is_not_held_against_it() -> None:
    error, body_bytes = Unreachable("reset"), 8 * 1024 * 1024
    seconds = RETRYING_SECONDS_MAX + body_bytes / BODY_BYTES_PER_SECOND
    assert is_worth_another(error, failures=1, attempts_max=10, seconds=seconds - 1, body_bytes=body_bytes)
    assert not is_worth_another(error, failures=1, attempts_max=10, seconds=seconds, body_bytes=body_bytes)


@pytest.mark.parametrize(
    ("status", "code", "operation", "kind", "again"),
    [
        (404, "NoSuchUpload", "UploadPart", NoSuchUpload, False),
        (404, "", "UploadPart", NoSuchUpload, False),
        (404, "NoSuchBucket", "CreateMultipartUpload", NoSuchBucket, False),
        (404, "", "PutObject", NoSuchBucket, False),
        (412, "PreconditionFailed", "PutObject", AlreadyExists, False),
        (412, "", "CompleteMultipartUpload", AlreadyExists, False),
        (409, "ConditionalRequestConflict", "PutObject", S3Error, True),
        (400, "EntityTooLarge", "PutObject", EntityTooLarge, False),
        (400, "KeyTooLongError", "PutObject", KeyTooLong, False),
        (400, "InvalidStorageClass", "PutObject", S3Error, False),
        (400, "KMS.DisabledException", "PutObject", S3Error, False),
        (400, "BadDigest", "UploadPart", S3Error, False),
        (400, "IncompleteBody", "UploadPart", S3Error, True),
        (400, "RequestTimeout", "UploadPart", S3Error, True),
        (200, "InternalError", "CompleteMultipartUpload", S3Error, True),
        (200, "SlowDown", "CompleteMultipartUpload", Throttled, True),
        (200, "InvalidPart", "CompleteMultipartUpload", S3Error, False),
    ],
)
def test_what_an_answer_to_a_write_means(status: int, code: str, operation: str, kind: type, *, again: bool) -> None:
    error = made(status, code, operation)
    assert type(error) is kind
    assert is_transient(error) is again


@pytest.mark.parametrize(
    ("status", "code", "worked", "refused"),
    [
        (400, "ExpiredToken", False, True),
        (403, "InvalidAccessKeyId", False, True),
        (400, "TokenRefreshRequired", False, True),
        (403, "SignatureDoesNotMatch", True, True),
        (403, "SignatureDoesNotMatch", False, False),  # a wrong secret: new keys would be the same
        (403, "AccessDenied", True, False),
        (403, "RequestTimeTooSkewed", True, False),
        (400, "", True, True),  # HEAD of an expired token
        (400, "InvalidArgument", True, False),
        (403, "", True, False),
    ],
)
def test_new_keys_are_worth_it_when_these_are_no_longer_good(
    status: int, code: str, worked: bool, refused: bool
) -> None:
    assert are_keys_refused(made(status, code, "HeadObject"), keys_worked=worked) is refused


def test_delays_double_from_the_scale_to_the_cap_and_are_drawn_from_all_of_it() -> None:
    assert [delay(failures, 1.0) for failures in (1, 2, 3)] == [DELAY_SECONDS, 2 * DELAY_SECONDS, 4 * DELAY_SECONDS]
    assert delay(30, 1.0) == DELAY_SECONDS_MAX
    assert delay(5, 0.0) == 0.0
    assert delay(2, 0.5) == DELAY_SECONDS


def test_a_connection_that_broke_is_replaced_at_once_but_not_one_after_the_other() -> None:
    broken = Unreachable("reset")
    broken.cut = True
    assert pause(broken, 1, 1.0) == 0.0
    assert pause(broken, 2, 1.0) == delay(2, 1.0)
    assert pause(Unreachable("silent"), 1, 1.0) == delay(1, 1.0)
