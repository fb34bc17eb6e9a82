"""The settings for signing messages."""

from shared.contracts.signing_keys import private_keys, public_keys, report_keys, shared_keys
from shared.settings.option import ALL, GATEWAY, SCHEDULER, WORKER, Option
from shared.settings.readers import one_of

__all__ = ["SIGNING_OPTIONS"]

SIGNING_OPTIONS = (
    Option(
        "DAGWAY_MESSAGE_SIGNING",
        one_of("on", "off", "accept-unsigned"),
        ALL,
        "whether messages are signed and verified: on, off, or accept-unsigned during an upgrade from off (on)",
    ),
    Option(
        "DAGWAY_COMMAND_KEYS",
        shared_keys,
        GATEWAY | SCHEDULER,
        "keys of gateways and schedulers: ID=SECRET, the first signs, all verify; use the environment variable "
        "or a file",
        secret=True,
    ),
    Option(
        "DAGWAY_TASK_KEYS",
        private_keys,
        SCHEDULER,
        "private Ed25519 keys with which schedulers sign tasks: ID=SEED, in hexadecimal; use the environment variable "
        "or a file",
        secret=True,
    ),
    Option(
        "DAGWAY_TASK_PUBLIC_KEYS",
        public_keys,
        WORKER,
        "public keys with which workers verify tasks: ID=KEY, the key in hexadecimal",
        secret=True,
    ),
    Option(
        "DAGWAY_REPORT_KEYS",
        report_keys,
        SCHEDULER | WORKER,
        "keys of worker pools: POOL/ID=SECRET; a worker has its own, a scheduler all; use the environment variable or "
        "a file",
        secret=True,
    ),
)
