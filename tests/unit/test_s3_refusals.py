"""What S3 and the credential chain say no with: the code that a program goes by, and a sentence for a person."""

import pytest
from botocore.exceptions import (
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
)
from grpc import StatusCode

from mountctl.csi.s3_refusals import refused, unanswered


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        ("NoSuchBucket", 404, StatusCode.NOT_FOUND),
        ("AccessDenied", 403, StatusCode.PERMISSION_DENIED),
        ("ExpiredToken", 400, StatusCode.UNAUTHENTICATED),
        ("InvalidAccessKeyId", 403, StatusCode.UNAUTHENTICATED),
        ("SlowDown", 503, StatusCode.UNAVAILABLE),
        ("SomethingNew", 500, StatusCode.UNAVAILABLE),
        ("SomethingNew", 400, StatusCode.INTERNAL),
        ("", 403, StatusCode.PERMISSION_DENIED),
        ("PermanentRedirect", 301, StatusCode.INVALID_ARGUMENT),
        ("OperationAborted", 409, StatusCode.ABORTED),
    ],
)
def test_codes_of_s3(error: str, status: int, code: StatusCode) -> None:
    said = refused({"Error": {"Code": error}, "ResponseMetadata": {"HTTPStatusCode": status}}, "read a")

    assert said.code is code
    assert str(said).startswith("S3 would not read a: ")


def test_the_sentence_has_s3s_own_words_and_what_to_do() -> None:
    error = {"Code": "NoSuchBucket", "Message": "The specified bucket\ndoes not exist."}

    told = str(refused({"Error": error}, "read a in bucket b"))

    assert told.startswith(
        "S3 would not read a in bucket b: NoSuchBucket: The specified bucket\\ndoes not exist (make it"
    )


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NoCredentialsError(), StatusCode.UNAUTHENTICATED),
        (CredentialRetrievalError(provider="p", error_msg="m"), StatusCode.UNAUTHENTICATED),
        (EndpointConnectionError(endpoint_url="http://127.0.0.1:9"), StatusCode.UNAVAILABLE),
        (ParamValidationError(report="wrong"), StatusCode.INVALID_ARGUMENT),
    ],
)
def test_no_answer(error: Exception, code: StatusCode) -> None:
    assert unanswered(error, "read a").code is code
