"""Write docs/workflow-reference.md from the JSON Schema of workflows: ``python -m scripts.language_doc``."""

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from shared.language.model import Dag, Step
from shared.language.reference.dag_fields import DAG_ENTRIES
from shared.language.reference.field_entry import FieldEntry
from shared.language.reference.step_fields import STEP_ENTRIES
from shared.language.schema import dag_schema
from shared.language.steps.config_keys import CONFIG_KEYS

__all__ = ["document"]

TARGET = Path(__file__).parents[1] / "docs" / "workflow-reference.md"

_HEAD = """# Workflow reference

<!-- Written by scripts/language_doc.py from shared/language/schema.py and shared/language/reference. -->

Every field of a workflow file, with an example. [The workflow language](workflow-language.md) explains how they
work together, and the [tutorial](tutorial.md) is the place to begin.

- Fields are Dagu's. A field with * is an extension of Dagway.
- A field below another one is written with a dot: `retryPolicy.limit` is `limit` in the map `retryPolicy`. Its example
  shows the contents of the map.
- Lengths of time are in seconds and may have a fraction.
- A text with `:` or `#`, or one that begins with `*`, `{` or `[`, needs quotes in YAML.

## Fields of a workflow
"""
_STEP_HEAD = """
## Fields of a step

Handlers have the same fields, except `depends`, `continueOn`, `retryPolicy`, `repeatPolicy`, `pool`, `lock` and
`rateLimit`.
"""
_CONFIG_HEAD = """
## config by type

What `config` of a step may contain. [Executors](executors.md) explains the types, and `examples/executors` has a
workflow for each.

| type | fields of `config` |
| --- | --- |
"""
_COLUMNS = "| field | type | default | meaning | example |\n| --- | --- | --- | --- | --- |\n"
_TYPES = {"string": "text", "object": "map", "array": "list", "integer": "number"}


def document() -> str:
    """Return the text of the page."""
    schema = dag_schema()
    parts = [
        _HEAD,
        *_sections(DAG_ENTRIES, schema, Dag),
        _STEP_HEAD,
        *_sections(STEP_ENTRIES, schema["definitions"]["step"], Step),
        _CONFIG_HEAD,
        *_configs(),
    ]
    return "".join(parts)


def _configs() -> Iterator[str]:
    """Yield a row for each set of keys, with all types that have it."""
    for keys in dict.fromkeys(CONFIG_KEYS.values()):
        kinds = ", ".join(f"`{kind}`" for kind, its in CONFIG_KEYS.items() if its == keys)
        yield f"| {kinds} | {', '.join(f'`{key}`' for key in keys)} |\n"


def _sections(
    sections: Mapping[str, Mapping[str, FieldEntry]], schema: Mapping[str, Any], model: type[BaseModel]
) -> Iterator[str]:
    for title, entries in sections.items():
        yield f"\n### {title}\n\n{_COLUMNS}"
        for path, entry in entries.items():
            form = _form(schema, path)
            default = entry.default or _default(form, model, path)
            example = "<br>".join(f"`{line}`" for line in _cell(entry.example).splitlines())
            kind = entry.kind or " or ".join(dict.fromkeys(_kinds(form)))
            yield f"| `{path}`{'*' * entry.own} | {kind} | {default} | {_cell(entry.means)} | {example} |\n"


def _form(schema: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """Return the schema of a field, or an empty one for a field below a map that the schema leaves open."""
    name, _, rest = path.partition(".")
    for form in (schema, *schema.get("oneOf", ()), *_items(schema)):
        if name in form.get("properties", {}):
            found: Mapping[str, Any] = form["properties"][name]
            return _form(found, rest) if rest else found
    return {}


def _items(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for form in (schema, *schema.get("oneOf", ())):
        if isinstance(form.get("items"), dict):
            yield form["items"]


def _kinds(form: Mapping[str, Any]) -> Iterator[str]:
    """Yield the words for the types that a value may have."""
    if "enum" in form:
        yield from (f"`{str(value).lower()}`" for value in form["enum"])
    elif "$ref" in form:
        yield "step"
    elif "oneOf" in form:
        for each in form["oneOf"]:
            yield from _kinds(each)
    else:
        names = form.get("type", ())
        for name in [names] if isinstance(names, str) else names:
            yield _TYPES.get(name, name)


def _default(form: Mapping[str, Any], model: type[BaseModel], path: str) -> str:
    value = form.get("default")
    if value is None and "." not in path:
        field = model.model_fields.get(re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", path))
        value = field.default if field is not None else None
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | StrEnum | int | float) else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    TARGET.write_text(document(), encoding="utf-8")
