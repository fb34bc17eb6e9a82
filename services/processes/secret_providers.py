"""The secret providers of this process's worker, as its settings say."""

from typing import TYPE_CHECKING

from services.processes.sealing import stored_secret_keys
from services.worker.inputs.secret_files import MountedSecrets
from services.worker.inputs.secret_values import SecretResolver
from shared.errors import ConfigInvalid
from shared.secret_box import SecretBox
from shared.settings.config import Config

if TYPE_CHECKING:
    from services.worker.inputs.vault import Vault

__all__ = ["secret_resolver"]


def secret_resolver(config: Config) -> SecretResolver:
    """Return what looks up the secrets of steps. Raises ``ConfigInvalid`` if Vault has no way to log in, or two."""
    mounted = MountedSecrets(config.secrets_dir, (*config.secret_files, config.vault_jwt_file))
    box = SecretBox(stored_secret_keys(config))
    return SecretResolver(mounted, _vault(config), box, file_dirs=config.secret_file_dirs)


def _vault(config: Config) -> "Vault | None":
    if not config.vault_addr:
        return None
    if bool(config.vault_token) == bool(config.vault_role):
        raise ConfigInvalid("DAGWAY_VAULT_ADDR needs either DAGWAY_VAULT_TOKEN or DAGWAY_VAULT_ROLE")
    # With its HTTP client, it takes longer to import than most workers need.
    from services.worker.inputs.vault import Vault, VaultSettings  # noqa: PLC0415

    return Vault(
        VaultSettings(
            config.vault_addr,
            config.vault_token,
            config.vault_role,
            config.vault_auth_path,
            config.vault_jwt_file,
            config.vault_namespace,
            config.vault_ca_file,
        )
    )
