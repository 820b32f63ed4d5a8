"""The JSON Schema of a configuration file, for editors: completion, descriptions, and wrong values underlined as typed.

Called by commands/schema.py and by the generator of config/mountpoint-s3.schema.json. Pure; made from the models, so
that it can't lag behind. It never says more than `mountctl check` would: rules for several keys are left to that.
"""

from typing import Any, Final, Literal, get_args, get_origin

from annotated_types import MinLen
from pydantic.fields import FieldInfo

from engine.spec import TTL_MAX_SECONDS, MountSpec
from engine.variables import ALLOWED
from mountctl.config.model import CsiSpec, SupervisorSpec
from mountctl.config.tables import CSI, DEFAULTS, MOUNT, SUPERVISOR, TEMPLATE, USE
from mountctl.config.words import (
    fields,
    limits,
    parts,
    takes_mode,
    takes_number,
    takes_price,
    takes_seconds,
    takes_truth,
    takes_variables,
)

# What the tools that read `#:schema` all understand.
DIALECT: Final = "http://json-schema.org/draft-07/schema#"

# The validators of engine.spec, as far as a pattern can have them.
_PATTERNS: Final = {
    "mountpoint": "^/.",
    "prefix": r"^([^/][\s\S]*/)?$",
    "endpoint-url": r"^https?://[^/?#\s@]+/?$",
    "ca-bundle": "^/",
    "log-directory": "^/",
    "target-directory": "^/",
}
_OCTAL: Final = "^(0o)?[0-7]{1,4}$"
_MODE_MAX: Final = 0o777
_REFERENCE: Final = {"$ref": "#/definitions/reference"}
_NAME: Final = "^[0-9A-Za-z][0-9A-Za-z._-]{0,62}$"


def schema() -> dict[str, Any]:
    """The schema as JSON has it. Drop-ins have the same, so no key is required."""
    options = {key: _option(key, field) for key, field in fields(MountSpec).items() if key != "name"}
    shared = {key: option for key, option in options.items() if key != "mountpoint"}
    names = {"type": "string", "description": "A template's name."}
    use = {
        "anyOf": [names, {"type": "array", "items": names}],
        "description": "Templates whose options this mount has; of several, the last wins; its own keys win over all.",
    }
    return {
        "$schema": DIALECT,
        "title": "mountctl configuration",
        "description": "Which buckets of S3 are mounted where, and how.",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            SUPERVISOR: _table(
                "What concerns no single mount.",
                {key: _option(key, field) for key, field in fields(SupervisorSpec).items()},
            ),
            CSI: _table(
                "Volumes that an orchestrator asks for, such as Kubernetes.",
                {key: _option(key, field) for key, field in fields(CsiSpec).items()},
            ),
            DEFAULTS: _table("Options of all mounts; a mount's own and its templates' win.", shared),
            TEMPLATE: _tables("Options under a name, for mounts that say `use`.", _table("A template.", shared)),
            MOUNT: _tables("The mounts, by name.", _table("A mount.", options | {USE: use}), pattern=_NAME),
        },
        "definitions": {
            "reference": {
                "type": "string",
                "pattern": r"\$\{(env:[A-Za-z_][A-Za-z0-9_]*|file:[^{}]+)\}",
                "description": "What an environment variable or a file has: ${env:NAME}, ${file:PATH}.",
            }
        },
    }


def _table(description: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "description": description, "additionalProperties": False, "properties": properties}


def _tables(description: str, table: dict[str, Any], pattern: str | None = None) -> dict[str, Any]:
    names = {} if pattern is None else {"propertyNames": {"pattern": pattern}}
    return {"type": "object", "description": description, "additionalProperties": table, **names}


def _option(key: str, field: FieldInfo) -> dict[str, Any]:
    option: dict[str, Any] = {"description": field.description, "anyOf": [*_values(key, field), _REFERENCE]}
    if not field.is_required() and field.default not in (None, ()):
        option["default"] = f"{field.default:04o}" if takes_mode(field) else field.default
    return option


def _values(key: str, field: FieldInfo) -> list[dict[str, Any]]:
    """What a value may be, one way a schema."""
    if takes_mode(field):
        return [{"type": "string", "pattern": _OCTAL}, {"type": "integer", "minimum": 0, "maximum": _MODE_MAX}]
    if takes_seconds(field):
        seconds = {"type": "integer", "minimum": 0, "maximum": TTL_MAX_SECONDS}
        return [{"enum": ["minimal", "indefinite"]}, seconds]
    if takes_truth(field):
        return [{"type": "boolean"}]
    if takes_variables(field):
        variable = {"type": "string", "minLength": 1}
        names = dict.fromkeys(ALLOWED, variable)
        pair = {"type": "string", "pattern": f"^({'|'.join(ALLOWED)})=."}
        table = {"type": "object", "additionalProperties": False, "properties": names}
        return [table, pair, {"type": "array", "items": pair}]
    if takes_price(field):
        return [{"type": "number", "minimum": 0}]
    types = parts(field)
    choices = [choice for each in types if get_origin(each) is Literal for choice in get_args(each)]
    words = [{"enum": choices}] if choices else []
    if takes_number(field):
        between = limits(field)
        return [*words, {"type": "integer"} | ({"minimum": between[0], "maximum": between[1]} if between else {})]
    if words:
        return words
    text: dict[str, Any] = {"type": "string"}
    if any(isinstance(each, MinLen) for each in types):
        text["minLength"] = 1
    if key in _PATTERNS:
        text["pattern"] = _PATTERNS[key]
    if any(get_origin(each) is tuple for each in types):
        return [text, {"type": "array", "items": text}]
    return [text]
