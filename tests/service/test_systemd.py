"""The unit file under a real systemd: start, reload, watchdog, stop; and that the host sees the mounts."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.message_ids import MOUNT_STATE, NAME_HIDDEN
from tests.servers import S3Server
from tests.service import systemd_host
from tests.service.systemd_host import SystemdHost

REPOSITORY = Path(__file__).resolve().parents[2]
UNIT = REPOSITORY / "systemd" / "mountctl.service"

# More than are listed until a message has reached an engine, at 50 a second.
LISTINGS_MAX = 100

pytestmark = pytest.mark.skipif(systemd_host.lacking() is not None, reason=str(systemd_host.lacking()))


@pytest.fixture(scope="module")
def host() -> Iterator[SystemdHost]:
    # The interpreter and its packages may be below directories that are fresh inside.
    shared = {REPOSITORY, Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()}
    with SystemdHost(*sorted(shared)) as host:
        host.run(f"cp {UNIT} /etc/systemd/system/ && ln -sf {sys.prefix}/bin/mountctl /usr/bin/mountctl")
        host.run("systemctl daemon-reload")
        yield host


@pytest.fixture
def bucket(host: SystemdHost, moto: S3Server) -> Iterator[str]:
    """A bucket with one file, mounted at /mnt/data by the service."""
    bucket = moto.bucket()
    moto.put(bucket, "x", b"through systemd")
    configure(host, moto, bucket, "data")
    host.run("systemctl start mountctl")
    yield bucket
    host.run("systemctl stop mountctl")


def configure(host: SystemdHost, server: S3Server, bucket: str, *names: str) -> None:
    text = f'[defaults]\nendpoint-url = "{server.endpoint}"\nforce-path-style = true\nregion = "us-east-1"\n'
    for name in names:
        text += f'[mount.{name}]\nbucket = "{bucket}"\nmountpoint = "/mnt/{name}"\n'
    host.run(f"cat > /etc/mountpoint-s3.toml <<'END'\n{text}END")
    keys = "[default]\naws_access_key_id = test\naws_secret_access_key = test\n"
    host.run(f"mkdir -p /root/.aws; cat > /root/.aws/credentials <<'END'\n{keys}END")
    host.run("mkdir -p /etc/systemd/system/mountctl.service.d")
    # The code beside these tests, whatever the environment of the interpreter has installed.
    variables = (
        f"PYTHONPATH={REPOSITORY} AWS_SHARED_CREDENTIALS_FILE=/root/.aws/credentials AWS_EC2_METADATA_DISABLED=true"
    )
    host.run(
        f"printf '[Service]\\nEnvironment={variables}\\n' > /etc/systemd/system/mountctl.service.d/tests.conf;"
        " systemctl daemon-reload"
    )


def test_unit_file_is_without_fault() -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", UNIT], capture_output=True, text=True
    )
    told = [line for line in done.stderr.splitlines() if "is not executable" not in line]

    assert told == []


def test_started_is_ready_and_the_host_sees_the_mount(host: SystemdHost, bucket: str) -> None:
    assert host.show("mountctl", "ActiveState") == "active"
    assert "1 mounts: 1 ready" in host.show("mountctl", "StatusText")
    assert host.run("cat /mnt/data/x").stdout == "through systemd"
    inside = host.run("readlink /proc/1/ns/mnt").stdout
    main = host.show("mountctl", "MainPID")
    assert host.run(f"readlink /proc/{main}/ns/mnt").stdout == inside


def test_the_log_of_a_mount_is_in_the_journal_and_shown_from_there(
    host: SystemdHost, bucket: str, moto: S3Server
) -> None:
    configure(host, moto, bucket, "data", "data-2")
    host.run("systemctl reload mountctl")
    host.wait_until("journalctl --unit=mountctl --no-pager | grep -F 'data: ' && test -f /mnt/data-2/x")
    done = host.run("mountctl logs data")
    assert done.stderr == "mountctl: from the journal: journalctl --unit=mountctl.service\n"
    lines = done.stdout.splitlines()
    assert all(" INFO data: " in line for line in lines)
    assert any("data: s3://" in line and line.endswith("is mounted at /mnt/data") for line in lines)
    assert host.run("mountctl logs data --lines 1").stdout == f"{lines[-1]}\n"
    host.run("mountctl logs data --follow --lines 1 >/run/followed 2>&1 & echo $! >/run/follower")
    host.wait_until("grep -F 'INFO data: ' /run/followed")
    host.run("mountctl restart data")
    host.wait_until("grep -F 'handed over by the one before' /run/followed")
    host.run("kill $(cat /run/follower)")


def test_the_journal_has_fields_of_what_the_supervisor_and_an_engine_log(
    host: SystemdHost, bucket: str, moto: S3Server
) -> None:
    moto.put(bucket, "odd//name")  # which a listing leaves out, and the engine tells
    moto.put(bucket, "late//name")
    long = f"{'long/' * 20}{'ä' * 60}//name"
    moto.put(bucket, long)
    host.run("mkdir -p /usr/lib/systemd/catalog")
    host.run(f"cp {REPOSITORY}/systemd/mountctl.catalog /usr/lib/systemd/catalog/ && journalctl --update-catalog")
    host.run(f"ls /mnt/data/odd '/mnt/data/{long.rpartition('//')[0]}'")
    [mounted] = entries(host, f"MESSAGE_ID={MOUNT_STATE.id} MOUNTCTL_MOUNT=data", 1)
    assert mounted["MESSAGE"] == "data: starting -> ready"
    assert (mounted["PRIORITY"], mounted["SYSLOG_IDENTIFIER"]) == ("6", "mountctl")
    assert mounted["_SYSTEMD_UNIT"] == "mountctl.service"
    hidden = entries(host, f"MESSAGE_ID={NAME_HIDDEN.id} MOUNTCTL_MOUNT=data", 2)
    assert {each["MOUNTCTL_KEY"] for each in hidden} == {"odd//", long.removesuffix("name")}
    pid, uid = hidden[0]["_PID"], hidden[0]["_UID"]
    assert (pid, hidden[0]["_SYSTEMD_UNIT"]) == (_engine(host), "mountctl.service")
    assert int(uid) > 0  # an engine's own
    host.wait_until("mountctl logs data | grep -F 'WARNING data: '")
    explained = host.run(f"journalctl --catalog --no-pager MESSAGE_ID={NAME_HIDDEN.id}").stdout
    assert f"Subject: {NAME_HIDDEN.subject}" in explained
    host.run("systemctl restart systemd-journald && ls /mnt/data/late")
    assert entries(host, "MOUNTCTL_MOUNT=data MOUNTCTL_KEY=late//", 1)[0]["_PID"] == pid


def test_an_engine_leaves_the_journal_for_json_and_comes_back_while_it_serves(
    host: SystemdHost, bucket: str, moto: S3Server
) -> None:
    """It may not open journald's socket: the supervisor sends it one."""
    for number in range(LISTINGS_MAX):
        moto.put(bucket, f"as-json-{number}//name")
        moto.put(bucket, f"in-fields-{number}//name")
    pid = _engine(host)
    with_form = "'[supervisor]\\nlog-format = \"json\"\\n'"

    def lists_until(found: str, what: str) -> str:
        """Each directory is told of once, and the engine hears of the change a moment after the reload."""
        host.run("echo 0 > /run/n")
        list_next = f"ls /mnt/data/{what}-$(cat /run/n); echo $(($(cat /run/n) + 1)) > /run/n"
        return host.wait_until(f"({list_next}) >/dev/null; journalctl --no-pager {found}")

    host.run(f"printf {with_form} | cat - /etc/mountpoint-s3.toml > /run/new; cp /run/new /etc/mountpoint-s3.toml")
    host.run("mountctl reload")
    lists_until(f"--unit=mountctl --output=cat | grep '^{{.*as-json.*{NAME_HIDDEN.id}'", "as-json")
    configure(host, moto, bucket, "data")
    host.run("mountctl reload")
    of_engine = f"MESSAGE_ID={NAME_HIDDEN.id} _PID={pid}"
    lists_until(f"{of_engine} --output=cat | grep in-fields", "in-fields")

    assert entries(host, of_engine, 1)[0]["MOUNTCTL_KEY"].startswith("in-fields-")


