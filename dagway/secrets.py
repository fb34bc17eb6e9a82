"""The API for secret plugins, i.e. packages that add a provider of secrets.

A plugin names a function in the entry point group ``dagway.secrets``; docs/secrets.md has a complete example. New
releases may add names here; none is removed within a major version.

- ``SecretProvider``: the protocol, ``provider(key, options) -> value``
- ``SecretMissing``: raise it if there is no such secret, or if it cannot be read. The text is shown to users
"""

from services.worker.inputs.secret_provider import SecretMissing, SecretProvider

__all__ = ["SecretMissing", "SecretProvider"]
