"""What an inquiry (engine/inquiry.py) answers to `mountctl check --online`. A contract; no behaviour.

Fields are only ever added, with a default.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

StepName = Literal["credentials", "bucket", "region", "list", "get", "put"]


class Step(BaseModel):
    """One thing that a mount needs of S3.

    Args:
        name: what.
        ok: whether it is so; None: it can't be known.
        told: what was found, or what is wrong and how to mend it, as a sentence. Holds no secret.
        permission: the permission that is missing, as IAM policies call it; empty if it is not that.
    """

    model_config = ConfigDict(frozen=True)

    name: StepName
    ok: bool | None
    told: str
    permission: str = ""


class Answer(BaseModel):
    """All that S3 said of one mount, in the order in which it was asked, without what could not be asked any more."""

    model_config = ConfigDict(frozen=True)

    name: str
    steps: tuple[Step, ...]
