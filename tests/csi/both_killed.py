"""Both pods of a node are killed at once, so that nobody has its mounts: a program, for a mount namespace of its own.

`python -m tests.csi.both_killed ENDPOINT BUCKET`. In everybody's namespace any supervisor that starts just then, such
as another test's, would take away what is dead.
"""

import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.csi.kubelet import Pod, Use, Volume
from tests.csi.node_host import NodeHost
from tests.csi.workloads import HOST_TO_CONTAINER, PRIVATE, SMALL_BYTES, Container, killed_at_the_end
from tests.service.running import poll_until

# Prints what becomes of a read, and whether it could be written, for each line on stdin.
_LOOKER: Final = """
import errno, json, os, sys
print(json.dumps("begun"), flush=True)
for line in sys.stdin:
    try:
        with open(os.path.join(sys.argv[1], "small-0"), "rb") as file:
            size = len(file.read())
        told = [size, "ro" if os.statvfs(sys.argv[1]).f_flag & os.ST_RDONLY else "rw"]
    except OSError as error:
        told = errno.errorcode[error.errno]
    print(json.dumps(told), flush=True)
"""
_RW: Final = [SMALL_BYTES, "rw"]
_RO: Final = [SMALL_BYTES, "ro"]
_DEAD: Final = "ENOTCONN"
# More often than dead mounts are kept one below the other would take minutes.
_ROUNDS: Final = 2


def main(endpoint: str, bucket: str) -> None:
    """All pods to come have the volume, and running ones whose mount gets what is mounted on the host."""
    volume = Volume("data", {"bucketName": bucket})
    writing, reading = Use(Pod("writing"), volume), Use(Pod("reading"), volume, read_only=True)
    with NodeHost(Path(tempfile.mkdtemp()), endpoint) as node:
        kubelet = node.kubelet
        for use in (writing, reading):
            kubelet.mount(use)
        told = Container(kubelet, writing, "told", HOST_TO_CONTAINER, _LOOKER)
        told_too = Container(kubelet, reading, "told too", HOST_TO_CONTAINER, _LOOKER)
        untold = Container(kubelet, writing, "untold", PRIVATE, _LOOKER)
        with killed_at_the_end(told, told_too, untold):
            assert [each.ask() for each in (told, told_too, untold)] == [_RW, _RO, _RW]
            for _ in range(_ROUNDS):
                node.csi_node.kill()
                node.supervisor.kill()
                # A call that was under way as the last of them ended may be told so, by ECONNABORTED.
                everybody = (told, told_too, untold)
                poll_until(lambda: [each.ask() for each in everybody] == [_DEAD] * 3, "the mount to be dead")  # noqa: B023
                node.csi_node.start()
                node.supervisor.start()
                node.wait_until_whole()
                poll_until(lambda: kubelet.republish() == [], "the volumes to be published again")
                poll_until(lambda: (told.ask(), told_too.ask()) == (_RW, _RO), "both to be seen again")
                assert untold.ask() == _DEAD
                later = Container(kubelet, reading, "later", PRIVATE, _LOOKER)
                with killed_at_the_end(later):
                    assert later.ask() == _RO
        kubelet.unmount_all()
        assert node.mounted() == [], node.logs()
    node.remove()


if __name__ == "__main__":
    main(*sys.argv[1:])
