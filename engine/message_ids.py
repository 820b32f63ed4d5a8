"""Kinds of log messages that somebody may want to find, count or be woken by: each has an id that never changes.

In the journal it is MESSAGE_ID, in JSON `message_id`: the text may be written better one day, the id stays.
docs/reference/log-messages.md and systemd/mountctl.catalog are made from this table. Only what an operator can do
something about, or wants to know of later, is here.
"""

from typing import Final, NamedTuple


class Kind(NamedTuple):
    """A kind of message.

    Args:
        id: 128 random bits in hex (`journalctl --new-id128`).
        subject: what has happened, in a few words.
        meaning: what that is, in a sentence or two.
        remedy: what to do about it; empty: nothing.
    """

    id: str
    subject: str
    meaning: str
    remedy: str = ""


REQUEST_FAILED: Final = Kind(
    "75cd6455a8564e3ea225e823a80d571c",
    "A request of a program failed",
    "A program that uses the mount was answered the errno that is told, for the key that is told.",
    "The S3 code, or the reason in the message, says what is to be mended: a permission, an object that was replaced "
    "while it was read, S3 being away. Programs that try again need no help.",
)
REQUEST_BUG: Final = Kind(
    "8d18a8f5580c442093b851676c652368",
    "A request of a program failed by an error in the engine",
    "The engine met something that it does not know, and answered EIO. It goes on serving.",
    "It is a bug: report it with the lines that follow.",
)
S3_REQUEST_FAILED: Final = Kind(
    "b66d93ccee1e4933938560d0d055e72b",
    "A request to S3 failed for good",
    "S3 refused it, or did not answer, also after the attempts that are told.",
    "Look at the S3 code. Amazon's support wants both ids of the request.",
)
CREDENTIALS_LACKING: Final = Kind(
    "0ee38219b04b4072ad8f6c3b33782f46",
    "No credentials can be had",
    "Where the mount's keys come from gives none, or no newer ones. Keys that there are serve until they expire.",
    "Mend what the message names; it is tried again by itself.",
)
UPLOAD_LOST: Final = Kind(
    "417db2991c6e418ea88664ae71d7dda1",
    "A file that was being written is not stored",
    "What a program wrote did not become an object; what was in S3 under that key before still is. The program may not "
    "have been told, if it had closed the file or the engine ended.",
    "Write the file again.",
)
UPLOAD_LEFT: Final = Kind(
    "bac9d9b7dc674686b6f1a84d3263c085",
    "A multipart upload may be left in S3",
    "Parts of a file that was not completed could not be removed, and cost what they take.",
    "Have a lifecycle rule of the bucket abort incomplete multipart uploads.",
)
UPLOADS_ABORTED: Final = Kind(
    "c79459b27d5c43df93f33f4a39d9d241",
    "Multipart uploads that were left behind are aborted",
    "Of files that were not completed when their engine, or the host, went down.",
)
NAME_HIDDEN: Final = Kind(
    "bcce97cc4cb7468798ab9c2beb0f95ca",
    "A key can't be shown as a file",
    "Its name is no file name, or a directory has the same one. Told once for a directory.",
    "Reach it by another tool, or name it otherwise.",
)
ENGINE_DIED: Final = Kind(
    "0274e49e56fe406eac85c27c4f4e67b6",
    "The engine before died while it served",
    "The requests that are told were being answered when it died; the engine that came after it answers them.",
    "If it happens again with the same key, report it.",
)
COUNTERS: Final = Kind(
    "b3c923da11c740c49acb1df8475b907d",
    "Counters of a mount",
    "What option `log-metrics` asks for: the counters that have changed within five seconds.",
)
FETCHER_GONE: Final = Kind(
    "22a77217fff54208aa58c471581f0fc7",
    "A fetcher is gone",
    "A process that fetches for an engine has died or hung. The engine goes on without it, and starts another.",
)
MOUNT_STATE: Final = Kind(
    "d8bfd8ce3a1c4bd6a393af86c1c8db74",
    "A mount is in another state",
    "The states before and after are told, and the reason, if it is not ready.",
    "Look at `mountctl status`.",
)
S3_STATE: Final = Kind(
    "2009557131a44228b32684dad7b445cf",
    "S3 answers a mount no longer, or again",
    "Told once when S3 can't be reached or refuses the mount's keys, and once when that is over.",
    "Look for what the reason names: a network, a proxy, an endpoint, keys.",
)
ENGINE_CHANGED: Final = Kind(
    "c439159f209f4f4788c1219a7a8d5050",
    "The engine of a mount ended, or another serves",
    "An engine died, took a mount over or was handed it. Programs wait for a moment, and see no error.",
    "One that dies again and again is to be reported, with its lines before that.",
)
ENGINE_HUNG: Final = Kind(
    "8fe5f7a3c6ec4e9db40313c0be990cb1",
    "An engine hangs and is killed",
    "It has not said a word for too long, or programs wait and nothing is answered. Another takes over.",
    "If the host was not just out of CPU or memory, report it.",
)
UNMOUNTED: Final = Kind(
    "05c776dfc8f445348185549185bb242b",
    "A mount was unmounted by somebody else",
    "Not by the supervisor: by umount(8), or systemd.",
    "`mountctl stop NAME` is for a mount that is to stay away.",
)
HELD: Final = Kind(
    "e6d8237570d246f09ca255f7979d668d",
    "An operator has stopped or started a mount",
    "By `mountctl stop` or `mountctl start`.",
)
RELOAD: Final = Kind(
    "5d2a01bfe3814c3bbdee0faa368c5546",
    "The configuration is put in force",
    "A reload or an upgrade began, or ended with the results that are told.",
)
RELOAD_REFUSED: Final = Kind(
    "242453d4217b44be93a0fbf218207d8c",
    "A configuration was refused",
    "It has an error, or would do what only an operator may ask for. Nothing has changed.",
    "`mountctl check` and `mountctl plan` show all of it.",
)
LOG_LEVEL: Final = Kind(
    "8814d0461e2e4ebfa0f41be91c454a81",
    "The log level of mounts was changed",
    "By `mountctl log-level`, by SIGUSR2, by a reload, or because its time was over.",
)
CONTROL_REFUSED: Final = Kind(
    "ae6cde136cc941838f170af912cb9c7b",
    "A user was refused at the control socket",
    "Only root, and members of `control-group`, may use it.",
    "If that user should: make it a member of the group.",
)
HELPER_GONE: Final = Kind(
    "c66e19b96a3c484cbcb64d52989d8dd1",
    "A process of the supervisor's is gone",
    "The broker (credentials) or the zygote (new engines) has ended; another is started. Mounts go on.",
)
ARCHIVED_READ: Final = Kind(
    "c4a5c1079f104cb89777dccfc8160bf0",
    "A file that is archived was opened",
    "Its object is in a storage class that must be restored before it can be read. The program was answered EACCES.",
    "The message names the command that restores it: `mountctl restore PATH`.",
)
RESTORES: Final = Kind(
    "11538c739e6043a4b0cf531972598598",
    "Archived objects are being restored, or are there",
    "What `mountctl restore` has asked S3 for, in how many objects.",
)
ENGINE_UNFIT: Final = Kind(
    "4dbb05ef5b2a4ba1968d1f6aef0b7bed",
    "An engine can't do something that it should",
    "What is told, such as pass on who closes a file, or take over what was being written. It serves the mount "
    "without that.",
    "Look at what the message names: the kernel, the version of pyfuse3, `memory-target`.",
)
NOT_UNDERSTOOD: Final = Kind(
    "b963aaf785fe4aafa9d606f0b63afcfe",
    "Processes of mountctl do not understand each other",
    "One said what the other does not know, or does not read what it is told. What was said is left out.",
    "After an upgrade `mountctl upgrade` has all engines of one version; otherwise report it.",
)
MOUNT_LEFT: Final = Kind(
    "93d0382c1754489da07cf7937d4736d5",
    "A mount of before is taken away, or stays",
    "What a supervisor, an engine or a program before has left: a dead mount, one with open files, one beneath "
    "another.",
    "`umount -l` takes away by hand what the message says stays.",
)
LIMITS_NOT_IN_FORCE: Final = Kind(
    "8f1e0603fc75c4038eee51694ed63e4e",
    "A mount has not the limits that it asks for",
    "Its `memory-max`, `memory-high`, `cpu-weight` or `slice` cannot be had, or not yet. It serves without them.",
    "The message says what refuses: no systemd, a control group without the controller, a name that is too long.",
)
CHANGE_FAILED: Final = Kind(
    "522f0e7ceaff4338a8c75b09f6c43203",
    "A mount could not be changed as was asked",
    "By a reload, an upgrade or a restart. The mount is as the message says, mostly as before.",
    "Mend what it names, then `mountctl reload`.",
)
CONFIG_IGNORED: Final = Kind(
    "e65e19e7f0f34ffe9d8af23046adbe2c",
    "Something that was asked for has no effect",
    "An option, a variable or an attribute that has no meaning here.",
    "Take it out, or use what the message names instead.",
)
CONFIG_WATCH: Final = Kind(
    "8e7fdb966e0843dfbf8c68d970ab8dc6",
    "How changes of the configuration are noticed",
    "By the kernel's word, or, where it gives none, by looking every few seconds.",
)
STATE_FILE: Final = Kind(
    "c2d8e90dbe244bbcadbc2c256bb81a9e",
    "What is noted for a next supervisor can't be used",
    "A file of the state or runtime directory can't be read or written. What runs goes on; the message says what a "
    "next supervisor will not know.",
    "Make room, or mend the permissions of the directory that it names.",
)
FD_HOLDER: Final = Kind(
    "f8d45183752a4e00be0ae16736b46474",
    "What keeps mounts over a restart is missing, or full",
    "The store of systemd, or the FD holder beside the supervisor, does not take all that it should: "
    "a supervisor that ends now takes mounts along.",
    "Raise FileDescriptorStoreMax= or limits of open files, or start the pod that holds them.",
)
VOLUME: Final = Kind(
    "c02aa44bb88f4bd0a949f64e31ce361d",
    "A volume of an orchestrator",
    "Who came or went, and what could not be bound, or released.",
    "Where something failed: `mountctl status --json` has who uses the volume.",
)
HOST: Final = Kind(
    "058b428692db4069a4939fa9e415b493",
    "Something of the host is not as it should be",
    "What is set, asked or limited there was refused; mounts are served without it.",
    "Mend what the message names.",
)
LOG_FILE: Final = Kind(
    "388cc22ae4c14df6a1e5c41861896b86",
    "A log file of a mount can't be opened",
    "Its engine logs where it did before.",
    "Mend what the message names, then `mountctl reload`.",
)
METRICS_ADDRESS: Final = Kind(
    "7e24c9b1066b4dd2b534fbb883fd5060",
    "The address for metrics can't be had, or is served",
    "It is what `metrics-listen` of `[supervisor]` says. One that can't be had is tried again.",
    "Free the address, or choose another one.",
)
METRICS_NOT_PUSHED: Final = Kind(
    "1eebc66697de49b69d10ce585ee911e5",
    "Metrics could not be pushed",
    "The receiver did not take them, was too slow or is away. Mounts are not concerned; the next are pushed in "
    "their turn.",
    "Look at the receiver.",
)
SUPERVISOR_ENDS: Final = Kind(
    "2d61a1afa49e42b7aec964b11c30b87e",
    "The supervisor ends",
    "Asked to, by a signal, or since nothing is mounted any more. The message says what becomes of the mounts.",
)
CSI_DONE: Final = Kind(
    "ca0b8ce7361449978f5008d50b411f04",
    "A request of kubelet or of a sidecar was carried out",
    "For a volume, a target and a pod, as far as the request names them.",
)
CSI_REFUSED: Final = Kind(
    "b0d3c1caa0d947feaaabe170c540f431",
    "A request of kubelet or of a sidecar was refused",
    "The driver could not do what Kubernetes asks for a volume; the pod's events have the same sentence. It is "
    "asked again.",
    "Mend what the sentence names.",
)
CSI_REGISTRATION: Final = Kind(
    "f8941a38af6e4209b5dbc05f8979ae6e",
    "The driver is registered with kubelet, or is not",
    "Without that no pod on this node gets a volume.",
    "If it is not: look at kubelet's log, and whether `--kubelet-dir` is its directory.",
)
CSI_CREDENTIALS: Final = Kind(
    "0737a1b817ef40d080aa29f12fb71794",
    "Credentials of a volume or of the driver stay as they were",
    "They could not be renewed, found or removed; those that there are serve until they expire.",
    "Mend what the message names: a service account, a Secret.",
)
CSI_TAINT: Final = Kind(
    "64d1f27ecacb4128a1a2092381622432",
    "The startup taint stays on the node",
    "The node takes no pods while it has the taint.",
    "Remove it by hand, or start the driver's pod again.",
)
INTERNAL_ERROR: Final = Kind(
    "d71def6d961d4720a8003051ffa8aa66",
    "An internal error",
    "Something went wrong that was not foreseen. What is mounted stays.",
    "It is a bug: report it with the lines that follow.",
)

KINDS: Final[dict[str, Kind]] = {name: kind for name, kind in sorted(vars().items()) if isinstance(kind, Kind)}
