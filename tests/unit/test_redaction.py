"""What is taken out of texts that are sent away: secrets of all kinds, wherever they stand, and not much else."""

import pytest

from mountctl.config.secrets import redacted
from mountctl.doctor.bundle import known_secrets

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
JWT = "eyJhbGciOiJIUzI1NiJ9xx.eyJzdWIiOiIxMjM0NTY3ODkw"
TOKEN = "IQoJb3JpZ2luX2VjE" + "Aa1+/" * 60 + "=="
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nabc\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"key {'AKIA' + 'Q' * 16} was refused", "AKIA" + "Q" * 16),
        (f"with {SECRET} here", SECRET),
        (f"token {JWT}.sig", JWT),
        (f"x {TOKEN} y", TOKEN),
        (f"before {PEM} after", "MIIEow"),
        (f"before {PEM[:50]}", "MIIEow"),
        ("http://user:hunter22@proxy:3128", "hunter22"),
        ("aws_session_token = short-one", "short-one"),
        ('"password": "hunter22"', "hunter22"),
        ("GET /x?X-Amz-Signature=0123abcd&y=1", "0123abcd"),
        ("Authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ("the credentials (key minio-admin) may not list", "minio-admin"),
        ("S3 refuses the key (InvalidAccessKeyId, key minio-admin): it is gone", "minio-admin"),
        ("key minio-admin", "minio-admin"),
        ("arn:aws:s3:eu-west-1:111122223333:accesspoint/p", "111122223333"),
    ],
)
def test_a_secret_is_taken_out_and_the_text_around_it_stays(text: str, secret: str) -> None:
    told = redacted(text)
    assert secret not in told
    assert "(hidden)" in told
    assert told.split("(hidden)")[0] == text[: len(told.split("(hidden)")[0])]


@pytest.mark.parametrize(
    "text",
    [
        "s3://company-results/2024/ at https://company-results.s3.eu-west-1.amazonaws.com",
        "1763942400120 2025-11-24T00:00:00.121Z ready -> recovering: the engine killed by SIGKILL",
        "/srv/models/a/very/long/path/" + "with-names/" * 20,
        "the key is too long for S3 (key 'a b')",
        "no credentials within 30 s: what they are asked from does not answer",
    ],
)
def test_what_is_none_stays(text: str) -> None:
    assert redacted(text) == text


def test_what_is_known_to_be_a_secret_is_taken_out_whatever_it_looks_like() -> None:
    known = known_secrets(
        {
            "AWS_SECRET_ACCESS_KEY": "plain-words",
            "HTTPS_PROXY": "http://someuser:pass:word1@p:1",
            "http_proxy": "otheruser:password2@p:1",
            "HOME": "/home/me-myself",
            "MAIL": "me-myself@host.example",
        }
    )
    assert known == {"plain-words", "someuser", "pass:word1", "otheruser", "password2"}
    assert redacted("a plain-words b pass:word1", known) == "a (hidden) b (hidden)"


def test_a_long_text_takes_no_time_that_anybody_notices() -> None:
    for text in ("a1B" * 100_000, "://" * 100_000, "token=" * 50_000, "-----BEGIN PRIVATE KEY-----" * 10_000):
        redacted(text)
