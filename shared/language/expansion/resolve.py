"""Resolve the ``env`` and ``params`` of a run: apply overrides, and evaluate values from left to right.

Commands run only through the argument ``run_command``, and only if they are in the spec. An override never runs a
command: JSON is taken literally, and the shell-like form (``K=V``) may refer only to earlier parameters. Start dialogs
send all defaults back in the shell-like form. So an override with the same text as the default counts as the default.
"""

from collections.abc import Mapping

from shared.language.expansion.expand import RunCommand, Scope, expand, expand_text, needs_shell, unresolved
from shared.language.expansion.params_syntax import go_quote, params_json, parse_params_text
from shared.language.expansion.references import names_in
from shared.language.expansion.scope import RunFilter
from shared.language.expansion.size import MOST_VALUES_CHARS, check_size
from shared.language.model import Dag, Pairs

__all__ = [
    "needs_worker",
    "only_defaults",
    "params_from_outside",
    "resolve_env",
    "resolve_params",
]

_NO_VALUES: Mapping[str, str] = {}


def resolve_env(
    env: Pairs,
    lookup: Mapping[str, str] = _NO_VALUES,
    run_command: RunCommand | None = None,
    run_filter: RunFilter | None = None,
) -> Pairs:
    """Return ``env`` with its values evaluated in order.

    A value can refer to the entries before it, then to the variables in ``lookup``. A variable that is not set is
    empty. Exceptions of ``run_command`` are not caught.

    Raises:
        ExpansionError: a variable that must be set (``${X:?}``) is not, or the values are too long.
    """
    seen: dict[str, str] = {}
    found: list[tuple[str, str]] = []
    chars = 0
    for name, text in env:
        scope = Scope((seen,), trusted=frozenset(seen), host=lookup, run_filter=run_filter)
        value = expand(text, scope, run_command)
        chars += len(name) + len(value)
        check_size(chars, MOST_VALUES_CHARS)
        seen[name] = value
        found.append((name, value))
    return tuple(found)


def resolve_params(
    dag: Dag,
    overrides_text: str = "",
    *,
    env: Pairs = (),
    lookup: Mapping[str, str] = _NO_VALUES,
    run_command: RunCommand | None = None,
    run_filter: RunFilter | None = None,
) -> tuple[Pairs, str | None]:
    """Return the run's parameters in order, and the value of ``DAGU_PARAMS_JSON`` (``None`` if there are none).

    A default can refer to the parameters before it, then to the evaluated ``env``, then to ``lookup`` (the host's
    variables, on a worker). An override replaces the default of the same name, in its place. An override without a
    default is appended. A positional override replaces the positional default at the same position.

    Raises:
        ExpansionError: a variable that must be set (``${X:?}``) is not, or the values are too long.
    """
    defaults = {param.name: param.value for param in dag.params}
    given, was_json = _given(defaults, overrides_text)
    if not was_json:
        given = _among_themselves(given)
    seen: dict[str, str] = {}
    own = frozenset((*defaults, *(name for name, _ in env))) - {*_from_outside(defaults, given)}
    # To the defaults, ``env`` is from outside: a reference to it behind a backslash stays as written, as in Dagu.
    trusted = Scope((seen,), trusted=own, host={**lookup, **dict(env)}, run_filter=run_filter)
    # Without filters: what a request gives never acts as code.
    outside = Scope((seen,))
    chars = 0
    for name in defaults | given:
        # A default that is overridden is not evaluated: its command must not run.
        if name not in given:
            seen[name] = expand(defaults[name], trusted, run_command)
        else:
            seen[name] = given[name] if was_json else expand_text(given[name], outside)
        chars += len(name) + len(seen[name])
        check_size(chars, MOST_VALUES_CHARS)
    if not seen:
        return (), None
    if was_json and given:
        return tuple(seen.items()), overrides_text.strip()
    return tuple(seen.items()), params_json(tuple(seen.items()))


def params_from_outside(dag: Dag, overrides_text: str) -> tuple[str, ...]:
    """Return the names of the parameters that are not trusted: overrides, and defaults that refer to overrides."""
    if not overrides_text.strip():
        return ()
    defaults = {param.name: param.value for param in dag.params}
    return _from_outside(defaults, _given(defaults, overrides_text)[0])


def _from_outside(defaults: Mapping[str, str], given: Mapping[str, str]) -> tuple[str, ...]:
    found = dict.fromkeys(given)
    for name, text in defaults.items():
        if found and name not in found and not names_in(text).isdisjoint(found):
            found[name] = None
    return tuple(found)


def _given(defaults: Mapping[str, str], overrides_text: str) -> tuple[dict[str, str], bool]:
    """Return the overrides that differ from their default, and whether ``overrides_text`` is JSON."""
    overrides, was_json = parse_params_text(overrides_text)
    given = {param.name: param.value for param in overrides}
    if not was_json:
        given = {name: text for name, text in given.items() if not _repeats(text, defaults.get(name))}
    return given, was_json


def _among_themselves(given: Mapping[str, str]) -> dict[str, str]:
    """Return the values of a request with references to those before them in it, wherever their defaults are."""
    seen: dict[str, str] = {}
    chars = 0
    for name, text in given.items():
        seen[name] = expand_text(text, Scope((seen,)))
        chars += len(name) + len(seen[name])
        check_size(chars, MOST_VALUES_CHARS)
    return seen


def only_defaults(dag: Dag, text: str) -> bool:
    """Return whether every parameter in ``text`` equals the dag's default."""
    defaults = {param.name: param.value for param in dag.params}
    return all(_repeats(param.value, defaults.get(param.name)) for param in parse_params_text(text)[0])


def _repeats(given: str, default: str | None) -> bool:
    """Return whether ``given`` is the default, as written or with the escapes that start dialogs show."""
    return default is not None and given in {default, go_quote(default)[1:-1].replace('\\"', '"')}


def needs_worker(dag: Dag) -> bool:
    """Return whether only a worker can evaluate the dag's env and params.

    That is the case if a value runs a command or a filter, if a value refers to a variable that no earlier entry sets
    (the host may set it), or if the params must satisfy a schema.
    """
    known: dict[str, object] = {}
    for name, text in dag.env:
        if needs_shell(text) or unresolved(text, known):
            return True
        known[name] = None
    for param in dag.params:
        if needs_shell(param.value) or unresolved(param.value, known):
            return True
        known[param.name] = None
    return bool(dag.param_schema)
