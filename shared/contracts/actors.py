"""Actors: who asked for a change, in commands and in the audit log."""

from shared.contracts.base import Part

__all__ = ["STORED_KINDS", "SYSTEM", "Actor"]

STORED_KINDS = frozenset({"user", "api_key", "webhook"})
"""Kinds of actors that have a row in the database, under their id."""


class Actor(Part):
    """Who asked for a change, as the gateway authenticated it.

    ``kind``: ``user``, ``api_key``, ``webhook``, ``token`` (the static token), ``basic``, ``oidc``, ``anonymous``
    (where no authentication is required, or nobody is logged in), or ``system`` (a gateway on its own behalf). It is no
    closed set, so that a message of a later release can still be read.
    """

    kind: str
    id: str = ""
    """The id of the actor's row, for ``STORED_KINDS``; the subject, for ``oidc``; else the same as ``name``."""
    name: str
    role: str = ""
    """The role at the time of the request. Empty if the request was not admitted."""
    address: str = ""
    """The IP address of the client; empty if there is none."""
    request_id: str = ""


SYSTEM = Actor(kind="system", id="system", name="system", role="admin")
