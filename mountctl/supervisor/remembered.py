"""What supervisors on one runtime directory know of each other: the parts of the state directory. Made by daemon.py."""

import time
from dataclasses import dataclass
from pathlib import Path

from mountctl.supervisor import event_ids
from mountctl.supervisor.events import Events, by_clock
from mountctl.supervisor.holds import Holds
from mountctl.supervisor.last_good import LastGood
from mountctl.supervisor.mounts_file import MountsFile
from mountctl.supervisor.restoring import Restoring
from mountctl.supervisor.spending import Spending
from mountctl.supervisor.trial_file import TrialFile
from mountctl.supervisor.uploads_file import UploadFiles
from mountctl.supervisor.volumes.kept import VolumesFile


@dataclass(frozen=True)
class Remembered:
    """All that one supervisor finds, and leaves for the next.

    Args:
        noted: the mounts that were made.
        uploads: those begun in S3.
        events: their ring, which goes on with the numbers of the one before.
        holds: the mounts that are held.
        last_good: where what is in force is kept, for a start with a broken file; None: there is no file.
        trials: what is on trial; likewise.
        volumes: those that an orchestrator has asked for.
        spending: the requests of each day.
        restoring: archived objects that S3 restores.
    """

    noted: MountsFile
    uploads: UploadFiles
    events: Events
    holds: Holds
    last_good: LastGood | None
    trials: TrialFile | None
    volumes: VolumesFile
    spending: Spending
    restoring: Restoring


def of(state_dir: Path, runtime_dir: Path, config: Path | None) -> Remembered:
    """What there is, for the supervisor of this file, or of one mount and no file. Blocks: it is read and written."""
    first = event_ids.reserve(state_dir, runtime_dir, by_clock(time.time()))
    return Remembered(
        noted=MountsFile(state_dir, runtime_dir),
        uploads=UploadFiles(state_dir, runtime_dir),
        events=Events(first=first),
        holds=Holds() if config is None else Holds(state_dir, runtime_dir),
        last_good=None if config is None else LastGood(state_dir, runtime_dir, config),
        trials=None if config is None else TrialFile(state_dir, runtime_dir),
        volumes=VolumesFile(state_dir, runtime_dir),
        spending=Spending(None if config is None else state_dir, runtime_dir),
        restoring=Restoring(state_dir, runtime_dir),
    )