def _engine(host: SystemdHost) -> str:
    """The process of the engine of the one mount."""
    return str(json.loads(host.run("mountctl status --json").stdout)["mounts"][0]["engine"]["pid"])


def entries(host: SystemdHost, match: str, count: int) -> list[dict[str, str]]:
    """The last entries of the journal that match, once there are so many of them."""
    found = host.wait_until(
        f"journalctl --output=json --no-pager --lines={count} {match} | tee /run/found;"
        f" test $(wc -l </run/found) -eq {count}"
    )
    return [json.loads(line) for line in found.splitlines()]


def test_reload_applies_the_file_and_a_broken_one_fails_the_reload(
    host: SystemdHost, bucket: str, moto: S3Server
) -> None:
    configure(host, moto, bucket, "data", "more")
    host.run("systemctl reload mountctl")
    assert host.run("cat /mnt/more/x").stdout == "through systemd"

    host.run("echo 'nonsense = 1' >> /etc/mountpoint-s3.toml")
    assert host.run("systemctl reload mountctl", check=False).returncode != 0
    assert "reload refused" in host.show("mountctl", "StatusText")
    assert host.run("cat /mnt/data/x").stdout == "through systemd"


def test_a_limit_for_which_the_host_has_no_controller_is_told_and_the_mount_is_served(
    host: SystemdHost, bucket: str
) -> None:
    if "memory" in host.run("cat /sys/fs/cgroup/cgroup.controllers").stdout.split():
        pytest.skip("this host has it")
    why = "memory-max: the control groups here have no memory controller"
    host.run("sed -i 's/^bucket = .*/&\\nmemory-max = 640/' /etc/mountpoint-s3.toml")
    host.wait_until(f'mountctl reload && mountctl status --json | grep -F \'"trouble": "{why}"\'')
    assert host.run("cat /mnt/data/x").stdout == "through systemd"
    assert why in host.run("mountctl check").stdout
    host.wait_until(f"grep -F /mountctl.slice/mountctl-data.slice/ /proc/{_engine(host)}/cgroup")


