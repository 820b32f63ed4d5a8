"""Ports of 127.0.0.1 for servers that must be told one, or for nobody."""

import contextlib
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def reserved_port() -> Iterator[int]:
    """A port that nobody else is given while this lasts, as a port of a server or as that of a connection.

    A socket has it that does not listen: who connects is refused, and a server that sets SO_REUSEADDR, as all do, can
    listen there.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        port: int = holder.getsockname()[1]
        yield port
