"""Find and mask the parameters of a sub-run that contain a secret of the calling run.

They are stored sealed, or as they are if the calling worker had no key to seal them. The text with which the sub-run
was started (``asked_as``) is stored too, with stars in place of each secret. From that text follows what the API shows,
and which values workers must mask.
"""

import re

from shared.language.expansion.params_syntax import parse_params_text
from shared.language.expansion.sealed_text import replace_sealed
from shared.language.model import Pairs

__all__ = ["STARS", "hidden_params", "secrets_in", "show_params"]

STARS = "*******"
_PARTS_OF_ONE_SECRET = 2
_MAX_PARTS = 4
"""Maximum parts between stars in one value: the search for more could take long."""


def hidden_params(asked_as: str) -> Pairs:
    """Return the parameters in ``asked_as`` that contain a secret, with stars in place of the secret."""
    if STARS not in asked_as:
        return ()
    return tuple((param.name, param.value) for param in parse_params_text(asked_as)[0] if STARS in param.value)


def show_params(pairs: Pairs, asked_as: str) -> Pairs:
    """Return the parameters ``pairs`` of a run, with stars in place of secrets and sealed values."""
    hidden = dict(hidden_params(asked_as))
    return tuple((_starred(name), hidden.get(name) or _starred(value)) for name, value in pairs)


def _starred(text: str) -> str:
    return replace_sealed(text, lambda *_: STARS)


def secrets_in(value: str, shown: str) -> tuple[str, ...]:
    """Return the texts to mask for a parameter: the parts of ``value`` that are stars in ``shown``.

    If the parts cannot be found for certain (several secrets in one value, or the value has changed), return the whole
    value as well.
    """
    if value == shown:
        return ()
    parts = shown.split(STARS)
    found = len(parts) <= _MAX_PARTS and re.fullmatch("(.+?)".join(map(re.escape, parts)), value, re.DOTALL)
    if not found:
        return (value,)
    return found.groups() if len(parts) == _PARTS_OF_ONE_SECRET else (value, *found.groups())
