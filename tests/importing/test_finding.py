"""Where mounts are found: units by name and as instances, live processes by /proc, all of a host at once."""

from pathlib import Path

import pytest

from mountctl.importing import unit_files, writing
from mountctl.importing.collect import NoSource, collect
from mountctl.importing.draft import Kind
from mountctl.importing.found import FstabLine, Process, Unit
from mountctl.importing.host import Host
from mountctl.importing.keys import Keys, KeySource, NoKeys, write


def process(host: Host, pid: int, *words: str, cgroup: str = "/user.slice/session-1.scope", **environ: str) -> None:
    place = host.proc / str(pid)
    place.mkdir(parents=True)
    (place / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in words))
    (place / "environ").write_bytes(b"".join(f"{name}={value}\0".encode() for name, value in environ.items()))
    (place / "cgroup").write_text(f"0::{cgroup}\n")
    (place / "status").write_text("Name:\tx\nUid:\t0\t0\t0\t0\n")


def unit(host: Host, name: str, text: str) -> Path:
    host.units[0].mkdir(exist_ok=True)
    file = host.units[0] / name
    file.write_text(text)
    return file


def test_a_live_process_is_found_and_what_is_secret_of_it_is_not_read(host: Host) -> None:
    process(
        host, 41, "goofys", "bucket", "/mnt/a", AWS_ACCESS_KEY_ID="AKIDX", AWS_SECRET_ACCESS_KEY="sss", AWS_REGION="eu"
    )
    process(host, 42, "bash", "-c", "sleep 1")

    made = collect(["live"], [], host)

    (draft,) = made.drafts.values()
    assert draft.found.way == Process(41)
    assert draft.keys["region"] == "eu"
    assert [note.kind for note in draft.notes] == [Kind.TO_DO]
    assert "AKIDX" not in writing.document(made) + repr(draft)
    assert "sss" not in repr(made)


def test_a_process_of_a_unit_is_the_units(host: Host) -> None:
    process(host, 7, "/usr/bin/s3fs", "bucket", "/mnt/a", "-o", "rw", cgroup="/system.slice/s3fs-a.service")

    assert collect(["live"], [], host).drafts["a"].found.way == Unit("s3fs-a.service")


@pytest.mark.parametrize("wrapper", [("/bin/sh", "/usr/local/bin/mount-it"), ("goofys", "bucket", "/mnt/b")])
def test_a_unit_whose_other_processes_only_wait_or_mount_is_there_for_its_mounts(
    host: Host, wrapper: tuple[str, ...]
) -> None:
    process(host, 6, *wrapper, cgroup="/system.slice/a.service")
    process(host, 7, "rclone", "mount", ":s3:bucket", "/mnt/a", cgroup="/system.slice/a.service")

    assert collect(["live"], [], host).drafts["a"].found.way == Unit("a.service")


def test_a_process_that_cron_has_started_is_nobodys_as_cron_is_not_to_be_stopped(host: Host) -> None:
    process(host, 6, "/usr/sbin/cron", "-f", cgroup="/system.slice/cron.service")
    process(host, 7, "s3fs", "bucket", "/mnt/a", cgroup="/system.slice/cron.service")
    process(host, 8, "s3fs", "bucket", "/mnt/b", cgroup="/system.slice/cloud-final.service")

    made = collect(["live"], [], host)

    assert [draft.found.way for draft in made.drafts.values()] == [Process(7), Process(8)]


def test_what_a_container_mounts_is_none_of_this_hosts(host: Host, tmp_path: Path) -> None:
    process(host, 7, "s3fs", "bucket", "/mnt/a")
    (host.proc / "7" / "root").symlink_to(tmp_path)
    process(host, 8, "s3fs", "bucket", "/mnt/b")
    (host.proc / "8" / "root").symlink_to("/")

    made = collect(["live"], [], host)

    assert list(made.drafts) == ["b"]
    assert [(each.origin, "container" in each.reason) for each in made.unusable] == [("process 7", True)]


def test_a_mount_that_is_declared_and_runs_is_one_mount_of_what_declares_it(host: Host) -> None:
    host.fstab.write_text("bucket /mnt/a fuse.s3fs _netdev,ro 0 0\n")
    process(host, 8, "s3fs", "bucket", "/mnt/a", "-o", "rw,_netdev")

    made = collect([], [], host)

    assert isinstance(made.drafts["a"].found.way, FstabLine)
    assert made.drafts["a"].found.also == ("process 8",)


def test_an_instance_is_found_by_name_and_by_what_enables_it(host: Host) -> None:
    template = unit(host, "s3@.service", "[Service]\nExecStart=mount-s3 %i /mnt/s3/%I\n")
    wants = host.units[0] / "multi-user.target.wants"
    wants.mkdir()
    (wants / "s3@my-bucket.service").symlink_to(template)

    by_name = collect(["s3@other.service"], [], host)
    of_host = collect([], [], host)

    assert by_name.drafts["other"].keys["bucket"] == "other"
    assert of_host.drafts["bucket"].keys["mountpoint"] == "/mnt/s3/my/bucket"
    assert of_host.drafts["bucket"].found.way == Unit("s3@my-bucket.service", template)


