"""Message signing of a process: which keys it needs and what each key is for, by the services that it runs."""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime

from shared.contracts.signing import Keyring, Purpose, by_id
from shared.contracts.signing_keys import SigningKey, VerifyingKey
from shared.contracts.worker_pools import pool_of_key
from shared.errors import ConfigInvalid
from shared.settings.config import Config
from shared.transport.base import Transport
from shared.transport.open import is_embedded
from shared.transport.signed import SignedTransport

__all__ = ["message_signing"]

_log = logging.getLogger(__name__)

_NEEDED = {
    "api": ("command_keys",),
    "scheduler": ("command_keys", "task_keys", "report_keys"),
    "worker": ("task_public_keys", "report_keys"),
}
"""The settings with the keys of each service."""


def message_signing(config: Config, *services: str) -> Callable[[Transport, Callable[[], datetime]], Transport]:
    """Return a function that makes a transport sign and verify, by the given clock.

    The function leaves the transport as it is if signing is off, or if messages do not leave the process.

    Raises:
        ConfigInvalid: a key that one of ``services`` needs is missing, or the worker is not in the pool of its keys.
    """
    if is_embedded(config.amqp_url):
        return lambda transport, _clock: transport
    if config.message_signing == "off":
        _log.warning("signing.off", extra={"next": "who can reach the broker can forge messages: set keys for signing"})
        return lambda transport, _clock: transport
    for service in services:
        for field in _NEEDED[service]:
            try:
                config.need(field)
            except ConfigInvalid as error:
                raise ConfigInvalid(f"{error} (or set DAGWAY_MESSAGE_SIGNING=off)") from None
    if "worker" in services:
        _check_pool(config, alone=len(services) == 1)
    keyring = _keyring(config, services)
    accept_unsigned = config.message_signing == "accept-unsigned"
    if accept_unsigned:
        _log.warning("signing.accepts_unsigned", extra={"next": "set DAGWAY_MESSAGE_SIGNING=on after the upgrade"})
    return lambda transport, clock: SignedTransport(transport, keyring, accept_unsigned=accept_unsigned, clock=clock)


def _check_pool(config: Config, *, alone: bool) -> None:
    pool = config.worker_pool
    pools = {pool_of_key(key.id) for key in config.report_keys}
    if pool not in pools:
        raise ConfigInvalid(f"DAGWAY_REPORT_KEYS has no key of the worker pool {pool!r} (DAGWAY_WORKER_POOL)")
    if alone and (config.command_keys or config.task_keys):
        raise ConfigInvalid(
            "DAGWAY_COMMAND_KEYS or DAGWAY_TASK_KEYS is set: remove them from the worker's environment, because the "
            "commands of steps could read them"
        )
    if alone and (foreign := sorted(pools - {pool})):
        raise ConfigInvalid(
            f"DAGWAY_REPORT_KEYS: a worker of the pool {pool!r} must not have keys of other pools: {', '.join(foreign)}"
        )


def _keyring(config: Config, services: tuple[str, ...]) -> Keyring:
    signers: dict[Purpose, SigningKey] = {}
    verifiers: dict[Purpose, Mapping[str, VerifyingKey]] = {}
    if "api" in services:
        signers[Purpose.COMMAND] = config.command_keys[0]
        verifiers |= dict.fromkeys((Purpose.REPLY, Purpose.NOTICE), by_id(config.command_keys))
    if "scheduler" in services:
        signers |= dict.fromkeys((Purpose.REPLY, Purpose.NOTICE), config.command_keys[0])
        signers |= dict.fromkeys((Purpose.TASK, Purpose.CONTROL, Purpose.MARKER), config.task_keys[0])
        verifiers[Purpose.COMMAND] = by_id(config.command_keys)
        verifiers |= dict.fromkeys((Purpose.REPORT, Purpose.HEARTBEAT), by_id(config.report_keys))
        verifiers[Purpose.MARKER] = by_id(key.public for key in config.task_keys)
    if "worker" in services:
        own = next(key for key in config.report_keys if pool_of_key(key.id) == config.worker_pool)
        signers |= dict.fromkeys((Purpose.REPORT, Purpose.HEARTBEAT), own)
        verifiers |= dict.fromkeys((Purpose.TASK, Purpose.CONTROL), by_id(config.task_public_keys))
    return Keyring(signers, verifiers)
