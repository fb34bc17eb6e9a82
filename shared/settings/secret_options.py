"""The settings that say where the secrets of steps are."""

from shared.contracts.signing_keys import shared_keys
from shared.settings.option import GATEWAY, WORKER, Option
from shared.settings.readers import existing_file, folder, folders, server_url

__all__ = ["SECRET_OPTIONS"]

SECRET_OPTIONS = (
    Option(
        "DAGWAY_SECRET_KEYS",
        shared_keys,
        GATEWAY | WORKER,
        "keys of stored secrets: ID=SECRET, the first seals, all open; the same for all gateways and workers; use the "
        "environment variable or a file (up: one of its own)",
        secret=True,
    ),
    Option("DAGWAY_SECRETS_DIR", folder, WORKER, "folder of mounted secrets, for the provider mounted (/run/secrets)"),
    Option(
        "DAGWAY_SECRET_FILE_DIRS",
        folders,
        WORKER,
        "folders, with commas between, whose files the provider file may read (every file that the worker may read)",
    ),
    Option(
        "DAGWAY_VAULT_ADDR",
        server_url,
        WORKER,
        "URL of HashiCorp Vault or OpenBao, for the provider vault; needs a token or a role (none)",
    ),
    Option(
        "DAGWAY_VAULT_TOKEN",
        str,
        WORKER,
        "token with which the worker reads from Vault; use the environment variable or a file (none)",
        secret=True,
    ),
    Option(
        "DAGWAY_VAULT_ROLE",
        str,
        WORKER,
        "role in Vault's Kubernetes auth, as which the worker logs in with its service account (none)",
    ),
    Option("DAGWAY_VAULT_AUTH_PATH", str, WORKER, "path at which Vault has the Kubernetes auth (kubernetes)"),
    Option(
        "DAGWAY_VAULT_JWT_FILE",
        folder,
        WORKER,
        "file with the service account's token, read for each login "
        "(/var/run/secrets/kubernetes.io/serviceaccount/token)",
    ),
    Option("DAGWAY_VAULT_NAMESPACE", str, WORKER, "Vault namespace of the secrets (none)"),
    Option(
        "DAGWAY_VAULT_CA_FILE",
        existing_file,
        WORKER,
        "certificates of the authorities that Vault's certificate may be from, PEM (those of the system)",
    ),
)
