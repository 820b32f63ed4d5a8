"""Where to listen for TCP connections: `HOST:PORT`. Pure: no name is looked up, so what is written is what is meant."""

import ipaddress
from dataclasses import dataclass
from typing import Self

_PORT_MAX = 65535


@dataclass(frozen=True)
class Address:
    """An address of this host.

    Args:
        host: an IP address; 0.0.0.0 and :: are all.
        port: 0: any.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `127.0.0.1:9464`, `[::1]:9464` or `localhost:9464`. Raises ValueError with a sentence."""
        host, colon, port = text.rpartition(":")
        if not colon or not port.isascii() or not port.isdigit() or int(port) > _PORT_MAX:
            raise ValueError('must be an address and a port, such as "127.0.0.1:9464"')
        if not host:
            raise ValueError(f'must have an address: write "127.0.0.1:{port}", or "0.0.0.0:{port}" for every interface')
        bracketed = host.startswith("[") and host.endswith("]")
        try:
            ip = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host.strip("[]"))
        except ValueError:
            raise ValueError(f"must have an IP address in front of :{port}, or localhost") from None
        if bracketed != (ip.version == 6):
            raise ValueError(f'must have brackets around an IPv6 address and around no other: "[::1]:{port}"')
        return cls(str(ip), int(port))

    @property
    def is_loopback(self) -> bool:
        """Whether only this host reaches it."""
        return ipaddress.ip_address(self.host).is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
