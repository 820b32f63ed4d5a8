"""What a supervisor tells to programs, as pages: status.md from the models of the JSON, events.md from the kinds. Pure.

Called by generate.py.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel

from engine.link import Stats
from mountctl.status import Status
from mountctl.supervisor.events import EVENTS_MAX, TEXT_CHARACTERS_MAX, Event, Kind

# Of keys whose name says enough where the code is read, and not here. One that is not there any more stops the
# generator, as does a key of which nothing is said.
PLAIN: Final = {
    "Status.schema": "the version of this form",
    "Status.health": "`ready`: all is; `degraded`: not all; `failed`: nothing is served",
    "Status.supervisor": "the supervisor itself",
    "Status.mounts": "one each, in the order of their names",
    "SupervisorStatus.pid": "its process",
    "SupervisorStatus.version": "of the code that it runs",
    "SupervisorStatus.generation": "counts the configurations that it has carried out",
    "SupervisorStatus.config": "the configuration in force",
    "ConfigStatus.path": "of the file",
    "ConfigStatus.last_reload": "the last time that it was read",
    "LastReload.ok": "false: it was refused, and changed nothing",
    "LastReload.errors": "why, with file and line",
    "LastReload.at": "when",
    "MountStatus.name": "of the mount: its table in the file",
    "MountStatus.mountpoint": "where it is mounted",
    "MountStatus.source": "`s3://BUCKET/PREFIX/`",
    "MountStatus.state": "see [processes](../concepts/processes.md#the-states-of-a-mount)",
    "MountStatus.engine": "the process that serves it",
    "MountStatus.backend": "S3, as the engine sees it",
    "MountStatus.credentials": "where its keys come from; never a key",
    "MountStatus.log": "where its log goes",
    "MountStatus.restores": "archived objects that S3 restores now",
    "RestoreStatus.path": "what was asked for: a file, or a directory",
    "EngineStatus.started": "when the process was started",
    "BackendStatus.reachable": "null while nothing is known",
    "VolumeStatus.driver": "who has asked for it: the CSI driver's name",
    "VolumeStatus.inline": "a pod has asked for it by itself",
    "VolumeStatus.consumers": "who uses it",
    "Consumer.pod": "the pod that uses it",
    "Pod.namespace": "the pod's",
    "Pod.name": "the pod's",
    "Pod.uid": "the pod's",
    "Pod.service_account": "the pod's",
    "Stats.bytes_read": "by programs",
    "Stats.bytes_written": "by programs",
    "Stats.s3_retries": "requests that were sent again",
    "Stats.s3_bytes_received": "from S3",
    "Stats.inodes": "names that the kernel holds now",
    "Stats.open_files": "now",
    "Stats.open_directories": "now",
}

_STATUS: Final = """\
# Status as JSON

{generated}

What `mountctl status --json` prints, and with `--watch` each line of it. The control socket has it as `GET /v1/status`.
Keys are added freely and never renamed; whoever reads it passes by what he does not know. Times are ISO 8601 in UTC. No
secret is in any of it.

Exit codes of the command: 0 for `ready`, 3 for `degraded`, 4 for `failed` or when no supervisor answers.
"""

_EVENTS: Final = """\
# Events

{generated}

What `mountctl events` prints: what happened to mounts and their supervisor, oldest first ([the command](commands.md)).
The last {events} are kept in the supervisor's memory; what is older is in its log. A text has at most {characters}
characters.

| kind | tells |
|---|---|
"""

_EVENT_JSON: Final = """
With `--json` each line is an object. Keys are added freely and never renamed.

| key | value | meaning |
|---|---|---|
| `id` | an integer | rises by one from event to event, from one supervisor to the next by more: for `--since` |
| `at` | a time | when it happened: ISO 8601, UTC, with milliseconds |
| `kind` | a string | one of those above |
| `mount` | a string or null | whose; null: it is not about one mount |
| `state` | a string or null | the mount's, from then on; null: it is not about that |
| `text` | a string | a sentence, for people |

