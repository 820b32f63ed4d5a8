"""Take over a session that the supervisor holds: mounted already, INIT answered already, perhaps served before.

Called by engine/run.py before it serves. Needs no change to pyfuse3 or libfuse. Never mounts, never unmounts.

libfuse serves nothing until it has seen an INIT, and the kernel sends one only once. So libfuse is given a socket
instead of the device, with the kernel's INIT (which the supervisor kept) waiting in it. When libfuse has parsed it and
calls `Operations.init()`, the device takes the socket's place under the same number. libfuse's reply to the INIT then
goes to the kernel, which knows no such request any more and answers ENOENT, which libfuse takes for an interrupted
request and ignores.
"""

import logging
import os
import socket
import struct
from collections.abc import Callable
from typing import Final

import pyfuse3

from engine.facts import about
from engine.fuse.operations import Operations
from engine.message_ids import ENGINE_UNFIT

# struct fuse_out_header: length, error, unique. A unique of 0 is a notification, whose code is in `error`.
_HEADER: Final = struct.Struct("<IiQ")
_NOTIFY_RESEND: Final = 7

logger = logging.getLogger(__name__)


def adopt(
    operations: Operations, session_fd: int, init_request: bytes, *, resend: bool, adopted: Callable[[], None]
) -> None:
    """Make a session pyfuse3's own; `session.serve` then answers it. Takes ownership of `session_fd`.

    Args:
        operations: answers the requests.
        session_fd: /dev/fuse, of a mount whose INIT the supervisor has answered.
        init_request: the kernel's INIT request.
        resend: ask the kernel for the requests that an engine before read and did not answer (kernel 6.9).
        adopted: called from `session.serve` when requests are being served.

    Raises RuntimeError if libfuse refuses.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.send(init_request)
    replaced = theirs.detach()

    def take() -> None:
        os.dup2(session_fd, replaced, inheritable=False)
        os.close(session_fd)
        ours.close()
        if resend:
            _ask_again(replaced)
        adopted()

    operations.on_init = take
    pyfuse3.init(operations, f"/dev/fd/{replaced}", {"default_permissions"})


def _ask_again(session_fd: int) -> None:
    try:
        os.write(session_fd, _HEADER.pack(_HEADER.size, _NOTIFY_RESEND, 0))
    except OSError as error:
        # Called from C, where nothing can be raised; and all requests to come can be served still.
        text = "the kernel does not resend (%s): what the engine before left unanswered stays so"
        logger.error(text, error, extra=about(ENGINE_UNFIT))  # noqa: TRY400
