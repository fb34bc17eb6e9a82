"""Read ``preconditions`` and ``precondition``, which have the same form in dags, steps and handlers."""

from typing import Any

from shared.language.issues import Issues, Place, did_you_mean
from shared.language.model import Condition
from shared.language.patterns import line_pattern_problem
from shared.language.yaml.fields import Fields, is_scalar
from shared.language.yaml.reader import YamlList, YamlMap

__all__ = ["read_preconditions"]

_KEYS = ("condition", "expected", "negate", "command")


def read_preconditions(fields: Fields) -> tuple[Condition, ...]:
    """Return the conditions in ``preconditions``, then those in ``precondition``.

    Blank entries are ignored, and nested lists are flattened.
    """
    found: list[Condition] = []
    for name in ("preconditions", "precondition"):
        _add(fields.issues, fields.sub(name), fields.place(name), fields.get(name), found)
    return tuple(found)


def _add(issues: Issues, path: str, at: Place, value: Any, found: list[Condition]) -> None:
    if isinstance(value, YamlList):
        for index, item in enumerate(value):
            _add(issues, f"{path}[{index}]", value.item_at[index], item, found)
    elif isinstance(value, YamlMap):
        _add_map(issues, path, at, value, found)
    elif isinstance(value, str):
        if value.strip():
            found.append(Condition(condition=value))
    elif value is not None:
        issues.error("precondition must be a string or an array of strings", path, at)


def _add_map(issues: Issues, path: str, at: Place, written: YamlMap, found: list[Condition]) -> None:
    texts: dict[str, str] = {}
    negate = False
    for key, item in written.items():
        name, place = key.lower(), written.key_at[key]
        if name not in _KEYS:
            issues.error(f"precondition has invalid key: {key}", path, place, hint=did_you_mean(key, _KEYS))
        elif name == "negate":
            if isinstance(item, bool):
                negate = item
            else:
                issues.error("precondition negate must be a boolean", f"{path}.{key}", place)
        elif isinstance(item, str):
            texts[name] = item
        else:
            hint = "put the value in quotes" if is_scalar(item) else ""
            issues.error("precondition value must be a string", f"{path}.{key}", place, hint=hint)
            texts[name] = "?"
    condition, expected = texts.get("condition") or texts.get("command") or "", texts.get("expected", "")
    if problem := line_pattern_problem(expected):
        issues.warn(problem, path, at)
    if condition.strip():
        found.append(Condition(condition=condition, expected=expected, negate=negate))
    else:
        issues.error("condition is required", path, at)
