"""Names of HTTP headers as Dagu writes them."""

import re

__all__ = ["canonical"]

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""RFC 9110 section 5.6.2."""


def canonical(name: str) -> str:
    """Return ``x-api-key`` and ``X-API-Key`` as ``X-Api-Key``; a name that is not a token is returned as it is.

    Header names are case-insensitive (RFC 9110 section 5.1), but receivers and readers of ``output`` that were
    written for Dagu expect exactly this form.
    """
    if not _TOKEN.fullmatch(name):
        return name
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))
