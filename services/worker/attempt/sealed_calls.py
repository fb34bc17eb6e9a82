"""Seal the secrets in the parameters of a sub-run, before they leave the worker.

Values are sealed one by one, so that a scheduler still sees the names of the parameters. If a secret is spread over
several parameters or is in a name, the whole text is sealed.
"""

from collections.abc import Callable
from typing import Any

from services.worker.inputs.sealing import Seal
from shared.contracts.events import ChildCall
from shared.language.expansion.params_syntax import json_scalar_text, params_pairs, parse_json
from shared.language.expansion.secret_params import STARS

__all__ = ["sealed_call"]


def sealed_call(call: ChildCall, mask: Callable[[str], str], seal: Seal) -> ChildCall:
    """Return the call with the secrets in it sealed: unchanged if it contains none, or if there is no key."""
    if not seal or not call.shown:
        return call
    pairs = params_pairs(call.given)
    if params_pairs(mask(call.given)) != tuple((name, mask(value)) for name, value in pairs):
        whole = seal.all(call.given, [text for pair in pairs for text in pair])
        return call.model_copy(update={"params": whole, "given": whole, "shown": STARS})
    value = parse_json(call.given) if call.given.lstrip()[:1] in ("{", "[") else None
    if not isinstance(value, dict | list):
        value = dict(pairs)
    text = json_scalar_text(_sealed(value, seal))
    return call.model_copy(update={"params": text, "given": text})


def _sealed(value: Any, seal: Seal) -> Any:
    """Return a JSON value with the secrets in its names, texts and numbers sealed."""
    if isinstance(value, dict):
        return {seal(key): _sealed(inner, seal) for key, inner in value.items()}
    if isinstance(value, list):
        return [_sealed(inner, seal) for inner in value]
    text = json_scalar_text(value)
    sealed = seal(text)
    return value if sealed == text else sealed
