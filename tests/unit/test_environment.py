"""mountctl/environment.py: variables that do nothing are told."""

import pytest

from mountctl.environment import unheeded


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({}, []),
        ({"AWS_REGION": "eu-west-1", "MOUNTCTL_CONFIG": "/x", "HTTPS_PROXY": ""}, []),
        ({"HTTPS_PROXY": "http://u:hush@proxy:3128", "all_proxy": "x"}, []),
        ({"all_proxy": "socks5://u:hush@proxy"}, ["all_proxy is set and not read: set HTTPS_PROXY"]),
        ({"MOUNTPOINT_LOG": "debug"}, ["MOUNTPOINT_LOG is set and not read: the options debug"]),
        (
            {"UNSTABLE_MOUNTPOINT_PID_FILE": "/x", "EXPERIMENTAL_MOUNTPOINT_NO_DOWNLOAD_INTEGRITY_VALIDATION": "1"},
            ["EXPERIMENTAL_MOUNTPOINT_NO_DOWNLOAD_INTEGRITY_VALIDATION is set", "UNSTABLE_MOUNTPOINT_PID_FILE is set"],
        ),
    ],
)
def test_each_variable_that_does_nothing_is_told_by_its_name_and_without_its_value(
    environment: dict[str, str], told: list[str]
) -> None:
    found = list(unheeded(environment))

    assert [sentence for sentence, start in zip(found, told, strict=True) if not sentence.startswith(start)] == []
    assert "hush" not in "".join(found)
