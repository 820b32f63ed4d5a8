"""What ends a command: one class a condition, each with a clear sentence and the command's exit code.

Raised anywhere in the control plane, printed once: cli.py (`mountctl: SENTENCE` on stderr), or sent as a JSON answer by
control/server.py. Never raised by an engine.

    MountctlError                    1
    ├── SupervisorNotRunning         1     nothing listens on the control socket
    ├── SupervisorSilent             1     it listens and does not answer, or not as agreed
    ├── ControlDenied                1     this user may not use the control socket
    ├── ControlSocketUnusable        1     the supervisor can't listen there
    ├── Refused                      1     the supervisor said no, and why
    └── UnknownMount                 1     no mount has this name
"""


class MountctlError(Exception):
    """A command cannot go on. The text is a sentence for a person, without a full stop."""

    exit_code: int = 1


class SupervisorNotRunning(MountctlError):
    """Nothing listens on the control socket. Not raised when it exists and may not be used."""


class SupervisorSilent(MountctlError):
    """The supervisor accepted the connection and gave no answer in time, or one that is none."""


class ControlDenied(MountctlError):
    """Neither root, nor the supervisor's user, nor a member of its control group."""


class ControlSocketUnusable(MountctlError):
    """The control socket can't be made."""


class Refused(MountctlError):
    """The supervisor understood and did not do it; the text is its own."""


class UnknownMount(MountctlError):
    """No mount has this name; the text says which there are."""
