"""The control socket's client, for the commands: blocking, standard library only, quick to import.

Turns every failure to get an answer into one of mountctl/errors.py. Never starts a supervisor.
"""

import json
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mountctl.control.exchange import Exchange, NoAnswer, lines
from mountctl.errors import (
    ControlDenied,
    Refused,
    SupervisorBusy,
    SupervisorNotRunning,
    SupervisorSilent,
    UnknownMount,
)

if TYPE_CHECKING:
    from engine.restores import AskRestore, RestoreTold
    from mountctl.control.protocol import ReloadResult, RestartResult
    from mountctl.volume import Applied, Apply, Release, Released

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
# The supervisor gives a volume a minute (supervisor/volumes/volumes.py, APPLY_SECONDS_MAX), and clears away for a while
# what can't be had.
APPLY_SECONDS_MAX: Final = 90.0
# The engine asks S3 for each of ten thousand objects at most (supervisor/restores.py).
RESTORE_SECONDS_MAX: Final = 630.0
# It waits for as long as an apply of the same target, and for the end of a mount in bounded time.
RELEASE_SECONDS_MAX: Final = 120.0
# A stream has a sign of life every second (streams.py); a supervisor that gives none for so long is stuck.
SILENT_SECONDS_MAX: Final = STATUS_SECONDS_MAX

_OK, _FORBIDDEN, _NOT_FOUND, _BUSY = 200, 403, 404, 503