@pytest.fixture
def impatient(host: SystemdHost) -> Iterator[None]:
    """The watchdog of a service that is started now bites soon."""
    directory = "/run/systemd/system/mountctl.service.d"
    host.run(
        f"mkdir -p {directory}; printf '[Service]\\nWatchdogSec=3s\\n' > {directory}/impatient.conf;"
        " systemctl daemon-reload"
    )
    yield
    host.run(f"rm {directory}/impatient.conf; systemctl daemon-reload")


def test_a_supervisor_that_hangs_is_bitten_by_the_watchdog_and_mounts_come_back(
    host: SystemdHost, impatient: None, bucket: str
) -> None:
    main = host.show("mountctl", "MainPID")
    host.kill(int(main), signal.SIGSTOP)

    host.wait_until('test "$(systemctl show --value -p NRestarts mountctl)" -ge 1 && test -f /mnt/data/x')
    assert host.show("mountctl", "MainPID") != main
    assert host.run("cat /mnt/data/x").stdout == "through systemd"


# Keeps a file and a directory open, and reads until told to end; then says what it saw.
_PROGRAM = """
import os, sys, time
os.chdir("/mnt/data")
file = os.open("x", os.O_RDONLY | os.O_DIRECT)
listing = os.scandir(".")
reads = errors = 0
while not os.path.exists("/run/end"):
    try:
        assert os.pread(file, 100, 0) == b"through systemd"
        assert os.stat("x").st_size == 15
        reads += 1
    except OSError as error:
        errors += 1
        print(error, flush=True)
print(f"reads={reads > 3} errors={errors} names={[entry.name for entry in listing]}", flush=True)
"""


@pytest.fixture
def program(host: SystemdHost, bucket: str) -> Iterator[None]:
    """A program that uses the mount all the while; at the end it has seen no error."""
    host.run(f"rm -f /run/end /run/said; cat > /run/program.py <<'END'\n{_PROGRAM}END")
    host.run(f"setsid {sys.executable} /run/program.py > /run/said 2>&1 < /dev/null &")
    host.wait_until("ls -l /proc/*/cwd 2>/dev/null | grep -q /mnt/data")
    yield
    host.run("touch /run/end")
    host.wait_until("grep -q names= /run/said || grep -q Traceback /run/said")
    assert host.run("cat /run/said").stdout == "reads=True errors=0 names=['x']\n"


def engine(host: SystemdHost) -> int:
    """The engine's process, once there is a supervisor that has it and the mount is ready."""
    told = json.loads(host.wait_until("mountctl status --json"))
    return int(told["mounts"][0]["engine"]["pid"])


def killed(host: SystemdHost, number: signal.Signals) -> None:
    """The supervisor is killed, and another is there."""
    main = host.show("mountctl", "MainPID")
    host.kill(int(main), number)
    host.wait_until(f'test "$(systemctl show --value -p MainPID mountctl)" != {main} && mountctl status')


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT])
def test_a_supervisor_that_is_killed_is_followed_by_one_that_adopts_its_engines(
    host: SystemdHost, program: None, number: signal.Signals
) -> None:
    before = engine(host)
    killed(host, number)

    assert engine(host) == before
    assert host.run("grep -c fuse.mountctl /proc/mounts").stdout == "1\n"
    assert host.show("mountctl", "NFileDescriptorStore") == "5"


