"""Snapshots: the text that a run keeps, so that loading it later needs nothing else.

It is the file's text after one comment line. That line holds the base configuration of then, whether its handlers
apply (not to sub-runs), and the worker labels that a calling step asked for.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from shared.language.issues import Issues
from shared.language.yaml.reader import YamlMap, read_yaml

__all__ = ["Snapshot", "local_spec", "make_snapshot", "parse_snapshot"]

_MARK = "# dagway-snapshot: "
_DOCUMENT = re.compile(r"^---(?=\s|\Z)[^\S\n]*(?:#[^\n]*)?", re.MULTILINE)
_NAME = re.compile(
    r"""^name[^\S\n]*:[^\S\n]*(?P<quote>["']?)(?P<name>[A-Za-z0-9_.-]+)(?P=quote)[^\S\n]*(?:#.*)?$""",
    re.MULTILINE | re.IGNORECASE,
)
_NO_LABELS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The parts of a snapshot."""

    text: str
    base: str = ""
    handlers: bool = True
    selector: Mapping[str, str] = field(default_factory=dict)


def make_snapshot(text: str, base: str = "", *, handlers: bool = True, selector: Mapping[str, str] = _NO_LABELS) -> str:
    """Return the snapshot of ``text``; it is ``text`` itself without a base configuration and labels.

    If ``text`` is a snapshot, it keeps its base: sub-runs use the base configuration of their root run.
    """
    given = parse_snapshot(text)
    base = given.base or base
    facts = {"base": base, "handlers": handlers, "selector": dict(selector)}
    if not base and not selector:
        return given.text
    return f"{_MARK}{json.dumps(facts)}\n{given.text}"


def parse_snapshot(text: str) -> Snapshot:
    """Return the parts of a snapshot; any other text is a snapshot of nothing but that text."""
    if not text.startswith(_MARK):
        return Snapshot(text)
    head, _, rest = text.partition("\n")
    try:
        facts = json.loads(head.removeprefix(_MARK))
        return Snapshot(rest, str(facts["base"]), bool(facts["handlers"]), dict(facts["selector"]))
    except (ValueError, KeyError, TypeError):
        # A comment that only looks like ours.
        return Snapshot(text)


@lru_cache(maxsize=512)
def local_spec(text: str, name: str) -> str | None:
    """Return the spec of the local dag ``name``, followed by the other documents; ``None``: there is none.

    A line that begins with three dashes always separates documents, even inside a block of text.
    """
    frozen = parse_snapshot(text)
    documents = [part.strip("\n") for part in _DOCUMENT.split(frozen.text)]
    filled = [part for part in documents if _has_content(part)]
    for position, part in enumerate(filled):
        if _name_of(part) == name:
            # A document without a name cannot be called. Only the first may have none.
            others = [one for place, one in enumerate(filled) if place != position and _name_of(one)]
            found = "\n---\n".join([part, *others]) + "\n"
            return make_snapshot(found, frozen.base, handlers=False) if frozen.base else found
    return None


def _name_of(part: str) -> str:
    """Return the name that a document gives its dag, or an empty text. YAML is read only if a pattern finds no name."""
    match = _NAME.search(part)
    if match is not None:
        return match["name"]
    value = next((document.value for document in read_yaml(part, Issues())), None)
    if not isinstance(value, YamlMap):
        return ""
    return next((str(value[key]).strip() for key in value if key.lower() == "name" and value[key] is not None), "")


def _has_content(part: str) -> bool:
    return any(line.strip() and not line.lstrip().startswith("#") for line in part.splitlines())