class ControlClient:
    """A supervisor, as its control socket shows it.

    Args:
        runtime_dir: where the supervisor keeps its control socket.
    """

    def __init__(self, runtime_dir: Path) -> None:
        self._path = runtime_dir / SOCKET_NAME

    def status(self, names: Sequence[str] = (), *, seconds: float | None = None) -> dict[str, Any]:
        """The answer of /v1/status as it came: with keys that only a newer supervisor knows.

        Args:
            names: of the mounts; none: all.
            seconds: how long the answer may take, if not as long as one that does not hang needs.

        Raises SupervisorNotRunning, SupervisorSilent, ControlDenied, UnknownMount, Refused.
        """
        return self._ask("GET", _target("/v1/status", _named(names)), seconds or STATUS_SECONDS_MAX)

    def watch(self, names: Sequence[str] = (), until: float = math.inf) -> Iterator[dict[str, Any] | None]:
        """The status of these mounts, or of all, now and whenever something changes; None is a sign of life.

        One that is gone is left out from then on. Ends when the supervisor ends, or at `until`, on
        time.monotonic()'s clock. Raises as `status` does.
        """
        return self._follow(_target("/v1/status", [("watch", "1"), *_named(names)]), until)

    def events(self, since: int = 0, *, follow: bool = False) -> Iterator[dict[str, Any] | None]:
        """What happened after the event of this number, as far as it is known; with `follow` also what happens.

        Ends, and has signs of life, as `watch` does. Raises as `status` does.
        """
        flags = [("follow", "1")] if follow else []
        return self._follow(_target("/v1/events", [("since", str(since)), *flags]), math.inf)

    def logs(self, name: str, lines: int, *, follow: bool = False) -> Iterator[dict[str, Any] | None]:
        """The last lines that the supervisor has of a mount's log; with `follow` also what is logged from now on.

        Ends, and has signs of life, as `watch` does. Raises as `status` does.
        """
        flags = [("follow", "1")] if follow else []
        return self._follow(_target("/v1/logs", [("name", name), ("lines", str(lines)), *flags]), math.inf)

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
        target = _target("/v1/reload", [*flags, *(("only", name) for name in only)])
        return ReloadResult.model_validate(self._ask("POST", target, RELOAD_SECONDS_MAX))

    def confirm(self) -> None:
        """Keep what a reload has put on trial. Raises as `status` does; Refused if there is nothing."""
        self._ask("POST", "/v1/confirm", STATUS_SECONDS_MAX)

    def restart(self, names: Sequence[str]) -> "RestartResult":
        """Have other engines serve these mounts; waits until it is known how each is. Raises as `status` does."""
        from mountctl.control.protocol import RestartResult

        target = _target("/v1/restart", _named(names))
        return RestartResult.model_validate(self._ask("POST", target, RELOAD_SECONDS_MAX))

    def stop(self, names: Sequence[str], seconds: float) -> "RestartResult":
        """Have these unmounted and held, after `seconds` at most for what is being written. Raises as `status` does."""
        from mountctl.control.protocol import RestartResult

        target = _target("/v1/stop", [("seconds", str(seconds)), *_named(names)])
        return RestartResult.model_validate(self._ask("POST", target, seconds + RELOAD_SECONDS_MAX))

    def start(self, names: Sequence[str]) -> "RestartResult":
        """Have these mounted again; waits until it is known how each is. Raises as `status` does."""
        from mountctl.control.protocol import RestartResult

        target = _target("/v1/start", _named(names))
        return RestartResult.model_validate(self._ask("POST", target, RELOAD_SECONDS_MAX))

    def set_log_level(self, name: str, level: str, seconds: float | None) -> dict[str, str]:
        """Have a mount log from this level on, or as the file says (`default`). Returns what is so then, by its name.

        Raises as `status` does; Refused if it logs nothing.
        """
        limit = [] if seconds is None else [("seconds", str(seconds))]
        target = _target("/v1/log-level", [("name", name), ("level", level), *limit])
        return dict(self._ask("POST", target, STATUS_SECONDS_MAX)["mounts"])

    def users(self, name: str) -> list[str]:
        """The processes that have a mount open, each as `command (pid)`. Raises as `status` does."""
        answer = self._ask("GET", _target("/v1/users", [("name", name)]), STATUS_SECONDS_MAX)
        return [str(each) for each in answer.get("users", [])]

    def restore(self, name: str, asked: "AskRestore") -> "RestoreTold":
        """Have S3 restore archived objects of a mount; waits until it has been asked. Raises as `status` does."""
        from engine.restores import RestoreTold

        target = _target("/v1/restore", [("name", name)])
        return RestoreTold.model_validate(self._ask("POST", target, RESTORE_SECONDS_MAX, asked.model_dump_json()))

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

    def apply(self, asked: "Apply", *, seconds: float = APPLY_SECONDS_MAX) -> "Applied":
        """Have a volume bound at a target. Raises as `status` does; Refused has a cause then."""
        from mountctl.volume import Applied

        body = asked.model_dump_json()
        return Applied.model_validate(self._ask("POST", "/v1/mounts/apply", seconds, body))

    def release(self, asked: "Release", *, seconds: float = RELEASE_SECONDS_MAX) -> "Released":
        """Have a target gone. Raises as `status` does; Refused has a cause then."""
        from mountctl.volume import Released

        body = asked.model_dump_json()
        return Released.model_validate(self._ask("POST", "/v1/mounts/release", seconds, body))

    def _ask(self, method: str, target: str, seconds: float, body: str | None = None) -> dict[str, Any]:
        with self._explained(seconds), Exchange(self._path, seconds) as exchange:
            status, pieces = exchange.ask(method, target, None if body is None else body.encode())
            answer: dict[str, Any] = json.loads(b"".join(pieces))
        if status != _OK:
            raise _error(status, answer)
        return answer

    def _follow(self, target: str, until: float) -> Iterator[dict[str, Any] | None]:
        with self._explained(SILENT_SECONDS_MAX), Exchange(self._path, STATUS_SECONDS_MAX) as exchange:
            status, pieces = exchange.ask("GET", target)
            if status != _OK:
                raise _error(status, json.loads(b"".join(pieces)))
            told = lines(pieces)
            while (now := time.monotonic()) < until:
                exchange.wait_until(min(until, now + SILENT_SECONDS_MAX))
                try:
                    line = next(told, None)
                except (NoAnswer, ConnectionError):
                    return  # it was killed
                except TimeoutError:
                    if time.monotonic() < until:
                        raise
                    return
                if line is None:
                    return
                yield json.loads(line) if line else None

    @contextmanager
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
        except (NoAnswer, ValueError, OSError) as error:
            raise SupervisorSilent(f"no valid answer from {self._path}: {error or type(error).__name__}") from error


def _error(status: int, answer: dict[str, Any]) -> ControlDenied | UnknownMount | Refused:
    """What an answer other than 200 means."""
    kinds: dict[int, type[ControlDenied | UnknownMount | Refused]] = {
        _FORBIDDEN: ControlDenied,
        _NOT_FOUND: UnknownMount,
    }
    told = str(answer.get("error", f"the supervisor answered {status}"))
    if (cause := answer.get("cause")) is not None:
        from mountctl.volume import Cause

        return Refused(told, Cause(cause) if cause in set(Cause) else Cause.INTERNAL)
    if status == _BUSY:
        from mountctl.volume import Cause

        return SupervisorBusy(told, Cause.BUSY)
    return kinds.get(status, Refused)(told)


def _named(names: Sequence[str]) -> list[tuple[str, str]]:
    return [("name", name) for name in names]


def _target(path: str, query: Sequence[tuple[str, str]]) -> str:
    if not query:
        return path
    from urllib.parse import urlencode  # 3 ms, which `status` of all mounts does without

    return f"{path}?{urlencode(query, errors='surrogateescape')}"  # a name may be no text: then nothing has it
