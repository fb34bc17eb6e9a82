"""Read ``preconditions`` and ``precondition``, which have the same form in dags, steps and handlers."""

from typing import Any

from shared.language.issues import Place, did_you_mean
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
        _add(fields, fields.sub(name), fields.place(name), fields.get(name), found)
    return tuple(found)


def _add(fields: Fields, path: str, at: Place, value: Any, found: list[Condition]) -> None:
    issues = fields.issues
    if value is None or (isinstance(value, str) and not value.strip()):
        return
    if isinstance(value, str):
        found.append(Condition(condition=value))
        return
    if isinstance(value, YamlList):
        for index, item in enumerate(value):
            _add(fields, f"{path}[{index}]", value.item_at[index], item, found)
        return
    if not isinstance(value, YamlMap):
        issues.error("precondition must be a string or an array of strings", path, at)
        return
    texts: dict[str, str] = {}
    negate = False
    for key, item in value.items():
        name = key.lower()
        place = value.key_at[key]
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
    condition = texts.get("condition") or texts.get("command") or ""
    if problem := line_pattern_problem(texts.get("expected", "")):
        issues.warn(problem, path, at)
    if condition.strip():
        found.append(Condition(condition=condition, expected=texts.get("expected", ""), negate=negate))
    else:
        issues.error("condition is required", path, at)
