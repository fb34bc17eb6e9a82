"""The JSON Schema of workflow files for editors, built from the model and the loader's vocabularies.

The schema describes every key and every form of its value. Only the loader checks whether a name exists and whether an
expression is valid.
"""

import re
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel

from shared.language.document import DAG_KEYS
from shared.language.model import (
    ContinueOn,
    Dag,
    LogOutput,
    MailOn,
    MailSettings,
    OnWorkerShutdown,
    Placement,
    RepeatPolicy,
    RetryPolicy,
    RunConfig,
    Schedule,
    Step,
)
from shared.language.reference.dag_fields import DAG_ENTRIES
from shared.language.reference.field_entry import FieldEntry
from shared.language.reference.step_fields import STEP_ENTRIES
from shared.language.steps.executor_types import known_types
from shared.language.steps.step import STEP_KEYS
from shared.language.yaml.fields import Vocabulary

__all__ = ["dag_schema"]

Schema = dict[str, Any]

_LINK = re.compile(r",? \[[^]]*\]\([^)]*\)")
"""A link of the reference page, which leads nowhere in an editor."""
_SCALAR: Schema = {"type": ["string", "number", "boolean", "null"]}
_TEXT: Schema = {"type": "string"}
_TEXTS: Schema = {"oneOf": [_TEXT, {"type": "array", "items": _SCALAR}]}
_MAP: Schema = {"type": "object"}
_NUMBER_OR_TEXT: Schema = {"type": ["number", "string"]}
_CODES: Schema = {
    "oneOf": [{"type": ["integer", "string"]}, {"type": "array", "items": {"type": ["integer", "string"]}}]
}
_ENV: Schema = {"oneOf": [_MAP, {"type": "array", "items": {"oneOf": [_TEXT, _MAP]}}]}
_SETS: Schema = {"oneOf": [_TEXT, _MAP, {"type": "array"}]}
_CONDITION: Schema = {
    "oneOf": [
        _TEXT,
        {
            "type": "object",
            "properties": {"condition": _TEXT, "command": _TEXT, "expected": _TEXT, "negate": {"type": "boolean"}},
            "additionalProperties": False,
        },
    ]
}
_CONDITIONS: Schema = {"oneOf": [*_CONDITION["oneOf"], {"type": "array", "items": _CONDITION}]}
_STEP: Schema = {"$ref": "#/definitions/step"}
_STEPS: Schema = {
    "oneOf": [
        {"type": "array", "items": {"oneOf": [_TEXT, _STEP, {"type": "array", "items": {"oneOf": [_TEXT, _STEP]}}]}},
        {"type": "object", "additionalProperties": _STEP},
    ]
}
_HANDLERS = ("init", "success", "failure", "abort", "cancel", "exit", "wait")
_PLAIN = {"string": "string", "integer": "integer", "number": "number", "boolean": "boolean"}
_FORMS: dict[str, Schema] = {
    "schedule": {
        "oneOf": [
            *_TEXTS["oneOf"],
            {
                "type": "object",
                "properties": dict.fromkeys(Schedule.model_fields, _TEXTS),
                "additionalProperties": False,
            },
        ]
    },
    "tags": _TEXTS,
    "type": _TEXT,
    "env": _ENV,
    "dotenv": _TEXTS,
    "params": _SETS,
    "steps": _STEPS,
    "handlerOn": {"type": "object", "properties": dict.fromkeys(_HANDLERS, _STEP), "additionalProperties": False},
    "preconditions": _CONDITIONS,
    "precondition": _CONDITIONS,
    "shell": _TEXTS,
    "container": {"oneOf": [_TEXT, _MAP]},
    "registryAuths": {"oneOf": [_TEXT, _MAP]},
    "secrets": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"name": _TEXT, "provider": _TEXT, "key": _TEXT, "options": _MAP},
            "required": ["name", "provider", "key"],
            "additionalProperties": False,
        },
    },
    "command": _TEXTS,
    "depends": _TEXTS,
    "output": {
        "oneOf": [
            _TEXT,
            {
                "type": "object",
                "properties": {"name": _TEXT, "key": _TEXT, "omit": {"type": "boolean"}},
                "required": ["name"],
                "additionalProperties": False,
            },
        ]
    },
    "executor": {"oneOf": [_TEXT, {"type": "object", "properties": {"type": _TEXT, "config": _MAP}}]},
    "parallel": {"oneOf": [_TEXT, {"type": "array"}, _MAP]},
    "logOutput": {"enum": list(LogOutput)},
    "placement": {"enum": list(get_args(Placement))},
    "onWorkerShutdown": {"enum": list(get_args(OnWorkerShutdown))},
    "messages": {"type": "array", "items": _MAP},
    "shellPackages": {"type": "array", "items": _TEXT},
}


