"""A whole document of Dagu 2, as a document of this language."""

from collections.abc import Iterable
from typing import Any

from shared.language.connections import OTEL_KEYS, SMTP_KEYS, SSH_KEYS
from shared.language.dagu2.actions import shell_with
from shared.language.dagu2.keys import copy_of, known_as, list_at, put, renamed
from shared.language.dagu2.parameters import declared_params, param_names
from shared.language.dagu2.recognise import steps_of
from shared.language.dagu2.references import MOST_INSERTED, References
from shared.language.dagu2.steps import conditions, container, selected_outputs, translated_step
from shared.language.document import DAG_KEYS
from shared.language.expansion.references import names_in
from shared.language.issues import Issues
from shared.language.yaml.fields import Vocabulary, is_scalar, scalar_text
from shared.language.yaml.reader import YamlList, YamlMap

__all__ = ["translated"]

_DEEP = frozenset({"llm", "mailOn", "errorMail", "infoMail", "waitMail", "runConfig", "catchup"})
_VOCABULARIES: dict[str, Vocabulary] = {"smtp": SMTP_KEYS, "ssh": SSH_KEYS, "otel": OTEL_KEYS}
_READ = frozenset({"consts", "defaults", "labels", "tags", "steps", "handler_on", "handlerOn", "params", "shell_args"})
_JOINED = ("env", "preconditions")
"""Defaults of steps that are put before the step's own. Others count only if the step has no value of its own."""
_IGNORED = {
    "retry_policy": "the run is not retried as a whole; give the steps a retry_policy",
    "artifacts": "there are no artifacts; steps keep their own files",
    "webhook": "make a webhook on the server instead",
    "tools": "install the programs on the workers",
    "harness": "",
    "harnesses": "",
    "redis": "",
    "s3": "",
    "kubernetes": "",
    "actions": "",
    "step_types": "",
    "catchup_window": "write catchup: {policy: all, windowSec: …}",
    "overlap_policy": "",
    "tasks": "",
}
"""Fields that are left out with a warning. A step that needs one of them is an error of its own."""


_SIZE_OF_A_VALUE = 20
_MOST_REPEATED = 4 * 1024 * 1024
"""Characters of ``defaults`` and ``env`` that are repeated in all steps together."""


def translated(issues: Issues, document: YamlMap, *, base: bool = False) -> YamlMap:
    """Return a document of Dagu 2 in the fields of this language, and report what has no counterpart.

    ``base``: the document is a base configuration, which has no order of steps of its own.
    """
    references = _references(document)
    made = YamlMap(document.at)
    for key in document:
        if key not in _READ:
            _copy(issues, document, key, made)
    if "shell" in document and "shell_args" in document:
        put(made, "shell", shell_with(document["shell"], document["shell_args"]), document.key_at["shell"])
    _labels(document, made)
    if "params" in document:
        copy_of(document, "params", made)
        made["params"] = declared_params(document["params"])
    moved = _late_env(made, references, param_names(document.get("params")))
    defaults = document.get("defaults")
    shared = defaults if isinstance(defaults, YamlMap) else YamlMap(document.at)
    keys = ("steps", "handler_on", "handlerOn")
    if sum(_count(document.get(key)) for key in keys) * (_size(shared) + _size(moved)) > _MOST_REPEATED:
        issues.error(
            f"what all steps have in common is repeated as more than {_MOST_REPEATED} characters", at=shared.at
        )
        shared, moved = YamlMap(document.at), YamlList(document.at)
    for key in keys:
        if key in document:
            name = "steps" if key == "steps" else "handlerOn"
            copy_of(document, key, made, name)
            made[name] = _steps(issues, name, document[key], shared, moved)
    if not base and "type" not in made:
        _choose_type(issues, document, made)
    whole = references.rewrite(made, issues, "", document.at)
    assert isinstance(whole, YamlMap)  # noqa: S101 - a map is rewritten to a map
    if references.inserted > MOST_INSERTED:
        message = f"the constants stand for more than {MOST_INSERTED} characters in all"
        issues.error(message, "consts", document.key_at["consts"])
    return whole


def _count(steps: Any) -> int:
    if isinstance(steps, YamlList):
        return sum(_count(each) if isinstance(each, YamlList) else 1 for each in steps)
    return len(steps) if isinstance(steps, YamlMap) else 0


def _size(value: Any) -> int:
    """Return about how many characters ``value`` has, in YAML."""
    if isinstance(value, YamlMap | YamlList):
        return sum(_size(each) for each in (value.values() if isinstance(value, YamlMap) else value))
    return _SIZE_OF_A_VALUE + (len(value) if isinstance(value, str) else 0)


def _copy(issues: Issues, document: YamlMap, key: str, into: YamlMap) -> None:
    name = key if key in DAG_KEYS.names else known_as(key, DAG_KEYS)
    if key in _IGNORED:
        issues.warn(f"{key} has no counterpart here, and is ignored", key, document.key_at[key], hint=_IGNORED[key])
    elif not name:
        issues.warn(f"unknown key is ignored: {key}", key, document.key_at[key])
    else:
        copy_of(document, key, into, name)
        value = document[key]
        if name in _DEEP:
            into[name] = renamed(value, deep=True)
        elif name in _VOCABULARIES and isinstance(value, YamlMap):
            into[name] = YamlMap(value.at)
            for inner in value:
                copy_of(value, inner, into[name], known_as(inner, _VOCABULARIES[name]) or inner)
        elif name == "container":
            into[name] = container(value)
        elif name in ("preconditions", "precondition"):
            into[name] = conditions(value)


