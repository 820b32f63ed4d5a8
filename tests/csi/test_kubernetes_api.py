"""mountctl/csi/kubernetes_api.py against an API server: what is asked, with whose token, and how trouble is told."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mountctl.csi.credentials.roles import Roles
from mountctl.csi.kubernetes_api import ApiError, KubernetesApi
from tests.certificates import Authority
from tests.csi.api_server import TOKEN, Answer, ApiServer

ACCOUNT = "/api/v1/namespaces/team/serviceaccounts/reader"
NODE = "/api/v1/nodes/node-1"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ApiServer]:
    it = ApiServer(tmp_path)
    yield it
    it.close()


def refusal(api: KubernetesApi) -> ApiError:
    with pytest.raises(ApiError) as caught:
        api.service_account_annotations("team", "reader")
    assert TOKEN not in str(caught.value)
    return caught.value


def test_annotations_of_a_service_account_are_had_with_the_pods_token(server: ApiServer) -> None:
    server.objects[ACCOUNT] = {"metadata": {"annotations": {"eks.amazonaws.com/role-arn": "arn"}}}

    assert server.api().service_account_annotations("team", "reader") == {"eks.amazonaws.com/role-arn": "arn"}
    assert Roles(server.api()).of("team", "reader") == "arn"
    assert server.seen[0][:3] == ("GET", ACCOUNT, f"Bearer {TOKEN}")


@pytest.mark.parametrize("found", [{}, {"metadata": {}}, {"metadata": {"annotations": None}}], ids=str)
def test_an_account_without_annotations_has_none(server: ApiServer, found: dict[str, object]) -> None:
    server.objects[ACCOUNT] = found

    assert server.api().service_account_annotations("team", "reader") == {}


def test_an_account_or_a_node_that_is_not_there_has_nothing(server: ApiServer) -> None:
    assert server.api().service_account_annotations("team", "reader") == {}
    assert server.api().drivers("node-1") == []


def test_a_token_that_kubelet_has_renewed_is_taken(server: ApiServer) -> None:
    api = server.api()
    api.drivers("node-1")
    (server.account / "token").write_text("renewed\n")
    api.drivers("node-1")

    assert [seen[2] for seen in server.seen] == [f"Bearer {TOKEN}", "Bearer renewed"]


def test_a_name_that_is_odd_stays_one_part_of_the_path(server: ApiServer) -> None:
    server.api().service_account_annotations("team", "../../nodes?x=1")

    assert server.seen[0][1] == "/api/v1/namespaces/team/serviceaccounts/..%2F..%2Fnodes%3Fx%3D1"


def test_the_drivers_that_kubelet_has_registered_are_those_of_the_csinode(server: ApiServer) -> None:
    server.objects["/apis/storage.k8s.io/v1/csinodes/node-1"] = {
        "spec": {"drivers": [{"name": "ebs.csi.aws.com"}, {"name": "s3.mountctl.io"}]}
    }

    assert server.api().drivers("node-1") == ["ebs.csi.aws.com", "s3.mountctl.io"]


def test_taints_are_replaced_only_if_they_are_as_they_were(server: ApiServer) -> None:
    taints = [{"key": "a", "effect": "NoExecute"}]
    server.objects[NODE] = {"spec": {"taints": taints}}

    server.api().replace_taints("node-1", taints, [])
    assert server.objects[NODE]["spec"]["taints"] == []
    assert server.seen[0][3] == "application/json-patch+json"
    with pytest.raises(ApiError) as caught:
        server.api().replace_taints("node-1", taints, [])
    assert caught.value.status == 422


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (403, "403 Forbidden: the service account of the driver's pod may not do this (its ClusterRole)"),
        (401, "401 Unauthorized: the token of the pod's service account is not accepted"),
        (500, "500 Internal Server Error"),
    ],
)
def test_a_refusal_is_told_by_its_status_and_not_by_its_words(server: ApiServer, status: int, said: str) -> None:
    def decide(_method: str, _path: str) -> Answer:
        return status, {"message": f"{TOKEN} is not welcome"}

    server.decide = decide

    assert str(refusal(server.api())) == f"the Kubernetes API (GET {ACCOUNT}): {said}"


@pytest.mark.parametrize("answer", [b"", b"[]", b"{", b"[" * 100_000], ids=["nothing", "list", "half", "deep"])
def test_an_answer_that_is_no_object_is_told(server: ApiServer, answer: bytes) -> None:
    server.decide = lambda _method, _path: (200, answer)

    assert "the answer is no object" in str(refusal(server.api()))


def test_a_server_that_never_answers_is_given_up(server: ApiServer) -> None:
    never = threading.Event()

    def decide(_method: str, _path: str) -> Answer:
        never.wait(30)
        raise ConnectionError

    server.decide = decide
    try:
        assert "no answer in time" in str(refusal(server.api(wait_seconds=0.2)))
    finally:
        never.set()


def test_a_server_that_answers_ever_so_slowly_is_given_up_too(tmp_path: Path) -> None:
    authority = Authority("kubernetes")
    (tmp_path / "ca.crt").write_text(authority.pem)
    (tmp_path / "token").write_text(TOKEN)
    over = threading.Event()

    def drip(listening: socket.socket) -> None:
        with authority.server_side(tmp_path).wrap_socket(listening.accept()[0], server_side=True) as client:
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            with contextlib.suppress(OSError):
                while not over.wait(0.02):
                    client.sendall(b" ")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=drip, args=(listening,), daemon=True)
        thread.start()
        api = KubernetesApi("127.0.0.1", listening.getsockname()[1], tmp_path, wait_seconds=0.5)
        assert "no answer in time" in str(refusal(api))
        over.set()
        thread.join(30)


def test_a_server_that_hangs_up_or_is_not_there_is_told(server: ApiServer) -> None:
    def decide(_method: str, _path: str) -> Answer:
        raise ConnectionError

    server.decide = decide
    refusal(server.api())
    server.close()
    assert "Connection refused" in str(refusal(server.api()))


def test_a_server_of_another_authority_is_not_told_the_token(server: ApiServer) -> None:
    (server.account / "ca.crt").write_text(Authority("another").pem)

    assert "its certificate is not the cluster's" in str(refusal(server.api()))
    assert server.seen == []


def test_an_account_that_cannot_be_read_or_used_is_told_without_it(server: ApiServer) -> None:
    (server.account / "token").write_text(f"{TOKEN}\n{TOKEN}")
    assert "is not one" in str(refusal(server.api()))
    (server.account / "token").unlink()
    assert "the pod's service account can't be read" in str(refusal(server.api()))
    (server.account / "token").write_text(TOKEN)
    (server.account / "ca.crt").write_text("x")
    assert "is no certificate of an authority" in str(refusal(server.api()))


def test_it_is_found_by_the_variables_that_every_pod_has(server: ApiServer, tmp_path: Path) -> None:
    environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(server.port)}

    found = KubernetesApi.in_cluster(environ, server.account)

    assert found is not None
    assert found.drivers("node-1") == []
    assert KubernetesApi.in_cluster({}, server.account) is None
    assert KubernetesApi.in_cluster(environ, tmp_path / "nothing") is None