States are those of [processes](../concepts/processes.md#the-states-of-a-mount).
"""

_OF_STATS: Final = """\
Counters of all engines that this supervisor has seen serve the mount, and gauges of the one that serves now. What S3 is
asked for, and when: [requests](../concepts/requests.md).
"""


def status(generated: str) -> str:
    """The page about the status. `generated` is the line that says so. Raises LookupError as `unfit` says."""
    models = Status.model_json_schema(mode="serialization") | {"title": "Status"}
    if wrong := unfit({"Status": models, "Stats": _schema(Stats), **models["$defs"]}, PLAIN):
        raise LookupError("; ".join(wrong))
    parts = [_STATUS.format(generated=generated), "## The whole\n", *_table("Status", models), ""]
    for name, titles in _places(models):
        parts += [f"## {titles}\n", *_table(name, models["$defs"][name]), ""]
        if name == "MountStatus":
            parts += ["## `mounts[].stats`\n", _OF_STATS, *_table("Stats", _schema(Stats)), ""]
    return "\n".join(parts)


def events(generated: str) -> str:
    """The page about events."""
    rows = "\n".join(f"| `{kind}` | {kind.meaning} |" for kind in Kind)
    told = _EVENTS.format(generated=generated, events=f"{EVENTS_MAX:,}", characters=TEXT_CHARACTERS_MAX)
    missing = [key for key in Event._fields if f"| `{key}` |" not in _EVENT_JSON]
    assert not missing, missing
    return told + rows + "\n" + _EVENT_JSON


def unfit(models: dict[str, Any], told: Mapping[str, str]) -> list[str]:
    """What is told by hand of keys that no model has, and keys of models of which nothing is told."""
    keys = {f"{name}.{key}": field for name, model in models.items() for key, field in _properties(model).items()}
    gone = [f"{key} is told of and is not there" for key in told if key not in keys]
    silent = [f"{key} is not told of" for key, field in keys.items() if "description" not in field and key not in told]
    return gone + silent


def _properties(model: dict[str, Any]) -> dict[str, dict[str, Any]]:
    properties: dict[str, dict[str, Any]] = model.get("properties", {})  # an enum has none
    return properties


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(mode="serialization")


def _places(models: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each model below the whole one, and where it is there, in the order in which one reads it."""

    def below(place: str, model: dict[str, Any]) -> Iterator[tuple[str, str]]:
        for key, field in model["properties"].items():
            name, many = _model(field)
            if name is not None:
                where = f"{place}{key}{'[]' * many}"
                yield name, f"`{where}`"
                yield from below(f"{where}.", models["$defs"][name])

    return below("", models)


def _model(field: dict[str, Any]) -> tuple[str | None, bool]:
    """The model that a key has for its value, and whether there are many of them."""
    many = "items" in field
    for each in [field.get("items", field), *field.get("anyOf", [])]:
        if "$ref" in each:
            return each["$ref"].rpartition("/")[2], many
    return None, many


def _table(name: str, model: dict[str, Any]) -> Iterator[str]:
    yield "| key | value | meaning |"
    yield "|---|---|---|"
    for key, field in model["properties"].items():
        meaning = field.get("description") or PLAIN.get(f"{name}.{key}", "")
        yield f"| `{key}` | {_value(field)} | {meaning.replace('None:', 'null:').replace('; None', '; null')} |"


def _value(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_value(each) for each in field["anyOf"])
    if "enum" in field:
        return ", ".join(f"`{each}`" for each in field["enum"])
    if "$ref" in field:
        return "an object"
    if field.get("type") == "array":
        return f"an array of {'objects' if '$ref' in field['items'] else 'strings'}"
    if field.get("format") == "date-time":
        return "a time"
    names = {"integer": "an integer", "number": "a number", "string": "a string", "boolean": "true or false"}
    return names.get(field.get("type", ""), "null" if field.get("type") == "null" else "an object")
