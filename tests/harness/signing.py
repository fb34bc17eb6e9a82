"""Keys for the processes of tests. Each service gets the keys that it has in production, and no others."""

from services.processes.signing import message_signing
from shared.clock import utc_now
from shared.contracts.signing_keys import private_keys
from shared.settings.config import load_config
from shared.transport.base import Transport
from shared.transport.signed import SignedTransport

__all__ = ["POOL_KEYS", "public_halves", "signed_as", "signing_settings"]

POOL_KEYS = {pool: f"{pool}/1={pool[0] * 48}" for pool in ("default", "gpu", "team")}
"""The report keys of some worker pools."""
_COMMAND_KEYS = f"1={'c' * 48}"
_TASK_KEYS = f"1={'70' * 32}"


def public_halves(task_keys: str) -> str:
    """Return the setting of the workers for the schedulers' ``task_keys``."""
    return ",".join(f"{key.id}={key.public.point.hex()}" for key in private_keys(task_keys))


def signing_settings(service: str) -> dict[str, str]:
    """Return the keys of a service; none for a command that is no service of the distributed mode."""
    return {
        "api": {"DAGWAY_COMMAND_KEYS": _COMMAND_KEYS},
        "scheduler": {
            "DAGWAY_COMMAND_KEYS": _COMMAND_KEYS,
            "DAGWAY_TASK_KEYS": _TASK_KEYS,
            "DAGWAY_REPORT_KEYS": ",".join(POOL_KEYS.values()),
        },
        "worker": {
            "DAGWAY_TASK_PUBLIC_KEYS": public_halves(_TASK_KEYS),
            "DAGWAY_REPORT_KEYS": POOL_KEYS["default"],
        },
    }.get(service, {})


def signed_as(service: str, transport: Transport, **env: str) -> SignedTransport:
    """Return a transport that signs and verifies as ``service`` does. ``env`` replaces settings."""
    settings = {"DAGWAY_AMQP_URL": "amqp://unused/", **signing_settings(service), **env}
    signed = message_signing(load_config({}, settings), service)(transport, utc_now)
    assert isinstance(signed, SignedTransport)
    return signed
