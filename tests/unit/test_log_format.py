"""Log records as text, JSON and fields of the journal: what was logged can be read back, and no line is forged."""

import json
import logging
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import AccessDenied, UploadFailed
from engine.facts import Facts, about, attach, facts_of, packed, unpacked
from engine.log_format import JsonFormat, TextFormat, journal_fields, of_process
from engine.message_ids import INTERNAL_ERROR, KINDS, REQUEST_FAILED

OF_DATA = of_process("data", mount=True)
ANYTHING = st.text(st.characters(), max_size=40)  # surrogates, too: bytes of a name that are no UTF-8


def record(text: str, facts: dict[str, Facts] | None = None, exc: Exception | None = None) -> logging.LogRecord:
    exc_info = None if exc is None else (type(exc), exc, exc.__traceback__)
    made = logging.LogRecord("engine.x", logging.WARNING, "x.py", 1, "%s", (text,), exc_info)
    for name, value in (facts or {}).items():
        setattr(made, name, value)
    return made


def refused(key: str = "a/b") -> dict[str, Facts]:
    error = AccessDenied("no", code="AccessDenied", status=403, key=key, request_id="REQ", host_id="HOST=")
    error.attempts = 2
    return about(REQUEST_FAILED, verb="read", key=key, errno="EACCES", error=error)


def test_json_has_a_key_for_each_thing_that_is_known() -> None:
    told = json.loads(JsonFormat(OF_DATA).format(record("read of x", refused())))

    assert told.pop("pid") > 0
    assert told.pop("time").endswith("Z")
    assert told == {
        "level": "warning",
        "mount": "data",
        "message": "read of x",
        "message_id": REQUEST_FAILED.id,
        "verb": "read",
        "key": "a/b",
        "errno": "EACCES",
        "s3_code": "AccessDenied",
        "status": 403,
        "request_id": "REQ",
        "host_id": "HOST=",
        "attempts": 2,
    }


def test_the_journal_has_a_field_for_each_thing_that_is_known() -> None:
    assert dict(journal_fields(record("read of x", refused()), OF_DATA)) == {
        "MESSAGE": "data: read of x",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "mountctl",
        "MESSAGE_ID": REQUEST_FAILED.id,
        "MOUNTCTL_MOUNT": "data",
        "MOUNTCTL_VERB": "read",
        "MOUNTCTL_KEY": "a/b",
        "MOUNTCTL_ERRNO": "EACCES",
        "MOUNTCTL_S3_CODE": "AccessDenied",
        "MOUNTCTL_S3_STATUS": "403",
        "MOUNTCTL_REQUEST_ID": "REQ",
        "MOUNTCTL_HOST_ID": "HOST=",
        "MOUNTCTL_ATTEMPTS": "2",
    }


def test_text_is_as_a_person_reads_it() -> None:
    assert TextFormat(OF_DATA, time=False).format(record("read of x")) == "WARNING data: read of x"
    assert TextFormat(OF_DATA, time=False, named=False).format(record("read of x")) == "WARNING read of x"
    of_broker = of_process("broker", mount=False)
    assert TextFormat(of_broker, time=False).format(record("x")) == "WARNING broker: x"
    assert TextFormat(OF_DATA, time=True).format(record("x")).endswith(" WARNING data: x")


def formats() -> Iterator[logging.Formatter]:
    yield TextFormat(OF_DATA, time=False)
    yield JsonFormat(OF_DATA)


@given(ANYTHING, ANYTHING)
def test_whatever_a_key_or_an_error_says_begins_no_line(text: str, reason: str) -> None:
    for form in formats():
        first, *rest = form.format(record(text, refused(key=text), ValueError(reason))).splitlines()
        assert first.startswith(("WARNING data: ", '{"time"'))
        assert all(line.startswith("    ") for line in rest)
        assert form.format(record(text, refused(key=text), ValueError(reason))).encode(errors="backslashreplace")


@given(ANYTHING)
def test_any_key_comes_back_from_json(key: str) -> None:
    said = json.loads(JsonFormat(OF_DATA).format(record(key, refused(key=key))))
    assert said.get("key", "") == key.encode(errors="backslashreplace").decode()


def test_what_s3_said_is_found_beneath_the_error_that_a_program_sees() -> None:
    try:
        try:
            raise AccessDenied("no", code="AccessDenied", status=403, key="k", request_id="REQ")
        except AccessDenied as cause:
            raise UploadFailed("not stored") from cause
    except UploadFailed as error:
        told = about(REQUEST_FAILED, error=error)["facts"]
    assert (told.s3_code, told.request_id, told.key) == ("AccessDenied", "REQ", "k")


def test_facts_arrive_from_a_fetcher_as_they_were_but_for_what_is_too_long() -> None:
    [facts] = refused("k" * 1000).values()
    assert unpacked(json.loads(json.dumps(packed(facts, 60)))) == facts
    assert unpacked(packed(Facts(s3_code="x" * 100), 60)) == Facts(s3_code="x" * 60)
    assert facts_of(record("x")) == Facts() == unpacked({})


def test_a_traceback_that_nobody_has_foreseen_is_an_internal_error() -> None:
    try:
        raise RuntimeError("oh")
    except RuntimeError:
        unforeseen = record("x")
        unforeseen.exc_info = sys.exc_info()
    assert facts_of(unforeseen).kind is INTERNAL_ERROR
    foreseen = attach(unforeseen, Facts(REQUEST_FAILED))
    assert facts_of(foreseen).kind is REQUEST_FAILED
    outside = record("x")
    outside.exc_info = sys.exc_info()  # `exc_info=True` where nothing was raised
    assert facts_of(outside).kind is None


def test_ids_of_messages_are_ids_and_no_two_the_same() -> None:
    ids = [kind.id for kind in KINDS.values()]
    assert len(set(ids)) == len(ids) > 0
    for each in ids:
        assert len(bytes.fromhex(each)) == 16


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_each_kind_of_message_is_explained(kind: object) -> None:
    assert all(text and text[0].isupper() for text in (kind.subject, kind.meaning))  # type: ignore[attr-defined]
