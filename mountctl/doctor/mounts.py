"""The configuration, and what S3 lets each mount do. Rules; pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from engine.answers import Answer, Step
from engine.spec import MountSpec
from mountctl.doctor.findings import Check, Finding, check
from mountctl.errors import Problem
from mountctl.iam_policy import DELETE

CONFIGURATION: Final = check(
    "configuration",
    "error",
    "a file with errors is not put in force: what was before goes on",
    "mend the line that is named; `mountctl check` tells all of them",
)
UNWISE: Final = check(
    "configuration-unwise", "warning", "it is legal, and seldom what is meant", "as the sentence says, or leave it"
)
CREDENTIALS: Final = check(
    "credentials",
    "error",
    "S3 lets nobody in whom it does not know",
    "as the sentence says; where keys may come from: docs/reference/credentials.md",
)
BUCKET: Final = check(
    "bucket",
    "error",
    "a mount is of a bucket that is there",
    "correct bucket, region or endpoint-url, or make the bucket",
)
REGION: Final = check("region", "error", "requests are signed for the bucket's region", "set region to the bucket's")
LIST: Final = check(
    "permission-list",
    "error",
    "directories and lookups are listings",
    "allow s3:ListBucket for the prefix: `mountctl iam-policy NAME` prints what is needed",
)
GET: Final = check(
    "permission-get",
    "error",
    "files are read by it",
    "allow s3:GetObject below the prefix, and kms:Decrypt where KMS encrypts: `mountctl iam-policy NAME`",
)
PUT: Final = check(
    "permission-put",
    "error",
    "the mount is not read-only: files are written by it, and uploads that break off are aborted",
    "allow s3:PutObject and s3:AbortMultipartUpload (`mountctl iam-policy NAME`), or set read-only = true",
)
DELETE_UNKNOWN: Final = check(
    "permission-delete",
    "info",
    f"files are deleted by {DELETE}; whether it is allowed is not tried, as where versions are kept even a delete of "
    "nothing leaves a marker",
    f"see that {DELETE} is allowed: `mountctl iam-policy NAME` prints what is needed",
)
UNKNOWN: Final = check(
    "not-known",
    "info",
    "S3 tells nobody more without a permission that is lacking",
    "mend what else is told of this mount",
)
_STEPS: Final[Mapping[str, Check]] = {
    "credentials": CREDENTIALS,
    "bucket": BUCKET,
    "region": REGION,
    "list": LIST,
    "get": GET,
    "put": PUT,
}


def of_configuration(problems: Sequence[Problem], warnings: Sequence[Problem], told: str) -> Iterator[Finding]:
    """What `mountctl check` tells. `told`: of a file without errors."""
    for problem in problems:
        yield CONFIGURATION.found(str(problem))
    for warning in warnings:
        yield UNWISE.found(str(warning))
    if not problems:
        yield CONFIGURATION.ok(told)


def of_answer(answer: Answer, spec: MountSpec) -> Iterator[Finding]:
    """What S3 lets a mount do, of what its options need."""
    for step in answer.steps:
        yield _step(step, answer.name)
    if spec.allow_delete and not spec.read_only:
        yield DELETE_UNKNOWN.found(f"allow-delete needs {DELETE}, which is not tried", answer.name)


def _step(step: Step, mount: str) -> Finding:
    its = _STEPS[step.name]
    if step.ok is None:
        return UNKNOWN.found(f"{step.name}: {step.told}", mount)
    return its.ok(step.told, mount) if step.ok else its.found(step.told, mount)
