"""`mountctl doctor --bundle` with secrets planted wherever they could be: all that helps is in it, and none of them."""

import json
import subprocess
import tarfile
from pathlib import Path
from typing import Final

import pytest

from tests.servers import MotoServer
from tests.service.running import MOUNTCTL, Running, poll_until

SECONDS_MAX: Final = 180.0
ID: Final = "AKIAPLANTEDPLANTED01"
SECRET: Final = "pLantedSecret/K7MDENGbPxRfiCYEXAMPLEKEY1"
TOKEN: Final = "planted-session-token-of-no-shape"
PASSWORD: Final = "planted-password"
ACCOUNT: Final = "111122223333"
COMMENT: Final = "AKIAPLANTEDCOMMENT01"
IN_NAME: Final = "AKIAPLANTEDINNAME001"
OTHER_ID: Final = "planted-minio-user"
OTHER_SECRET: Final = "planted-minio-secret"


@pytest.mark.slow
def test_a_bundle_has_what_helps_and_no_secret(running: Running, moto: MotoServer, tmp_path: Path) -> None:
    bucket = moto.bucket()
    profiles = tmp_path / "credentials"
    profiles.write_text(f"[other]\naws_access_key_id = {OTHER_ID}\naws_secret_access_key = {OTHER_SECRET}\n")
    running.environment |= {
        "AWS_SHARED_CREDENTIALS_FILE": str(profiles),
        "AWS_ACCESS_KEY_ID": ID,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_SESSION_TOKEN": TOKEN,
        "HTTPS_PROXY": f"http://planted-user:{PASSWORD}@127.0.0.1:9",
        "PLANTED_TOKEN": TOKEN,
    }
    mount = {"bucket": bucket, "expected_bucket_owner": ACCOUNT, "user_agent_prefix": "${env:PLANTED_TOKEN}"}
    running.configure(
        moto,
        a=mount,
        b={"bucket": f"gone-{IN_NAME.lower()}"},
        c={"bucket": bucket, "prefix": f"{IN_NAME}/"},
        d={"bucket": bucket, "prefix": "d/", "profile": "other"},
    )
    with running.config.open("a") as file:
        file.write(f"# aws_secret_access_key = {SECRET} {COMMENT}\n")
    path = tmp_path / "bundle.tar.gz"
    with running.running("ready", "failed", "backoff", "degraded"):
        poll_until(lambda: "gone-" in running.log_text(), "the log to tell of a bucket that is not there")
        command = [MOUNTCTL, "doctor", "--bundle", path]
        done = subprocess.run(command, env=running.environment, capture_output=True, text=True, timeout=SECONDS_MAX)
        assert "look through it" in done.stderr
        again = subprocess.run(command, env=running.environment, capture_output=True, text=True, timeout=SECONDS_MAX)
        assert (again.returncode, "is there already" in again.stderr) == (1, True)
    assert path.stat().st_mode & 0o777 == 0o600
    members = _members(path)
    assert {*members} >= {
        *("README.txt", "doctor.json", "versions.json", "status.json", "plan.json", "events.json", "config.txt"),
        *("mountinfo.txt", "logs/a.log", "logs/b.log"),
    }
    whole = "\n".join(members.values())
    for secret in (ID, SECRET, TOKEN, PASSWORD, ACCOUNT, COMMENT, IN_NAME, OTHER_ID, OTHER_SECRET):
        assert secret not in whole, [name for name, text in members.items() if secret in text]
    assert json.loads(members["status.json"])["mounts"][0]["name"] == "a"
    assert f'bucket = "{bucket}"' in members["config.txt"]
    assert " - fuse.mountctl " in members["mountinfo.txt"]


def _members(path: Path) -> dict[str, str]:
    with tarfile.open(path) as tar:
        return {
            member.name.removeprefix("mountctl-doctor/"): file.read().decode()
            for member in tar.getmembers()
            if (file := tar.extractfile(member)) is not None
        }
