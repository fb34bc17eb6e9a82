"""Resolve a DAG's secrets on this worker. Only the step and the masker receive their values."""

from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from services.worker.inputs.named_files import Reach
from services.worker.inputs.secret_files import MountedSecrets, secret_file
from services.worker.inputs.secret_provider import SecretMissing, SecretProvider
from shared.language import model
from shared.language.connections import SECRET_PLUGINS
from shared.language.model import Secret
from shared.secret_box import MOST_IN_A_TASK, TOO_MUCH, CannotOpenSecret, SecretBox

if TYPE_CHECKING:
    # Imported where it is set up: its HTTP client takes long to import.
    from services.worker.inputs.vault import Vault

__all__ = ["SecretResolver"]


class SecretResolver:
    """Resolves secrets with the providers that are built in, and with those of installed packages. Thread-safe.

    Without ``mounted`` or ``vault``, the provider of that name is not set up on this worker. ``box`` opens stored
    secrets. With ``file_dirs``, the provider ``file`` reads files in these folders only.
    """

    def __init__(
        self,
        mounted: MountedSecrets | None = None,
        vault: "Vault | None" = None,
        box: SecretBox | None = None,
        *,
        file_dirs: Sequence[Path] = (),
    ) -> None:
        self._box = box or SecretBox()
        self._file_dirs = file_dirs
        self._mounted = mounted
        self._vault = vault

    def resolve(
        self,
        secrets: Sequence[Secret],
        folders: Sequence[Path],
        host: Mapping[str, str],
        *,
        sealed: Mapping[str, str],
        all_of_them: bool,
        reach: Reach,
    ) -> dict[str, str]:
        """Return a map of each secret's name to its value. ``host`` holds the variables that ``env`` may read.

        ``sealed`` are the sealed values of stored secrets. The relative path of a secret's file means that file in the
        first of ``folders`` that has it.

        Raises:
            SecretMissing: a secret has no value, or cannot be read; the text contains its name. With
                ``all_of_them=False`` the secret is left out instead.
        """
        found: dict[str, str] = {}
        for secret in secrets:
            try:
                value = self._value(secret, folders, host, sealed=sealed, reach=reach)
                if "\0" in value:
                    raise SecretMissing("the value has a NUL byte, which no variable can have")
                found[secret.name] = value
            except SecretMissing as error:
                if all_of_them:
                    raise SecretMissing(f'failed to resolve secret "{secret.name}": {error}') from error
        return found

    def _value(
        self,
        secret: Secret,
        folders: Sequence[Path],
        host: Mapping[str, str],
        *,
        sealed: Mapping[str, str],
        reach: Reach,
    ) -> str:
        match secret.provider:
            case "env":
                if secret.key not in host:
                    raise SecretMissing(f'environment variable "{secret.key}" is not set')
                return host[secret.key]
            case "file":
                return secret_file(secret.key, folders, reach, self._file_dirs)
            case "mounted":
                if self._mounted is None:
                    raise SecretMissing("this worker has no folder of mounted secrets: set DAGWAY_SECRETS_DIR")
                return self._mounted.read(secret.key)
            case "vault":
                if self._vault is None:
                    raise SecretMissing("this worker has no Vault: set DAGWAY_VAULT_ADDR")
                return self._vault.read(secret.key, secret.options)
            case model.STORED:
                return self._opened(secret.key, sealed)
        return _from_plugin(secret)

    def _opened(self, name: str, sealed: Mapping[str, str]) -> str:
        if name not in sealed:
            raise SecretMissing(f'there is no stored secret "{name}" that this DAG may use')
        if sealed[name] == TOO_MUCH:
            raise SecretMissing(
                'the stored secrets in the field "secrets" of the workflow have more than '
                f"{MOST_IN_A_TASK} characters together when encrypted: use fewer or smaller ones"
            )
        try:
            return self._box.open(name, sealed[name])
        except CannotOpenSecret as error:
            raise SecretMissing(f'the stored secret "{name}" cannot be opened: {error}') from error


def _from_plugin(secret: Secret) -> str:
    for entry in entry_points(group=SECRET_PLUGINS, name=secret.provider):
        try:
            provider: SecretProvider = entry.load()
            value = provider(secret.key, dict(secret.options))
        except Exception as error:
            raise SecretMissing(f"{secret.provider}: {error}") from error
        if not isinstance(value, str):
            raise SecretMissing(f"{secret.provider}: the value of {secret.key!r} is not text")
        return value
    why = f"unknown secret provider: {secret.provider}"
    raise SecretMissing(f"{why} (no installed package on this worker provides it)")