_RATE_LIMIT: Schema = {
    "type": "object",
    "properties": {
        "name": _TEXT,
        "limit": {"type": "number", "minimum": 1},
        "intervalSec": {"type": "number", "exclusiveMinimum": 0},
    },
    "required": ["name", "limit", "intervalSec"],
    "additionalProperties": False,
}
_FORMS |= {
    "pool": _TEXTS,
    "lock": _TEXTS,
    "rateLimit": {"oneOf": [_RATE_LIMIT, {"type": "array", "items": _RATE_LIMIT}]},
}


def dag_schema() -> Schema:
    """Return the JSON Schema (draft 2020-12) of one YAML document of a workflow file.

    References point to ``definitions``, the key of older drafts, because Dagu's front end resolves only that.
    """
    step = _object(Step, STEP_KEYS, STEP_ENTRIES)
    # A step names secrets that the workflow describes.
    step["properties"]["secrets"] = {**_TEXTS, "description": step["properties"]["secrets"]["description"]}
    step["properties"]["type"] |= {"type": "string", "examples": list(known_types())}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A Dagway workflow",
        "definitions": {"step": step},
        **_object(Dag, DAG_KEYS, DAG_ENTRIES),
    }


def _object(model: type[BaseModel], keys: Vocabulary, sections: Mapping[str, Mapping[str, FieldEntry]]) -> Schema:
    """Return the schema of a map with these keys. ``model`` gives the types that ``_FORMS`` and ``_PARTS`` do not."""
    fields = model.model_json_schema()["properties"]
    means = {path: entry.means for entries in sections.values() for path, entry in entries.items()}
    return {
        "type": "object",
        "properties": {
            key: {**_property(key, fields.get(_snake(key), {})), "description": _LINK.sub("", means[key])}
            for key in keys.by_lower.values()
        },
        "additionalProperties": False,
    }


def _property(key: str, field: Schema) -> Schema:
    if key in _FORMS:
        return _FORMS[key]
    if key in _PARTS:
        return _part(key)
    kind = field.get("type")
    found: Schema = {"type": _PLAIN[kind]} if kind in _PLAIN else _MAP if kind == "object" else {}
    if kind == "integer":
        # The loader accepts a number with a fraction and cuts the fraction off.
        found = {"type": "number"}
    if kind in _PLAIN and "default" in field:
        found["default"] = field["default"]
    return found


_PARTS: dict[str, type[BaseModel]] = {
    "retryPolicy": RetryPolicy,
    "repeatPolicy": RepeatPolicy,
    "mailOn": MailOn,
    "errorMail": MailSettings,
    "infoMail": MailSettings,
    "waitMail": MailSettings,
    "runConfig": RunConfig,
    "continueOn": ContinueOn,
}
_PART_FORMS: dict[str, dict[str, Schema]] = {
    "retryPolicy": {
        "backoff": {"type": ["number", "boolean"]},
        "limit": _NUMBER_OR_TEXT,
        "intervalSec": _NUMBER_OR_TEXT,
    },
    "repeatPolicy": {
        "repeat": {"enum": [True, False, "while", "until"]},
        "condition": _TEXT,
        "expected": _TEXT,
        "backoff": {"type": ["number", "boolean"]},
    },
    "continueOn": {"failed": {"type": "boolean"}, "output": _TEXTS},
    **{name: {"from": _TEXT, "to": _TEXTS} for name in ("errorMail", "infoMail", "waitMail")},
}


def _part(key: str) -> Schema:
    fields = _PARTS[key].model_json_schema()["properties"]
    properties = {_camel(name): _property(_camel(name), about) for name, about in fields.items() if name != "sender"}
    if "exitCode" in properties:
        properties["exitCode"] = _CODES
    properties |= _PART_FORMS.get(key, {})
    found: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {"oneOf": [_TEXT, found]} if key == "continueOn" else found


def _snake(key: str) -> str:
    return re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", key)


def _camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda match: match[1].upper(), name)
