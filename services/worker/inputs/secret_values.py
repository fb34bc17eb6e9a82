"""Resolve a DAG's secrets on this worker. Only the step and the masker receive their values."""

from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

from services.worker.inputs.named_files import EVERYTHING, Reach
from shared.errors import InvalidInput
from shared.language.connections import SECRET_PLUGINS
from shared.language.model import Secret

__all__ = ["SecretMissing", "SecretProvider", "resolve_secrets"]


class SecretProvider(Protocol):
    """A plugin function that returns the value of one secret.

    A package registers it in the entry point group ``dagway.secrets``: ``vault = "my_package:resolve"`` serves secrets
    with ``provider: vault``. If it raises, the run fails with the exception's text, which must not contain the value.
    """

    def __call__(self, key: str, options: Mapping[str, str]) -> str:
        """Return the value of the secret ``key``. ``options`` are the ``options`` of the secret in the DAG."""


class SecretMissing(InvalidInput):
    """A secret cannot be resolved on this worker. The text contains the secret's name, never its value."""


def resolve_secrets(
    secrets: Sequence[Secret],
    folders: Sequence[Path],
    host: Mapping[str, str],
    *,
    all_of_them: bool = True,
    reach: Reach = EVERYTHING,
) -> dict[str, str]:
    """Return a map of each secret's name to its value. ``host`` holds the variables that the provider ``env`` may read.

    The relative path of a secret's file means that file in the first of ``folders`` that has it.

    Raises:
        SecretMissing: a variable is not set, a file cannot be read or a provider is unknown. With
            ``all_of_them=False`` the secret is left out instead.
    """
    found: dict[str, str] = {}
    for secret in secrets:
        try:
            found[secret.name] = _resolve(secret, folders, host, reach)
        except SecretMissing:
            if all_of_them:
                raise
    return found


def _resolve(secret: Secret, folders: Sequence[Path], host: Mapping[str, str], reach: Reach) -> str:
    failed = f'failed to resolve secret "{secret.name}"'
    if secret.provider == "env":
        if secret.key not in host:
            raise SecretMissing(f'{failed}: environment variable "{secret.key}" is not set')
        return host[secret.key]
    if secret.provider == "file":
        candidates = [folder / Path(secret.key).expanduser() for folder in folders]
        try:
            path = next((one for one in candidates if one.exists()), candidates[0])
            with open(reach.open(path), encoding="utf-8") as file:  # noqa: PTH123 - a descriptor, not a path
                text = file.read()
        except FileNotFoundError:
            raise SecretMissing(f"{failed}: secret file not found: {secret.key}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise SecretMissing(f"{failed}: {secret.key}: {error}") from error
        # Editors end files with a newline, which is not part of the secret and would defeat masking.
        return text.removesuffix("\n").removesuffix("\r")
    for entry in entry_points(group=SECRET_PLUGINS, name=secret.provider):
        provider: SecretProvider = entry.load()
        return _call(provider, secret, failed)
    why = f"unknown secret provider: {secret.provider}"
    raise SecretMissing(f"{failed}: {why} (no installed package on this worker provides it)")


def _call(provider: SecretProvider, secret: Secret, failed: str) -> str:
    try:
        return provider(secret.key, dict(secret.options))
    except Exception as error:
        raise SecretMissing(f"{failed}: {secret.provider}: {error}") from error
