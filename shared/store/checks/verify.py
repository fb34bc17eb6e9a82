"""Runs all checks in one snapshot."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine

from shared.store.checks import attempts, commands, history, limits, logs, progress, schedules
from shared.store.checks.base import Check, StoreSnapshot, Violation
from shared.store.engine import transaction
from shared.store.migrate import require_head
from shared.store.workspace_scope import of_every_workspace

__all__ = ["CHECKS", "CheckResult", "verify"]

CHECKS: tuple[Check, ...] = (
    *commands.CHECKS,
    *history.CHECKS,
    *attempts.CHECKS,
    *progress.CHECKS,
    *limits.CHECKS,
    *logs.CHECKS,
    *schedules.CHECKS,
)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found. ``count`` counts all violations; ``shown`` has the first of them."""

    check: Check
    count: int
    shown: tuple[Violation, ...]


def verify(
    engine: Engine,
    now: datetime,
    lease_s: float,
    *,
    limit: int = 20,
    only: Collection[str] = (),
    settled: bool = False,
) -> tuple[CheckResult, ...]:
    """Run the checks, or only those named, and return a result of each, with up to ``limit`` violations.

    ``engine`` must be read-only: only then all queries see one snapshot on Postgres. ``lease_s`` and ``settled`` are
    those of ``StoreSnapshot``.

    Raises:
        ConfigInvalid: the database is empty, or has an earlier schema.
        StoreUnavailable: the database is unavailable or was lost meanwhile.
    """
    require_head(engine)
    with transaction(of_every_workspace(engine)) as connection:
        snapshot = StoreSnapshot(connection, now, lease_s, settled=settled)
        return tuple(_run(check, snapshot, limit) for check in CHECKS if not only or check.name in only)


def _run(check: Check, snapshot: StoreSnapshot, limit: int) -> CheckResult:
    shown: list[Violation] = []
    count = 0
    for violation in check.find(snapshot):
        count += 1
        if len(shown) < limit:
            shown.append(violation)
    return CheckResult(check, count, tuple(shown))
