"""The keys of this process that seal secrets: in the parameters of sub-runs (ADR 36), and stored ones (ADR 48)."""

import logging
import os
import secrets
from contextlib import suppress
from pathlib import Path

from shared.contracts.signing_keys import SharedKey, shared_keys
from shared.errors import ConfigInvalid
from shared.settings.config import Config
from shared.transport.open import is_embedded

__all__ = ["seal_keys", "stored_secret_keys"]

_log = logging.getLogger(__name__)
_FILE = "worker-seal-keys"
_STORED_FILE = "secret-keys"
"""Files in the data folder, in the form of the settings."""


def seal_keys(config: Config) -> tuple[SharedKey, ...]:
    """Return the keys of the setting. Without any, an embedded worker uses the key in its data folder.

    If that file is missing, it is made. Raises ``ConfigInvalid`` if it cannot be read or made.
    """
    if config.worker_seal_keys:
        return config.worker_seal_keys
    if is_embedded(config.amqp_url):
        return _own_keys(config.data_dir / _FILE)
    about = "secrets in parameters of sub-runs are stored in plain text: set DAGWAY_WORKER_SEAL_KEYS"
    _log.warning("worker.no_seal_keys", extra={"next": about})
    return ()


def stored_secret_keys(config: Config) -> tuple[SharedKey, ...]:
    """Return the keys of ``DAGWAY_SECRET_KEYS``. Without any, ``dagway up`` uses the key in its data folder.

    If that file is missing, it is made. Raises ``ConfigInvalid`` if it cannot be read or made.
    """
    if config.secret_keys or not is_embedded(config.amqp_url):
        return config.secret_keys
    return _own_keys(config.data_dir / _STORED_FILE)


def _own_keys(path: Path) -> tuple[SharedKey, ...]:
    try:
        if not path.exists():
            _make(path)
    except OSError as error:
        raise ConfigInvalid(f"{path}: the keys that seal secrets cannot be written: {error}") from error
    try:
        return shared_keys(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigInvalid(f"{path}: the keys that seal secrets cannot be read: {error}") from error


def _make(path: Path) -> None:
    # Named when it is on the disk: half a key would make what it sealed unreadable. The gateway and the worker of
    # ``dagway up`` may make one at the same time: the first counts.
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(fd, "w") as file:
            file.write(f"own-{secrets.token_hex(3)}={secrets.token_hex(32)}\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(new)
    finally:
        new.unlink()
