"""What a provider of secrets is. Plugins import this from ``dagway.secrets``."""

from collections.abc import Mapping
from typing import Protocol

from shared.errors import InvalidInput

__all__ = ["SecretMissing", "SecretProvider"]


class SecretMissing(InvalidInput):
    """A secret cannot be resolved on this worker. The text says why, and never contains the value."""


class SecretProvider(Protocol):
    """A plugin function that returns the value of one secret.

    A package registers it in the entry point group ``dagway.secrets``: ``aws = "my_package:resolve"`` serves secrets
    with ``provider: aws``. A worker calls it for each attempt of a step that gets the secret, from several threads at
    once. If it raises, the step fails with the exception's text, which must not contain the value.
    """

    def __call__(self, key: str, options: Mapping[str, str]) -> str:
        """Return the value of the secret ``key``. ``options`` are the ``options`` of the secret in the DAG."""
