"""What requests to S3 cost: which price an operation has, and the sum. Pure.

Prices are those of requests alone: S3 also charges for storage, for data that leaves its region and for restoring.
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

Class = Literal["put", "get", "free"]

# S3 Standard in us-east-1 as of November 2026, https://aws.amazon.com/s3/pricing/: US dollars for 1,000 requests.
PUT_PRICE: Final = 0.005  # PUT, COPY, POST, LIST
GET_PRICE: Final = 0.0004  # GET, SELECT and all others
CURRENCY: Final = "USD"
# What the prices are for.
_REQUESTS: Final = 1000

# Operations whose requests are PUT, COPY, POST or LIST; and those that cost nothing: DELETE and CANCEL.
_PUTS: Final = frozenset(
    {
        "CompleteMultipartUpload",
        "CopyObject",
        "CreateMultipartUpload",
        "ListMultipartUploads",
        "ListObjectsV2",
        "ListParts",
        "PutObject",
        "UploadPart",
        "UploadPartCopy",
    }
)
_FREE: Final = frozenset({"AbortMultipartUpload", "DeleteObject"})


class Prices(NamedTuple):
    """Of 1,000 requests.

    Args:
        put: PUT, COPY, POST and LIST.
        get: GET and all others but DELETE, which costs nothing.
        currency: what they are in.
    """

    put: float = PUT_PRICE
    get: float = GET_PRICE
    currency: str = CURRENCY


class Requests(NamedTuple):
    """How many, by price."""

    put: int = 0
    get: int = 0
    free: int = 0

    def plus(self, more: "Requests") -> "Requests":
        """These and others."""
        return Requests(self.put + more.put, self.get + more.get, self.free + more.free)

    def cost(self, prices: Prices) -> float:
        """What they cost, in the prices' currency."""
        return (self.put * prices.put + self.get * prices.get) / _REQUESTS


def class_of(operation: str) -> Class:
    """Which price an operation has."""
    if operation in _PUTS:
        return "put"
    return "free" if operation in _FREE else "get"


def counted(operations: Mapping[str, int]) -> Requests:
    """Requests by operation, by price."""
    totals: dict[Class, int] = {"put": 0, "get": 0, "free": 0}
    for operation, count in operations.items():
        totals[class_of(operation)] += count
    return Requests(**totals)
