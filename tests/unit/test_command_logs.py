"""`mountctl logs`: which entries of the journal are a mount's, in whatever form they were logged."""

import json
import logging

import pytest

from engine.log_format import JsonFormat, TextFormat, journal_fields, of_process
from mountctl.commands.logs import _told_of

DATA = of_process("data", mount=True)
OTHER = of_process("other", mount=True)
RECORD = logging.LogRecord("x", logging.ERROR, "x.py", 1, "it is so", (), None)


@pytest.mark.parametrize("form", ["text", "json", "journal"])
def test_a_line_of_this_mount_is_shown_and_those_of_others_are_not(form: str) -> None:
    for split, shown in ((DATA, "ERROR data: it is so"), (OTHER, None)):
        entry: dict[str, str] = {}
        match form:
            case "text":
                entry["MESSAGE"] = TextFormat(split, time=False).format(RECORD)
            case "json":
                entry["MESSAGE"] = JsonFormat(split).format(RECORD)
            case _:
                entry |= journal_fields(RECORD, split)
        assert _told_of("data", entry["MESSAGE"], entry) == shown


@pytest.mark.parametrize("message", ["{", "{}", "", "ERROR", "[]", json.dumps({"mount": 1})])
def test_what_others_log_is_passed_by(message: str) -> None:
    assert _told_of("data", message, {}) is None