def _labels(document: YamlMap, into: YamlMap) -> None:
    """Make ``tags`` of ``labels``; a map of labels becomes texts such as ``team=data``."""
    for key in ("tags", "labels"):
        value = document.get(key)
        if value is None:
            continue
        copy_of(document, key, into, "tags")
        if isinstance(value, YamlMap):
            pairs = [f"{name}={scalar_text(item)}" for name, item in value.items() if is_scalar(item)]
            into["tags"] = list_at(value.at, pairs)


def _steps(issues: Issues, path: str, value: Any, defaults: YamlMap, env: YamlList) -> Any:
    if isinstance(value, YamlList):
        made = [_step(issues, f"{path}[{index}]", item, defaults, env) for index, item in enumerate(value)]
        return list_at(value.at, made, list(value.item_at))
    if not isinstance(value, YamlMap):
        return value
    found = YamlMap(value.at)
    for key in value:
        copy_of(value, key, found)
        found[key] = _step(issues, f"{path}.{key}", value[key], defaults, env)
    return found


def _step(issues: Issues, path: str, value: Any, defaults: YamlMap, env: YamlList) -> Any:
    if isinstance(value, YamlList):
        return _steps(issues, path, value, defaults, env)
    if isinstance(value, str):
        text, value = value, YamlMap(env.at)
        put(value, "run", text, env.at)
    if not isinstance(value, YamlMap):
        return value
    whole = YamlMap(value.at)
    for key in value:
        copy_of(value, key, whole)
    for key in defaults:
        if key not in whole:
            copy_of(defaults, key, whole)
        elif key in _JOINED:
            whole[key] = _joined(defaults[key], whole[key])
    if env:
        put(whole, "env", _joined(env, whole.get("env")), whole.key_at.get("env", value.at))
    return translated_step(issues, path, whole)


def _joined(first: Any, second: Any) -> YamlList:
    """Return two lists, maps or single values of ``env`` or ``preconditions`` as one list."""
    items: list[Any] = []
    places = []
    for value in (first, second):
        if isinstance(value, YamlList):
            items += value
            places += value.item_at
        elif value is not None:
            items.append(value)
            places.append(value.at if isinstance(value, YamlMap) else (0, 0))
    return list_at(places[0] if places else (0, 0), items, places)


def _late_env(document: YamlMap, references: References, params: Iterable[str]) -> YamlList:
    """Take out of ``env`` the variables that refer to parameters: they become variables of each step.

    In Dagu 2 parameters are known before ``env``; here ``env`` is evaluated first, and that of a step after both.
    """
    env, late = document.get("env"), set(params)
    pairs: list[YamlMap] = []
    kept: list[YamlMap] = []
    for item in env if isinstance(env, YamlList) else [env]:
        for one in _single_variables(item):
            ((name, value),) = one.items()
            text = references.rewrite(value, Issues(), "", one.at)
            if isinstance(text, str) and not names_in(text).isdisjoint(late):
                late.add(name)
                pairs.append(one)
            else:
                kept.append(one)
    if pairs and isinstance(env, YamlList | YamlMap):
        document["env"] = list_at(env.at, kept, [one.at for one in kept])
    return list_at(document.at, pairs, [one.at for one in pairs])


def _single_variables(item: Any) -> list[YamlMap]:
    """Return the variables of a map, or of a text ``NAME=value``, as maps with one key."""
    if isinstance(item, str) and "=" in item:
        name, _, value = item.partition("=")
        made = YamlMap((0, 0))
        put(made, name.strip(), value, (0, 0))
        return [made]
    found = []
    for key in item if isinstance(item, YamlMap) else ():
        made = YamlMap(item.key_at[key])
        copy_of(item, key, made)
        found.append(made)
    return found


def _choose_type(issues: Issues, document: YamlMap, into: YamlMap) -> None:
    """Set ``type`` of a document without one: a graph if its steps have ``depends``, else one step after the other."""
    steps = document.get("steps")
    listed = [step for step in steps if isinstance(step, YamlMap)] if isinstance(steps, YamlList) else []
    if any("depends" in step for step in listed):
        put(into, "type", "graph", document.at)
    elif len(listed) > 1:
        note = "the steps run one after the other: with no type and no depends, releases of Dagu 2 differ"
        issues.warn(
            note, "steps", document.key_at["steps"], hint="write type: chain, or type: graph to run them at once"
        )


def _references(document: YamlMap) -> References:
    steps = list(steps_of(document))
    handlers = document.get("handler_on")
    steps += [step for step in handlers.values() if isinstance(step, YamlMap)] if isinstance(handlers, YamlMap) else []
    own = {*param_names(document.get("params"))}
    own |= {name for item in _env_items(document) for one in _single_variables(item) for name in one}
    for step in steps:
        own |= {name for item in _env_items(step) for one in _single_variables(item) for name in one}
        if isinstance(step.get("output"), str):
            own.add(step["output"].strip().removeprefix("$"))
    consts, inserted = _consts(document.get("consts"))
    return References(
        consts=consts,
        inserted=inserted,
        variables=frozenset(own),
        tasks=frozenset(str(step.get("id")) for step in steps if step.get("action") == "human.task"),
        selected={step["id"]: found for step in steps if (found := selected_outputs(step)) is not None},
    )


def _env_items(source: YamlMap) -> list[Any]:
    env = source.get("env")
    return [*env] if isinstance(env, YamlList) else [env]


def _consts(value: Any) -> tuple[dict[str, str], int]:
    """Return the constants by name, and how much they put into each other: one may refer to those before it."""
    found: dict[str, str] = {}
    references = References(consts=found)
    for item in value if isinstance(value, YamlList) else [value]:
        for name, text in item.items() if isinstance(item, YamlMap) else ():
            if is_scalar(text):
                found[name] = scalar_text(references.rewrite(text, Issues(), "", (0, 0)))
    return found, references.inserted
