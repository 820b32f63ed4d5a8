"""S3 reached by a proxy: the supervisor's or a mount's own; a change of it restarts no engine, its password hides."""

from pathlib import Path

from tests.certificates import Authority
from tests.faults import FaultyProxy
from tests.proxies import ForwardProxy
from tests.servers import S3Server
from tests.service.running import Running, poll_until


def test_the_supervisors_proxy_and_a_mounts_own_are_used_and_changed_without_another_engine(
    running: Running, moto: S3Server, bucket: str
) -> None:
    with ForwardProxy("me:very-secret") as general, ForwardProxy() as own, ForwardProxy() as later:
        running.environment["HTTP_PROXY"] = f"http://me:very-secret@{general.address}"
        mount = {"bucket": bucket, "debug": True}
        running.configure(moto, plain=mount, own=mount | {"environment": {"HTTP_PROXY": own.url}})
        with running.running():
            pid = running.mount("own")["engine"]["pid"]
            for name in ("plain", "own"):
                assert (running.mountpoint(name) / "x").read_bytes() == b"x"
            assert general.requests
            assert own.requests

            running.configure(moto, plain=mount, own=mount | {"environment": {"HTTP_PROXY": later.url}})
            assert "changed live" in running.run("reload").stdout

            def asks_the_other() -> bool:
                (running.mountpoint("own") / "nothing").exists()
                return bool(later.requests)

            poll_until(asks_the_other, "the other proxy to be used")
            assert running.mount("own")["engine"]["pid"] == pid
            seen = running.run("status", "--json").stdout
            for each in running.status()["mounts"]:
                seen += Path(f"/proc/{each['engine']['pid']}/environ").read_text(errors="replace")
    seen += running.log_text()
    assert "very-secret" not in seen
    assert "is set and not" not in seen


def test_an_encrypted_endpoint_is_reached_through_a_tunnel(
    running: Running, moto: S3Server, bucket: str, tmp_path: Path
) -> None:
    authority, bundle = Authority("s3"), tmp_path / "ca.pem"
    bundle.write_text(authority.pem)
    with FaultyProxy(moto.endpoint, tls=authority.server_side(tmp_path)) as s3, ForwardProxy() as proxy:
        running.configure(
            s3.endpoint,
            data={"bucket": bucket, "ca_bundle": str(bundle), "environment": {"HTTPS_PROXY": proxy.url}},
        )
        with running.running():
            assert (running.mountpoint("data") / "x").read_bytes() == b"x"
        assert set(proxy.connects) == {s3.endpoint.removeprefix("https://")}
        assert len(proxy.connects) == len({seen.connection for seen in s3.seen})


def test_a_proxy_that_is_not_there_is_the_mounts_trouble(running: Running, moto: S3Server, bucket: str) -> None:
    with ForwardProxy() as proxy:
        away = proxy.url
    running.configure(moto, data={"bucket": bucket, "environment": {"HTTP_PROXY": away}})
    with running.running("backoff"):
        poll_until(lambda: "the proxy 127.0.0.1:" in (running.mount("data")["reason"] or ""), "it to be told")
