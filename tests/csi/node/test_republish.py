"""kubelet publishes what is published, every minute or two: nobody is asked, nobody is waited for, nothing fails."""

import subprocess
import threading

import grpc
import pytest

from mountctl.csi.credentials_interface import CredentialsError
from tests.csi.node.conftest import Stand
from tests.csi.node.kubelet import of_pod, publish
from tests.csi.node.test_node import refused

Code = grpc.StatusCode
TOKENS = {"csi.storage.k8s.io/serviceAccount.tokens": '{"sts.amazonaws.com": {"token": "second"}}'}


def asked(stand: Stand) -> tuple[int, int, int]:
    return len(stand.supervisor.applies), len(stand.supervisor.releases), stand.supervisor.statuses


def test_nobody_is_asked_and_credentials_are_renewed(stand: Stand) -> None:
    stand.kubelet.publish(of_pod(publish(stand.target())))
    before = asked(stand)
    stand.kubelet.publish(of_pod(publish(stand.target(), secrets={"key": "new"}), **TOKENS))
    assert asked(stand) == before
    assert len(stand.credentials.prepared) == 1
    ((request, name),) = stand.credentials.refreshed
    assert request.service_account_tokens == TOKENS["csi.storage.k8s.io/serviceAccount.tokens"]
    assert request.secrets == {"key": "new"}
    assert name == stand.supervisor.applies[0].name


def test_a_supervisor_that_is_away_or_hangs_is_not_noticed(stand: Stand) -> None:
    stand.kubelet.publish(publish(stand.target()))
    stand.supervisor.answers.clear()
    stand.kubelet.publish(publish(stand.target()))
    stand.supervisor.answers.set()
    stand.supervisor.stop()
    stand.kubelet.publish(publish(stand.target()))


def test_volumes_that_wait_for_the_supervisor_keep_none_waiting(stand: Stand) -> None:
    stand.kubelet.publish(publish(stand.target()))
    stand.supervisor.answers.clear()
    threads = [
        threading.Thread(target=lambda n=n: stand.kubelet.publish(publish(stand.target(f"new-{n}"), volume=f"new-{n}")))
        for n in range(40)
    ]
    for thread in threads:
        thread.start()
    for _ in threads:
        stand.supervisor.waiting.acquire()
    stand.kubelet.publish(publish(stand.target()))
    stand.supervisor.answers.set()
    for thread in threads:
        thread.join()
    assert all(stand.target(f"new-{n}").is_mount() for n in range(40))


def test_credentials_that_cannot_be_renewed_fail_nothing(stand: Stand, caplog: pytest.LogCaptureFixture) -> None:
    stand.kubelet.publish(publish(stand.target()))
    stand.credentials.trouble = CredentialsError("there is no token\nat all")
    stand.kubelet.publish(publish(stand.target()))
    stand.credentials.trouble = OSError("disk full")
    stand.kubelet.publish(publish(stand.target()))
    assert "there is no token\\nat all" in caplog.text
    assert "disk full" in caplog.text


def test_a_target_that_was_unmounted_is_asked_for_again(stand: Stand) -> None:
    stand.kubelet.publish(publish(stand.target()))
    subprocess.run(["umount", stand.target()], check=True)
    stand.kubelet.publish(publish(stand.target()))
    first, second = stand.supervisor.applies
    assert first == second
    assert len(stand.credentials.prepared) == 1


def test_another_driver_process_learns_what_is_there(stand: Stand) -> None:
    stand.kubelet.publish(of_pod(publish(stand.target())))
    with stand.restarted() as again:
        again.publish(of_pod(publish(stand.target()), **TOKENS))
        learnt = asked(stand)
        again.publish(of_pod(publish(stand.target())))
        assert asked(stand) == learnt
    assert len(stand.supervisor.applies) == 1
    assert len(stand.credentials.prepared) == 1
    assert [name for _, name in stand.credentials.refreshed] == [stand.supervisor.applies[0].name] * 2


def test_another_driver_process_fails_nothing_while_no_supervisor_answers(stand: Stand) -> None:
    stand.kubelet.publish(publish(stand.target()))
    stand.supervisor.stop()
    with stand.restarted() as again:
        again.publish(publish(stand.target()))
        assert refused(again.publish, publish(stand.target("new")))[0] is Code.UNAVAILABLE
        stand.supervisor.start()
        again.publish(publish(stand.target()))
    assert [name for _, name in stand.credentials.refreshed] == [stand.supervisor.applies[0].name]


@pytest.mark.parametrize("is_restarted", [False, True], ids=["same process", "another process"])
def test_another_volume_or_another_way_at_the_same_target_is_refused(stand: Stand, is_restarted: bool) -> None:
    stand.kubelet.publish(publish(stand.target()))
    with stand.restarted() as again:
        kubelet = again if is_restarted else stand.kubelet
        code, sentence = refused(kubelet.publish, publish(stand.target(), readonly=True))
        assert code is Code.ALREADY_EXISTS
        assert "read-write and not read-only" in sentence
        assert refused(kubelet.publish, publish(stand.target(), volume="other"))[0] is Code.ALREADY_EXISTS
    assert len(stand.supervisor.applies) == 1


def test_another_bucket_at_the_same_target_is_refused(stand: Stand) -> None:
    stand.kubelet.publish(publish(stand.target()))
    assert refused(stand.kubelet.publish, publish(stand.target(), bucketName="other"))[0] is Code.ALREADY_EXISTS


def test_other_options_of_a_volume_in_use_fail_nothing_and_are_told_once(
    stand: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    stand.kubelet.publish(publish(stand.target()))
    stand.kubelet.publish(publish(stand.target(), ["allow-delete"]))
    stand.kubelet.publish(publish(stand.target(), ["allow-delete"]))
    assert len(stand.supervisor.applies) == 1
    assert len(stand.credentials.refreshed) == 2
    assert caplog.text.count("keeps the options") == 1


def test_two_requests_for_one_target_come_one_after_the_other(stand: Stand) -> None:
    stand.supervisor.answers.clear()
    threads = [threading.Thread(target=lambda: stand.kubelet.publish(publish(stand.target()))) for _ in range(2)]
    for thread in threads:
        thread.start()
    stand.supervisor.waiting.acquire()
    stand.supervisor.answers.set()
    for thread in threads:
        thread.join()
    assert len(stand.supervisor.applies) == 1


def test_what_another_driver_has_mounted_there_stays_and_fails_nothing(
    stand: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    stand.target().mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "mountpoint-s3", stand.target()], check=True)
    try:
        stand.kubelet.publish(publish(stand.target()))
        stand.kubelet.publish(publish(stand.target()))
    finally:
        subprocess.run(["umount", stand.target()], check=True)
    assert stand.supervisor.applies == []
    assert caplog.text.count("is not ours") == 1
