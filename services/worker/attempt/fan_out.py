"""Evaluate a ``call`` step: the DAG to call, the number of sub-runs, and the params of each.

Source: docs/workflow-language.md#runs-that-call-runs and docs/workflow-reference.md#calls-of-other-workflows.
"""

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from shared.contracts.events import ChildCall
from shared.errors import InvalidInput
from shared.language.expansion.expand import RunCommand, Scope, expand
from shared.language.expansion.params_syntax import (
    is_reference,
    json_scalar_text,
    params_pairs,
    parse_json,
    quote_pairs,
)
from shared.language.model import Pairs, Parallel, Step
from shared.language.steps.parallel import count_error, item_of_map

__all__ = ["fan_out", "split_items"]

_WORD = re.compile(r'"([^"]*)(?:"|$)|[^\s"]+')
"""A word, or what is between double quotes. The last quotes of a text may be left open."""
_ACTS = re.compile(r"[$`\\]")
_SEPARATORS = "\t|;,"


Mask = Callable[[str], str]


def fan_out(step: Step, scope: Scope, run_command: RunCommand, mask: Mask = str) -> tuple[ChildCall, ...]:
    """Return the sub-runs that a step starts, in the order of its items. ``mask`` masks the secrets in a text.

    Raises:
        InvalidInput: the DAG's name is empty, or ``parallel`` has no items or too many.
        ExpansionError: a required variable is not set.
    """
    name = expand(step.call, scope, run_command).strip()
    if not name:
        raise InvalidInput("call: the name of the DAG is empty after expansion")
    if step.parallel is None:
        return (_call(name, step, scope, run_command, None, mask=mask),)
    items = _items(step.parallel, scope, run_command)
    if wrong := count_error(len(items)):
        raise InvalidInput(wrong)
    return tuple(_call(name, step, scope, run_command, item, mask=mask) for item in items)


def _call(name: str, step: Step, scope: Scope, run_command: RunCommand, item: str | None, *, mask: Mask) -> ChildCall:
    if item is not None:
        if not step.params and step.param_pairs is None:
            return _with_text(name, item, mask)
        scope = replace(scope, maps=({"ITEM": item}, *scope.maps))
    if step.param_pairs is None:
        text = expand(step.params, scope, run_command).strip()
        if not text or not is_reference(step.params) or ("=" in text and text[0] not in "{["):
            return _with_text(name, text, mask)
        return _with_pairs(name, (("1", text),), mask)
    return _with_pairs(name, tuple((key, expand(value, scope, run_command)) for key, value in step.param_pairs), mask)


def _with_text(name: str, text: str, mask: Mask) -> ChildCall:
    return ChildCall(dag=name, params=text, given=text, shown=_shown(text, params_pairs(text), mask))


def _shown(text: str, pairs: Pairs, mask: Mask) -> str:
    """Return the params text with secrets masked, to show in the API; empty if the text contains no secret."""
    masked = tuple((key, mask(value)) for key, value in pairs)
    if masked == pairs and mask(text) == text:
        return ""
    return mask(text) if params_pairs(mask(text)) == masked else _as_json(masked)


def _with_pairs(name: str, pairs: Pairs, mask: Mask) -> ChildCall:
    text = quote_pairs(pairs, frozenset(key for key, _ in pairs if key.isdigit()))
    # ``given`` is JSON if parsing the text again would change the values. The run's id is made from ``text``, and the
    # API shows ``text`` with secrets masked.
    given = text if _reads_back(text, pairs) else _as_json(pairs)
    return ChildCall(dag=name, params=text, given=given, shown=_shown(text, pairs, mask))


def _as_json(pairs: Pairs) -> str:
    return json.dumps(dict(pairs), ensure_ascii=False)


def _reads_back(text: str, pairs: Pairs) -> bool:
    return params_pairs(text) == pairs and not any(_ACTS.search(value) for _, value in pairs)


def _items(parallel: Parallel, scope: Scope, run_command: RunCommand) -> list[str]:
    if parallel.variable:
        return split_items(expand(parallel.variable, scope, run_command))
    return [_evaluated(item, scope, run_command) for item in parallel.items if item]


def _evaluated(item: str, scope: Scope, run_command: RunCommand) -> str:
    """Expand an item. An item that was a map in YAML is JSON text here: only its values are expanded."""
    fields = parse_json(item) if item.startswith("{") else None
    texts = {key: value for key, value in fields.items() if isinstance(value, str)} if isinstance(fields, dict) else {}
    if item != item_of_map(texts):
        return expand(item, scope, run_command)
    return item_of_map({key: expand(value, scope, run_command) for key, value in texts.items()})


def _sorted(value: Any) -> Any:
    """Sort the keys of a JSON value, also in nested maps, since the sub-run's id is made from the JSON text."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def split_items(text: str) -> list[str]:
    """Split the value of a variable into items.

    The first form that fits decides: JSON, lines, words of which some are quoted, words between separators, words
    between blanks. Texts in a JSON list and in quotes are items as they are, even if they are empty or blank.
    """
    text = text.strip()
    value = parse_json(text) if text[:1] in ("[", "{") else None
    if isinstance(value, list):
        return ["null" if item is None else json_scalar_text(_sorted(item)) for item in value]
    if isinstance(value, dict):
        return [text]
    if "\n" in text:
        parts = text.splitlines()
    elif _has_quoted_words(text):
        return [word[0] if word[1] is None else word[1] for word in _WORD.finditer(text) if word[0] != '"']
    else:
        counts = Counter(char for char in text if char in _SEPARATORS)
        parts = text.split(max(_SEPARATORS, key=lambda char: counts[char])) if counts else text.split()
    return [part.strip() for part in parts if part.strip()]


def _has_quoted_words(text: str) -> bool:
    """Quotes count if a pair of them can be words of their own: in ``{"a":1} {"b":2}`` they are inside of the words."""
    return text.count('"') > 1 and (text[0] == '"' or text[-1] == '"' or ' "' in text or '" ' in text)
