"""Snapshots: the text that is stored with a run, so that the run's DAG can be loaded later from this text alone.

A snapshot is a comment line followed by the text of the workflow file. The comment line holds the base configuration
at the time of the snapshot, whether the handlers of the base configuration apply (to sub-runs they do not), and the
worker selector of the step that called the run. Without base configuration and selector there is no comment line.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from shared.language.dagu2.recognise import is_dagu2
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
    """The parts of a snapshot. ``handlers``: whether the handlers of ``base`` apply. ``selector``: worker labels."""

    text: str
    base: str = ""
    handlers: bool = True
    selector: Mapping[str, str] = field(default_factory=dict)


def make_snapshot(text: str, base: str = "", *, handlers: bool = True, selector: Mapping[str, str] = _NO_LABELS) -> str:
    """Return the snapshot of ``text``, which is ``text`` itself if there are no base configuration and no selector.

    If ``text`` is a snapshot already, its base configuration stays: sub-runs use that of their root run.
    """
    given = parse_snapshot(text)
    base = given.base or base
    facts = {"base": base, "handlers": handlers, "selector": dict(selector)}
    if not base and not selector:
        return given.text
    return f"{_MARK}{json.dumps(facts)}\n{given.text}"


def parse_snapshot(text: str) -> Snapshot:
    """Return the parts of a snapshot. For any other text, return a ``Snapshot`` with that text and no base."""
    if not text.startswith(_MARK):
        return Snapshot(text)
    head, _, rest = text.partition("\n")
    try:
        facts = json.loads(head.removeprefix(_MARK))
        return Snapshot(rest, str(facts["base"]), bool(facts["handlers"]), dict(facts["selector"]))
    except (ValueError, KeyError, TypeError):
        # An author's comment that begins like the line of a snapshot.
        return Snapshot(text)


@lru_cache(maxsize=512)
def local_spec(text: str, name: str) -> str | None:
    """Return the spec of the local dag ``name``, followed by the file's other documents with a name.

    Return ``None`` if there is no local dag of that name. A line that begins with three dashes always separates
    documents, even inside a block scalar.
    """
    frozen = parse_snapshot(text)
    documents = [part.strip("\n") for part in _DOCUMENT.split(frozen.text)]
    filled = [part for part in documents if _has_content(part)]
    for position, part in enumerate(filled):
        if _name_of(part) == name:
            # Only the first document may have no name, and a dag without a name cannot be called.
            others = [one for place, one in enumerate(filled) if place != position and _name_of(one)]
            found = "\n---\n".join([part, *others]) + "\n"
            if "run:" in found and _is_dagu2(frozen.text) and not _is_dagu2(found):
                # What told that the file is one of Dagu 2 is in a document that is left out.
                found = "\n---\n".join([f"{part}\nlabels: []", *others]) + "\n"
            return make_snapshot(found, frozen.base, handlers=False) if frozen.base else found
    return None


def _name_of(part: str) -> str:
    """Return the ``name`` in a document, or an empty text. The YAML is parsed only if a pattern finds no name."""
    match = _NAME.search(part)
    if match is not None:
        return match["name"]
    value = next((document.value for document in read_yaml(part, Issues())), None)
    if not isinstance(value, YamlMap):
        return ""
    return next((str(value[key]).strip() for key in value if key.lower() == "name" and value[key] is not None), "")


def _is_dagu2(text: str) -> bool:
    return any(isinstance(each.value, YamlMap) and is_dagu2(each.value) for each in read_yaml(text, Issues()))


def _has_content(part: str) -> bool:
    return any(line.strip() and not line.lstrip().startswith("#") for line in part.splitlines())
