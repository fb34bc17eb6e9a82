"""Find and mask the parameters of a sub-run that contain a secret of the calling run.

They are stored sealed, or as they are if the calling worker had no key to seal them. The text with which the sub-run
was started (``asked_as``) is stored too, with stars in place of each secret. From that text follows what the API shows,
and which values workers must mask.
"""

from collections.abc import Sequence

from shared.language.expansion.params_syntax import params_pairs
from shared.language.expansion.sealed_text import replace_sealed
from shared.language.model import Pairs

__all__ = ["STARS", "hidden_params", "secrets_in", "show_params"]

STARS = "*******"
_PARTS_OF_ONE_SECRET = 2
_MAX_PARTS = 4
"""Maximum parts between stars in one value: with more it is hardly certain where each secret is."""


def hidden_params(asked_as: str) -> Pairs:
    """Return the parameters in ``asked_as`` that contain a secret, with stars in place of the secret."""
    if STARS not in asked_as:
        return ()
    return tuple((name, value) for name, value in params_pairs(asked_as) if STARS in value)


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
    found = _between(parts, value) if 1 < len(parts) <= _MAX_PARTS else ()
    return found if len(parts) == _PARTS_OF_ONE_SECRET and found else (value, *found)


def _between(parts: Sequence[str], value: str) -> tuple[str, ...]:
    """Return what stands between ``parts`` in ``value``, each as short as possible; empty if they are not all there."""
    first, *inner, last = parts
    at, end = len(first), len(value) - len(last)
    if not (value.startswith(first) and value.endswith(last)):
        return ()
    found = []
    for part in inner:
        place = value.find(part, at + 1, end)
        if place < 0:
            return ()
        found.append(value[at:place])
        at = place + len(part)
    return (*found, value[at:end]) if at < end else ()
