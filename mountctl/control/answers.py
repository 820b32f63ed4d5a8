"""An answer of the control socket's server, and those that are no success. Pure."""

from dataclasses import dataclass

from pydantic import ValidationError

from mountctl.control.protocol import ErrorBody, packed
from mountctl.volume import Cause


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: HTTP's status, a body and its type, and the methods that are allowed, if another was used."""

    status: int
    body: bytes
    allow: str = ""
    content_type: str = "application/json"


def problem(status: int, sentence: str, *, allow: str = "", cause: Cause | None = None) -> Answer:
    """That something is wrong, in a sentence."""
    return Answer(status, packed(ErrorBody(error=sentence, cause=cause)), allow)


def told(error: ValidationError) -> str:
    """What is wrong with a body, by its keys."""
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors(include_url=False))
