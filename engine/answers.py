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


class Reach(BaseModel):
    """How a mount's S3 is reached (engine/reach.py), as far as it was found out.

    Args:
        name: the mount.
        trouble: why nothing more is known: no endpoint, no usable proxy.
        endpoint: the URL in front of keys.
        host: its host's name.
        proxy: host and port of the proxy that it is reached by; empty: none.
        proxy_from: the variable that names it.
        name_trouble: why the name (the proxy's, where there is one) has no address; empty: it has.
        addresses: that it has.
        date_trouble: why no answer came; empty: one came, or none was asked for.
        ahead_seconds: by how much this host's clock is ahead of S3's; None: not known.
        credentials_source: which link of the chain gave keys; empty: none, or not asked.
        credentials_trouble: why there are none.
        metadata: what the instance's metadata service said: `ok`, `silent` to a request of a token although it is
            there, `absent`; empty: it was not asked, as no keys come from it.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    trouble: str = ""
    endpoint: str = ""
    host: str = ""
    proxy: str = ""
    proxy_from: str = ""
    name_trouble: str = ""
    addresses: tuple[str, ...] = ()
    date_trouble: str = ""
    ahead_seconds: float | None = None
    credentials_source: str = ""
    credentials_trouble: str = ""
    metadata: str = ""
