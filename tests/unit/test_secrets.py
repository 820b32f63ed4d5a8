"""What looks like a secret: one rule, for errors of a configuration, for what it means, and for a plan."""

import pytest

from mountctl import plan
from mountctl.config import words
from mountctl.config.secrets import looks_secret, speaks_of_secret

KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCY7EXAMPLEKE"


@pytest.mark.parametrize(
    "text",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "s3://ASIAIOSFODNN7EXAMPLE@bucket",
        KEY,
        f"x {KEY}",
        f"key={KEY}&x",
        f'"{KEY}"',
        "-----BEGIN RSA PRIVATE KEY-----",
        "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.c2ln",
    ],
)
def test_what_looks_like_a_secret_is_shown_neither_in_an_error_nor_in_a_plan(text: str) -> None:
    assert looks_secret(text)
    assert words.shown(text) == words.HIDDEN
    assert plan.shown(text) == plan.HIDDEN


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s3://bucket/a/long/prefix/of/many/parts/and/more/",
        "/etc/ssl/certs/a-long-name-of-a-bundle-in-a-directory.pem",
        "/srv/Data1/of/many/parts/and/of/40/signs",
        "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        "arn:aws:s3:eu-west-1:111122223333:accesspoint/my-access-point",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        f"a{KEY}",
        f"{KEY}=",
    ],
)
def test_what_looks_like_an_option_is_shown_everywhere(text: str) -> None:
    assert not looks_secret(text)
    assert plan.shown(text) == text
    assert words.HIDDEN not in words.shown(text)


@pytest.mark.parametrize("text", ["password=x", "my-Token", "the.SECRET.one"])
def test_what_speaks_of_a_secret_is_not_in_a_plan_and_may_be_in_an_error(text: str) -> None:
    assert speaks_of_secret(text)
    assert plan.shown(["a", text]) == ["a", plan.HIDDEN]
    assert text in words.shown(text)
