"""``python -m tests.acceptance.coverage``: print every field of the language with the tests that cover it.

A test covers a field if one of its specs contains the field at the right place. The fields are the keys of the
JSON Schema, which has every key that the loader reads. ``test_coverage`` fails for a field without a test.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import yaml

from shared.language.schema import dag_schema
from tests.acceptance import test_base_config, test_executors, test_history, test_schedules
from tests.acceptance.cases import CASES, REFUSED
from tests.unit.language.test_every_field import DAG_FIELDS, STEP_FIELDS

__all__ = ["fields", "holders"]


def fields() -> set[str]:
    """Return the path of every key: ``schedule.start`` of a workflow, ``step.retryPolicy.limit`` of a step."""
    schema = dag_schema()
    return {*_keys(schema, ""), *_keys(schema["definitions"]["step"], "step.")}


def _keys(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    for form in (schema, *schema.get("oneOf", ())):
        for key, inner in form.get("properties", {}).items():
            yield path + key
            yield from _keys(inner, f"{path}{key}.")
        if isinstance(form.get("items"), dict):
            yield from _keys(form["items"], path)


def _specs() -> Iterator[tuple[str, str]]:
    """Yield (test, spec) for all tests whose specs count."""
    yield from ((one.row, one.spec) for one in CASES)
    yield from ((one.row, one.spec) for one in REFUSED)
    yield from ((one.row, one.spec) for one in test_executors.ROWS)
    yield from test_schedules.SPECS.items()
    yield "test_base_config", test_base_config.BASE
    yield "test_base_config", test_base_config.SPEC
    yield "test_history", test_history.SPEC
    for text, *_ in DAG_FIELDS:
        yield "test_every_field", text
    for text, *_ in STEP_FIELDS:
        yield "test_every_field", f"steps: [{text}]"


@cache
def holders() -> dict[str, list[str]]:
    """Return the tests that cover each field, by the field's path."""
    found: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for name, spec in _specs():
        try:
            documents = [one for one in yaml.safe_load_all(spec) if one]
        except yaml.YAMLError:
            # Some specs are wrong on purpose.
            continue
        for document in documents:
            for path in _used(document, ""):
                found[path][name] = None
    return {path: list(names) for path, names in found.items()}


def _used(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if path in {"", "step."} or path.count(".") <= 2:
                yield f"{path}{key}"
            if path == "" and key == "steps":
                yield from _steps(inner)
            else:
                yield from _used(inner, f"{path}{key}.")
            if path == "handlerOn.":
                yield from _used(inner, "step.")
    elif isinstance(value, list):
        for item in value:
            yield from _used(item, path)


def _steps(value: Any) -> Iterator[str]:
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _steps(item) if isinstance(item, list) else _used(item, "step.")


if __name__ == "__main__":
    by_field = holders()
    for field in sorted(fields()):
        sys.stdout.write(f"{field}: {', '.join(by_field.get(field, ['NOTHING']))}\n")
