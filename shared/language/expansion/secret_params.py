"""Find and hide the parameters of a sub-run that contain a secret of its caller.

The values themselves are stored, since the sub-run needs them. The text that the run was started with has stars in
place of each secret: it decides what people see, and what workers must mask.
"""

import re

from shared.language.expansion.params_syntax import parse_params_text
from shared.language.model import Pairs

__all__ = ["STARS", "hidden_params", "secrets_in", "show_params"]

STARS = "*******"
_PARTS_OF_ONE_SECRET = 2
_MAX_PARTS = 4
"""Limit of secrets to find in one value: more could take long."""


def hidden_params(asked_as: str) -> Pairs:
    """Return the parameters that contain a secret, with stars in place of it."""
    if STARS not in asked_as:
        return ()
    return tuple((param.name, param.value) for param in parse_params_text(asked_as)[0] if STARS in param.value)


def show_params(pairs: Pairs, asked_as: str) -> Pairs:
    """Return a run's parameters with stars in place of secrets."""
    hidden = dict(hidden_params(asked_as))
    return tuple((name, hidden.get(name, value)) for name, value in pairs) if hidden else pairs


def secrets_in(value: str, shown: str) -> tuple[str, ...]:
    """Return what must be masked of a value that is shown as ``shown``: the text behind its stars.

    The whole value is masked too if that text is not certain: with several secrets in one value, or if the value
    has changed since.
    """
    if value == shown:
        return ()
    parts = shown.split(STARS)
    found = len(parts) <= _MAX_PARTS and re.fullmatch("(.+?)".join(map(re.escape, parts)), value, re.DOTALL)
    if not found:
        return (value,)
    return found.groups() if len(parts) == _PARTS_OF_ONE_SECRET else (value, *found.groups())
