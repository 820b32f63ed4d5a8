"""mountctl/config/address.py: where to listen, and what is no such place."""

from pathlib import Path

import pytest

from mountctl.config.address import Address
from mountctl.config.load import load
from mountctl.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "told", "is_loopback"),
    [
        ("127.0.0.1:9464", "127.0.0.1:9464", True),
        ("127.1.2.3:0", "127.1.2.3:0", True),
        ("localhost:1", "127.0.0.1:1", True),
        ("[::1]:65535", "[::1]:65535", True),
        ("0.0.0.0:80", "0.0.0.0:80", False),
        ("[::]:80", "[::]:80", False),
        ("192.0.2.1:80", "192.0.2.1:80", False),
    ],
)
def test_an_address_is_read(text: str, told: str, is_loopback: bool) -> None:
    address = Address.parse(text)

    assert (str(address), address.is_loopback) == (told, is_loopback)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "an address and a port"),
        ("9464", "an address and a port"),
        ("127.0.0.1:", "an address and a port"),
        ("127.0.0.1:65536", "an address and a port"),
        ("127.0.0.1:-1", "an address and a port"),
        ("127.0.0.1:\u0661", "an address and a port"),
        (":9464", "0.0.0.0:9464"),
        ("example.com:80", "an IP address"),
        ("::1:80", "brackets"),
        ("[127.0.0.1]:80", "brackets"),
        ("[::1:80", "brackets"),
    ],
)
def test_what_is_none_is_refused_with_what_to_write(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Address.parse(text)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('metrics-listen = ":1"', 'must have an address: write "127.0.0.1:1", or "0.0.0.0:1" for every interface'),
        ("price-get = -1.5", "must be a number, 0 or more, not the float -1.5"),
        ("price-put = inf", "must be a number, 0 or more, not the float inf"),
        ('price-currency = ""', "must not be empty: remove the key, or give it a value"),
    ],
)
def test_a_wrong_value_is_told_at_its_place(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "m.toml"
    path.write_text(f"[supervisor]\n{line}\n")

    with pytest.raises(ConfigError) as told:
        load(path)

    [problem] = told.value.problems
    assert str(problem) == f"{path}:2:1: supervisor.{line.partition(' ')[0]}: {reason}"
