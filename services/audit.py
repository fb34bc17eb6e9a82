"""``dagway audit verify``: recomputes the hash chain of the audit log."""

from typing import Any

from services.verify import database_to_read
from shared.audit.chain import Point
from shared.errors import InvalidInput
from shared.settings.config import Config
from shared.store.engine import open_engine
from shared.store.migrate import require_head
from shared.store.reads.audit import AuditReads, Verified

__all__ = ["as_json", "read_point", "summary", "verify_audit"]

_HASH_CHARS = 64


def verify_audit(config: Config, contains: Point | None) -> Verified:
    """Recompute the chain; needs only the SELECT privilege. ``contains``: a point that must be in it.

    Raises:
        ConfigInvalid: the database does not exist, or has an earlier schema.
        StoreUnavailable: the database is unavailable.
    """
    engine = open_engine(database_to_read(config), pool_size=1, read_only=True, application_name="dagway-audit")
    try:
        require_head(engine)
        return AuditReads(engine).verify_audit(contains)
    finally:
        engine.dispose()


def read_point(text: str) -> Point:
    """Return the point that ``POSITION:HASH`` names. Raises ``InvalidInput``."""
    position, _, hash_text = text.partition(":")
    if not position.isdecimal() or len(hash_text) != _HASH_CHARS:
        raise InvalidInput(f"{text!r} is not POSITION:HASH as printed by an earlier verification")
    return Point(int(position), hash_text)


def summary(found: Verified) -> str:
    """Return what the verification found, in one line."""
    if found.broken is not None:
        return f"BROKEN at position {found.broken.position}: {found.broken.why}"
    kept = f", begins behind {found.start}" if found.start.position else ""
    return f"intact: {found.links} entries, {found.waiting} not linked yet{kept}, ends at {found.end}"


def as_json(found: Verified) -> dict[str, Any]:
    """Return what the verification found. ``end`` can be given as ``--contains`` of a later one."""
    broken = found.broken and {"position": found.broken.position, "why": found.broken.why}
    return {
        "intact": found.broken is None,
        "entries": found.links,
        "notLinkedYet": found.waiting,
        "begin": str(found.start),
        "end": str(found.end),
        "broken": broken,
    }
