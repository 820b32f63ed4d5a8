"""The control socket's client, for the commands: blocking, standard library only, quick to import.

Turns every failure to get an answer into one of mountctl/errors.py. Never starts a supervisor.
"""

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from mountctl.errors import ControlDenied, Refused, SupervisorNotRunning, SupervisorSilent, UnknownMount

if TYPE_CHECKING:
    from mountctl.control.protocol import ReloadResult, RestartResult

SOCKET_NAME: Final = "control.sock"
# The supervisor answers from memory; one that needs longer is stuck, and whoever watches it must be told.
STATUS_SECONDS_MAX: Final = 10.0
# It reads the file, which may be long, or on a disk that is slow.
PLAN_SECONDS_MAX: Final = 30.0
# Mounts drain and come up within a reload, each in bounded time (seconds); many may do so one behind the other.
RELOAD_SECONDS_MAX: Final = 300.0
# One mount after the other, each in a minute at most; hundreds in practice take a second each.
UPGRADE_SECONDS_MAX: Final = 3600.0
# The supervisor gives a mount a minute to come up; it may be busy with a reload before.
ADD_SECONDS_MAX: Final = 360.0


class ControlClient:
    """A supervisor, as its control socket shows it.

    Args:
        runtime_dir: where the supervisor keeps its control socket.
    """

    def __init__(self, runtime_dir: Path) -> None:
        self._path = runtime_dir / SOCKET_NAME

    def status(self, names: Sequence[str] = ()) -> dict[str, Any]:
        """The answer of /v1/status as it came: with keys that only a newer supervisor knows.

        Raises SupervisorNotRunning, SupervisorSilent, ControlDenied, UnknownMount, Refused.
        """
        query = "?" + urlencode([("name", name) for name in names]) if names else ""
        return self._ask("GET", f"/v1/status{query}", STATUS_SECONDS_MAX)

    def plan(self) -> dict[str, Any]:
        """The answer of /v1/plan as it came: what a reload would do now. Raises as `status` does."""
        return self._ask("GET", "/v1/plan", PLAN_SECONDS_MAX)

    def reload(
        self, *, yes: bool = False, atomic: bool = False, only: Sequence[str] = (), confirm: float | None = None
    ) -> "ReloadResult":
        """Have the configuration read again; waits until it is in force or refused. Raises as `status` does.

        Args:
            yes: also what a guard would refuse.
            atomic: all mounts are changed, or none is.
            only: the names of the mounts that it is about; none: all.
            confirm: what was before comes back unless `confirm` is called within so many seconds.
        """
        from mountctl.control.protocol import ReloadResult

        flags = [(name, "1") for name, given in (("yes", yes), ("atomic", atomic)) if given]
        if confirm is not None:
            flags.append(("confirm", str(confirm)))
        query = urlencode([*flags, *(("only", name) for name in only)])
        target = f"/v1/reload?{query}" if query else "/v1/reload"
        return ReloadResult.model_validate(self._ask("POST", target, RELOAD_SECONDS_MAX))

    def confirm(self) -> None:
        """Keep what a reload has put on trial. Raises as `status` does; Refused if there is nothing."""
        self._ask("POST", "/v1/confirm", STATUS_SECONDS_MAX)

    def restart(self, names: Sequence[str]) -> "RestartResult":
        """Have other engines serve these mounts; waits until it is known how each is. Raises as `status` does."""
        from mountctl.control.protocol import RestartResult

        target = "/v1/restart?" + urlencode([("name", name) for name in names])
        return RestartResult.model_validate(self._ask("POST", target, RELOAD_SECONDS_MAX))

    def stop(self, names: Sequence[str], seconds: float) -> "RestartResult":
        """Have these unmounted and held, after `seconds` at most for what is being written. Raises as `status` does."""
        from mountctl.control.protocol import RestartResult

        target = "/v1/stop?" + urlencode([("seconds", str(seconds)), *(("name", name) for name in names)])
        return RestartResult.model_validate(self._ask("POST", target, seconds + RELOAD_SECONDS_MAX))

    def start(self, names: Sequence[str]) -> "RestartResult":
        """Have these mounted again; waits until it is known how each is. Raises as `status` does."""
        from mountctl.control.protocol import RestartResult

        target = "/v1/start?" + urlencode([("name", name) for name in names])
        return RestartResult.model_validate(self._ask("POST", target, RELOAD_SECONDS_MAX))

    def users(self, name: str) -> list[str]:
        """The processes that have a mount open, each as `command (pid)`. Raises as `status` does."""
        answer = self._ask("GET", "/v1/users?" + urlencode([("name", name)]), STATUS_SECONDS_MAX)
        return [str(each) for each in answer.get("users", [])]

    def upgrade(self) -> "ReloadResult":
        """Have all mounts served by the engine that is installed now; waits until they are. Raises as `status` does."""
        from mountctl.control.protocol import ReloadResult

        return ReloadResult.model_validate(self._ask("POST", "/v1/upgrade", UPGRADE_SECONDS_MAX))

    def add(self, spec: str) -> None:
        """Have a mount that no file declares; returns when it can be used.

        Args:
            spec: a MountSpec as JSON.

        Raises as `status` does; Refused if it can't be had, which the text explains.
        """
        self._ask("POST", "/v1/mounts", ADD_SECONDS_MAX, spec)

    def _ask(self, method: str, target: str, seconds: float, body: str | None = None) -> dict[str, Any]:
        with self._explained(seconds), contextlib.closing(_UnixConnection(self._path, seconds)) as connection:
            # Whoever is refused may find the door closed while still asking; the answer is there all the same.
            with contextlib.suppress(BrokenPipeError):
                connection.request(method, target, None if body is None else body.encode())
            response = connection.getresponse()
            answer: dict[str, Any] = json.loads(response.read())
        if response.status == http.HTTPStatus.OK:
            return answer
        sentence = str(answer.get("error", f"the supervisor answered {response.status}"))
        match response.status:
            case http.HTTPStatus.FORBIDDEN:
                raise ControlDenied(sentence)
            case http.HTTPStatus.NOT_FOUND:
                raise UnknownMount(sentence)
            case _:
                raise Refused(sentence)

    @contextlib.contextmanager
    def _explained(self, seconds: float) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
            raise SupervisorNotRunning(
                f"no supervisor: nothing listens on {self._path}"
                " (start it with `mountctl run` or `systemctl start mountctl`, or give its --runtime-dir)"
            ) from error
        except PermissionError as error:
            raise ControlDenied(f"you may not use {self._path}: be root, or a member of its group") from error
        except TimeoutError as error:
            raise SupervisorSilent(f"the supervisor at {self._path} did not answer within {seconds:.0f} s") from error
        except (http.client.HTTPException, ValueError, OSError) as error:
            raise SupervisorSilent(f"no valid answer from {self._path}: {error or type(error).__name__}") from error


class _UnixConnection(http.client.HTTPConnection):
    """HTTP to a Unix socket."""

    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
