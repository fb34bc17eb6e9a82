"""The form of an attempt token: ``<run key>:<version of the run>:<node>:<salt>``.

The tokens of a chain (ADR 63) differ only in their node, so whoever knows one of them knows the others. All other
attempts of a run have another version or another salt.
"""

from hashlib import blake2b

__all__ = ["attempt_token", "chain_of", "run_of", "token_in_chain"]

_SALT_BYTES = 6
"""So many that a token fits into its column even if the run has a million versions."""


def attempt_token(run_key: str, version: int, node: int, salt: str) -> str:
    """Return the token of an attempt that a decision opens. ``version`` is that of the run after the decision.

    ``salt`` is the random text of the decision. Each attempt that it opens gets a salt of its own, made from that.
    """
    own = blake2b(f"{salt}:{node}".encode(), digest_size=_SALT_BYTES).hexdigest()
    return f"{run_key}:{version}:{node}:{own}"


def run_of(token: str) -> str:
    """Return the key of the run that an attempt belongs to."""
    return token.split(":", 1)[0]


def token_in_chain(token: str, node: int) -> str:
    """Return the token of the step ``node`` in the chain that the attempt ``token`` belongs to."""
    before, salt = _around_node(token)
    return f"{before}:{node}:{salt}"


def chain_of(token: str) -> str:
    """Return what all tokens of a chain have in common, and no other token has."""
    before, salt = _around_node(token)
    return f"{before}:{salt}"


def _around_node(token: str) -> tuple[str, str]:
    # Tokens in reports are whatever a worker wrote there.
    before, _, salt = token.rpartition(":")
    return before.rpartition(":")[0], salt
