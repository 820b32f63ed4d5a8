"""What of a mount's options concerns the way to S3: authorities and the client."""

import os
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from engine.errors import S3Error
from engine.read.window import CALM_BYTES, WIDTH_BYTES_MAX, width_for
from engine.s3 import configured, tls
from engine.s3.configured import Authorities, CaBundleUnusable, client_for, read_authorities
from engine.s3.retry import ATTEMPTS_MAX
from engine.spec import MountSpec
from engine.stats import EngineStats
from tests.certificates import Authority
from tests.faults import ScriptedServer, error


def spec(**options: Any) -> MountSpec:
    return MountSpec(**{"name": "m", "bucket": "my-bucket", "mountpoint": "/mnt/m", **options})


def trouble(authorities: Authorities) -> str:
    with pytest.raises(CaBundleUnusable) as caught:
        authorities.trust()
    return str(caught.value)


@pytest.mark.parametrize("comment", ["", "Müller's authority\n"])
def test_only_what_the_file_holds_is_trusted(tmp_path: Path, comment: str) -> None:
    ours = Authority("ours")
    path = tmp_path / "ca.pem"
    path.write_text(comment + ours.pem)

    trusted = read_authorities(spec(ca_bundle=str(path))).trust()

    assert trusted is not None
    assert [dict(name for (name,) in found["subject"])["commonName"] for found in trusted.get_ca_certs()] == ["ours"]


def test_the_option_wins_over_the_variable_and_without_both_the_system_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "variable.pem"))
    assert trouble(read_authorities(spec())).startswith("AWS_CA_BUNDLE: cannot read ")
    told = trouble(read_authorities(spec(ca_bundle=str(tmp_path / "option.pem"))))
    assert told == f"ca-bundle: cannot read {tmp_path}/option.pem: No such file or directory"
    monkeypatch.delenv("AWS_CA_BUNDLE")
    assert read_authorities(spec()).trust() is None


@pytest.mark.parametrize("variable", [True, False])
def test_what_was_read_before_is_not_read_again_unless_it_is_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: bool
) -> None:
    path = tmp_path / "ca.pem"
    path.write_text(Authority("ours").pem)
    monkeypatch.setenv("AWS_CA_BUNDLE" if variable else "SSL_CERT_FILE", str(path))
    monkeypatch.delenv("SSL_CERT_FILE" if variable else "AWS_CA_BUNDLE", raising=False)
    monkeypatch.setattr(configured, "_preloaded", None)
    tls.trust.cache_clear()
    configured.preload()

    before = read_authorities(spec()).trust()
    assert before is not None
    assert read_authorities(spec()).trust() is before
    path.write_text(Authority("another").pem + "\n")
    assert read_authorities(spec()).trust() is not before
    tls.trust.cache_clear()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "has no certificate in it"),
        (b"junk", "has no certificate in it"),
        (b"-----BEGIN CERTIFICATE-----\njunk\n-----END CERTIFICATE-----\n", "is not a PEM file of certificates"),
        (b"-----BEGIN CERTIFICATE-----\n" * 40_000, "is larger than 1 MiB"),
    ],
    ids=["empty", "other", "broken", "large"],
)
def test_a_file_that_holds_no_authority_never_means_to_trust_the_systems(
    tmp_path: Path, content: bytes, told: str
) -> None:
    path = tmp_path / "ca.pem"
    path.write_bytes(content)

    assert told in trouble(read_authorities(spec(ca_bundle=str(path))))


@pytest.mark.parametrize(
    ("told", "most", "attempts"), [(None, None, ATTEMPTS_MAX), (3, None, 3), (20, 4, 4), (2, 4, 2)]
)
def test_a_request_is_attempted_as_often_as_the_access_allows_and_not_more_than_asked(
    told: int | None, most: int | None, attempts: int
) -> None:
    server = ScriptedServer([error(500, "InternalError")])

    async def main() -> None:
        async with server.running():
            access = server.access().model_copy(update={"attempts_max": told})
            client = client_for(spec(), access, EngineStats(), attempts_max=most)
            with pytest.raises(S3Error):
                await client.head_object("k")
            await client.aclose()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.02))
    assert len(server.seen) == attempts


def test_what_was_read_as_root_is_good_for_a_user_who_may_not_read_it(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text(Authority("ours").pem)
    path.chmod(0o600)
    authorities = read_authorities(spec(ca_bundle=str(path)))

    os.seteuid(65534)
    try:
        assert authorities.trust() is not None
        assert "Permission denied" in trouble(read_authorities(spec(ca_bundle=str(path))))
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(
    ("gbps", "width"),
    [(None, WIDTH_BYTES_MAX), (1, CALM_BYTES), (4, 50_000_000), (8, 100_000_000), (100, WIDTH_BYTES_MAX)],
)
def test_reading_ahead_covers_the_throughput_that_is_to_be_had(gbps: int | None, width: int) -> None:
    assert CALM_BYTES <= width_for(gbps) == width
