"""Write the names of HTTP headers as Dagu does."""

import re

__all__ = ["canonical"]

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""RFC 9110 section 5.6.2."""


def canonical(name: str) -> str:
    """Return the name in canonical form: ``x-api-key`` and ``X-API-Key`` become ``X-Api-Key``.

    A name that is not a token is returned unchanged. Header names are case-insensitive (RFC 9110 section 5.1), but
    receivers and readers of ``output`` that were written for Dagu expect exactly this form.
    """
    if not _TOKEN.fullmatch(name):
        return name
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))
