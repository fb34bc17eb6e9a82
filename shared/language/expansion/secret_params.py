"""Which parameters of a called run hold a secret of its caller.

Their values are kept as they are, since the run needs them. The text it was asked for in has stars where a
secret stands: from that follows what people may see, and what its workers must mask.
"""

import re

from shared.language.expansion.params_syntax import parse_params_text
from shared.language.model import Pairs

__all__ = ["STARS", "hidden_params", "secrets_in", "show_params"]

STARS = "*******"
_ONE_SECRET = 2
_MOST_PARTS = 4
"""Finding more secrets in one value could take long, and nobody puts so many there."""


def hidden_params(asked_as: str) -> Pairs:
    """Return the parameters that hold a secret, as people may see them."""
    if STARS not in asked_as:
        return ()
    return tuple((param.name, param.value) for param in parse_params_text(asked_as)[0] if STARS in param.value)


def show_params(pairs: Pairs, asked_as: str) -> Pairs:
    """Return a run's parameters as people may see them."""
    hidden = dict(hidden_params(asked_as))
    return tuple((name, hidden.get(name, value)) for name, value in pairs) if hidden else pairs


def secrets_in(value: str, shown: str) -> tuple[str, ...]:
    """Return what must be masked of a value that is shown like this: what stands behind its stars.

    All of it too, where that is not certain: with several secrets in one value, or one that changed on its way.
    """
    if value == shown:
        return ()
    parts = shown.split(STARS)
    found = len(parts) <= _MOST_PARTS and re.fullmatch("(.+?)".join(map(re.escape, parts)), value, re.DOTALL)
    if not found:
        return (value,)
    return found.groups() if len(parts) == _ONE_SECRET else (value, *found.groups())