def test_an_engine_that_dies_after_it_was_adopted_is_replaced_like_any(host: SystemdHost, program: None) -> None:
    killed(host, signal.SIGKILL)
    adopted = engine(host)
    host.kill(adopted, signal.SIGKILL)
    host.wait_until("mountctl status --json | grep -q '\"takeovers\": 1'")
    successor = engine(host)
    killed(host, signal.SIGKILL)

    assert successor != adopted
    assert engine(host) == successor


def test_an_engine_that_died_with_its_supervisor_is_replaced(host: SystemdHost, program: None) -> None:
    before = engine(host)
    host.run(f"kill -9 {before} {host.show('mountctl', 'MainPID')}")
    host.wait_until("mountctl status")

    assert engine(host) != before


def test_a_restart_leaves_the_engines_running(host: SystemdHost, program: None) -> None:
    before = engine(host)
    for _ in range(3):
        host.run("systemctl restart mountctl")

    assert engine(host) == before
    assert host.run("grep -c fuse.mountctl /proc/mounts").stdout == "1\n"
    assert "leaving the mounts" in host.run("journalctl -u mountctl").stdout


def test_an_adopted_mount_that_the_file_has_otherwise_is_changed_as_by_a_reload(
    host: SystemdHost, bucket: str, moto: S3Server
) -> None:
    host.run("sed -i 's/^bucket = .*/&\\nfile-mode = \"0600\"/' /etc/mountpoint-s3.toml; systemctl restart mountctl")

    assert host.run("stat -c %a /mnt/data/x").stdout == "600\n"
    engine(host)


def test_a_file_that_is_being_written_when_its_supervisor_is_killed_arrives(
    host: SystemdHost, bucket: str, moto: S3Server
) -> None:
    writer = "import sys, time; f = open('/mnt/data/big', 'wb'); f.write(b'a' * 9_000_000); f.flush();"
    writer += " open('/run/half', 'w').close(); sys.stdin.read(); f.write(b'b' * 9_000_000); f.close(); print('good')"
    host.run(f'rm -f /run/half /run/go /run/wrote; mkfifo /run/go; echo "{writer}" > /run/writer.py')
    host.run(f"setsid sh -c '{sys.executable} /run/writer.py < /run/go' > /run/wrote 2>&1 &")
    host.run("setsid sleep 600 > /run/go 2>/dev/null & echo $! > /run/sleeper")
    host.wait_until("test -e /run/half")
    killed(host, signal.SIGKILL)
    engine(host)
    host.run("kill $(cat /run/sleeper)")  # nobody holds the pipe: the writer goes on

    assert host.wait_until("grep . /run/wrote") == "good\n"
    assert moto.boto.get_object(Bucket=bucket, Key="big")["Body"].read() == b"a" * 9_000_000 + b"b" * 9_000_000


def test_a_store_too_small_for_engines_is_told_and_they_are_replaced_as_before(host: SystemdHost, bucket: str) -> None:
    host.run("mkdir -p /run/systemd/system/mountctl.service.d")
    host.run("printf '[Service]\\nFileDescriptorStoreMax=4\\n' > /run/systemd/system/mountctl.service.d/small.conf")
    host.run("systemctl daemon-reload; systemctl stop mountctl; systemctl start mountctl")
    try:
        before = engine(host)
        killed(host, signal.SIGKILL)

        assert host.run("cat /mnt/data/x").stdout == "through systemd"
        assert engine(host) != before
        assert host.run("grep -c fuse.mountctl /proc/mounts").stdout == "1\n"
        assert "FileDescriptorStoreMax=" in host.run("journalctl -u mountctl").stdout
    finally:
        host.run("rm /run/systemd/system/mountctl.service.d/small.conf; systemctl daemon-reload")


def test_a_mount_that_the_file_no_longer_names_is_gone_after_a_restart(
    host: SystemdHost, bucket: str, moto: S3Server
) -> None:
    configure(host, moto, bucket, "other")
    host.run("systemctl restart mountctl")

    assert host.run("grep fuse.mountctl /proc/mounts | cut -d ' ' -f 2").stdout == "/mnt/other\n"
    assert host.show("mountctl", "NFileDescriptorStore") == "5"


def test_stop_leaves_no_mount_process_or_socket(host: SystemdHost, bucket: str) -> None:
    group = Path("/sys/fs/cgroup/system.slice/mountctl.service")
    assert json.loads(host.run("mountctl status --json").stdout)["health"] == "ready"

    host.run("systemctl stop mountctl")

    assert host.show("mountctl", "Result") == "success"
    assert "fuse.mountctl" not in host.run("cat /proc/mounts").stdout
    assert host.run("ls /run/mountctl", check=False).returncode != 0
    assert host.run(f"cat {group}/cgroup.procs", check=False).stdout.split() == []