def test_a_drop_in_of_a_unit_counts(host: Host) -> None:
    unit(host, "a.service", "[Service]\nExecStart=mount-s3 bucket-a /mnt/a\n")
    drop_in = host.units[0] / "a.service.d"
    drop_in.mkdir()
    (drop_in / "x.conf").write_text("[Service]\nExecStart=\nExecStart=mount-s3 --read-only bucket-b /mnt/a\n")

    assert collect(["a.service"], [], host).drafts["a"].keys == {
        "bucket": "bucket-b",
        "mountpoint": "/mnt/a",
        "read-only": True,
    }


def test_a_file_that_is_not_there_is_an_error_and_a_unit_is_told(host: Host) -> None:
    with pytest.raises(NoSource, match="cannot read /no/such/file: No such file"):
        collect(["/no/such/file"], [], host)

    assert "no unit of this name" in collect(["nothing.service"], [], host).unusable[0].reason


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (r"a 'b c' d\x20e", ["a", "b c", "d e"]),
        (r'"x \"y\" $Z" \\', ['x "y" $Z', "\\"]),
        ("''", [""]),
    ],
)
def test_words_of_a_unit_are_taken_apart_as_systemd_does(text: str, found: list[str]) -> None:
    assert unit_files.words(text) == found


def test_a_variable_alone_is_split_and_one_in_braces_is_not() -> None:
    assert unit_files.expanded(["$A", "${A}", "x${B}", "$$C"], {"A": "1 2"}) == ["1", "2", "1 2", "x", "$C"]


def test_two_mounts_of_one_last_word_have_names_of_their_own(host: Host) -> None:
    made = collect([], ["mount-s3 bucket-a /srv/a/data", "mount-s3 bucket-b /srv/b/data"], host)

    assert list(made.drafts) == ["data", "srv-b-data"]


def test_keys_are_written_for_root_alone_and_beside_those_that_are_there(tmp_path: Path) -> None:
    file = tmp_path / "aws" / "credentials"
    file.parent.mkdir()
    file.write_text("[mine]\naws_access_key_id = A\naws_secret_access_key = B\n")

    assert write(file, {"new": Keys("C", "D", "E")}) == ["new"]
    assert write(file, {"new": Keys("C", "D", "E")}) == []
    with pytest.raises(NoKeys, match="has a profile mine with other keys"):
        write(file, {"mine": Keys("X", "Y")})

    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text() == (
        "[mine]\naws_access_key_id = A\naws_secret_access_key = B\n\n"
        "[new]\naws_access_key_id = C\naws_secret_access_key = D\naws_session_token = E\n"
    )


def test_keys_that_are_not_there_are_told_without_what_is_there(tmp_path: Path) -> None:
    file = tmp_path / "passwd"
    file.write_text("other:AKID:verysecret\n")

    with pytest.raises(NoKeys) as caught:
        KeySource("x", path=str(file), bucket="mine").read()

    assert "has no keys for mine" in str(caught.value)
    assert "verysecret" not in str(caught.value)


def test_a_host_without_anything_has_no_mounts(host: Host) -> None:
    assert collect([], [], host).drafts == {}


@pytest.mark.parametrize("name", [b"\xff".decode(errors="surrogateescape"), "a\0b"])
def test_what_is_no_text_is_refused(host: Host, name: str) -> None:
    host.fstab.write_bytes(f"bucket /mnt/{name} fuse.s3fs ro 0 0\n".encode(errors="surrogateescape"))

    made = collect([str(host.fstab)], [], host)

    assert made.drafts == {}
    assert "bytes that are no text" in made.unusable[0].reason


def test_a_value_that_no_terminal_shows_is_written_as_an_escape(host: Host) -> None:
    made = collect([], ["s3fs bucket /mnt/\U000e0001\u2028 -o ro"], host)

    assert 'mountpoint = "/mnt/\\U000e0001\\U00002028"' in writing.document(made)


@pytest.mark.parametrize("behind", ["0 0 # of the shop", "0 0 whatever stands here"])
def test_what_stands_behind_the_columns_of_a_line_is_passed_by_as_mount_does(host: Host, behind: str) -> None:
    host.fstab.write_text(f"bucket /mnt/a fuse.s3fs ro {behind}\ns3fs#other /mnt/b fuse ro {behind}\n")

    made = collect([str(host.fstab)], [], host)

    assert (list(made.drafts), made.unusable) == (["a", "b"], ())


def test_escapes_in_a_line_stand_for_bytes(host: Host) -> None:
    host.fstab.write_text("bucket /mnt/caf\\303\\251\\040x fuse.s3fs ro 0 0\n")

    (draft,) = collect([str(host.fstab)], [], host).drafts.values()

    assert draft.keys["mountpoint"] == "/mnt/caf\N{LATIN SMALL LETTER E WITH ACUTE} x"


def test_what_looks_like_a_reference_is_none_in_what_is_written(host: Host) -> None:
    made = collect([], ["s3fs 'bucket:/${env:HOME}' '/mnt/${x}' -o ro"], host)

    assert {'prefix = "$${env:HOME}/"', 'mountpoint = "/mnt/$${x}"'} <= set(writing.document(made).split("\n"))
