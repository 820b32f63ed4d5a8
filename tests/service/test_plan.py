"""`mountctl plan`: tells what the reload that follows does, and touches nothing."""

import json

from tests.servers import S3Server
from tests.service.running import Running


def test_plan_tells_what_a_reload_then_does_and_touches_nothing(running: Running, moto: S3Server) -> None:
    bucket = {"bucket": moto.bucket()}
    running.configure(moto, same=bucket, gone=bucket, options=bucket, moved=bucket, other=bucket)

    with running.running():
        assert running.run("plan").returncode == 0
        before = running.status()
        place = str(running.mountpoint("elsewhere"))
        running.configure(
            moto,
            same=bucket,
            options=bucket | {"uid": 5, "file_mode": "0600"},
            moved=bucket | {"mountpoint": place},
            other=bucket | {"prefix": "x/"},
            new=bucket,
        )
        done = running.run("plan", "--json")
        plan = {mount["name"]: mount for mount in json.loads(done.stdout)["mounts"]}

        assert done.returncode == 2, done.stderr
        assert {name: mount["action"] for name, mount in plan.items()} == {
            "gone": "remove",
            "moved": "move",
            "new": "add",
            "options": "handover",
            "other": "replace",
            "same": "nothing",
        }
        assert plan["options"]["keys"] == [
            {"key": "uid", "before": None, "after": 5},
            {"key": "file-mode", "before": "0644", "after": "0600"},
        ]
        assert plan["moved"]["keys"] == [
            {"key": "mountpoint", "before": str(running.mountpoint("moved")), "after": place}
        ]
        after = running.status()
        assert [m["engine"]["pid"] for m in after["mounts"]] == [m["engine"]["pid"] for m in before["mounts"]]
        assert after["supervisor"]["generation"] == before["supervisor"]["generation"]
        assert running.run("reload").returncode == 0
        assert running.run("plan").returncode == 0


def test_plan_of_a_broken_file_is_1_with_its_line_and_no_reload_that_was_refused(
    running: Running, moto: S3Server
) -> None:
    running.configure(moto, data={"bucket": moto.bucket()})

    with running.running():
        running.config.write_text(running.config.read_text() + "\n[mount.bad]\nbuckt = 'abc'\n")
        done = running.run("plan")

        assert (done.returncode, done.stdout) == (1, "")
        assert f"{running.config}:" in done.stderr
        assert running.status()["health"] == "ready"
