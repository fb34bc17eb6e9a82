"""Runs all checks in one snapshot."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine

from shared.store.checks import attempts, commands, history, limits, logs, progress, schedules
from shared.store.checks.base import Check, StoreSnapshot, Violation
from shared.store.engine import transaction
from shared.store.migrate import require_head
from shared.store.workspace_scope import of_every_workspace

__all__ = ["CHECKS", "CheckResult", "verify", "violations"]

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
    chosen = [check for check in CHECKS if not only or check.name in only]
    counts: Counter[str] = Counter()
    shown: dict[str, list[Violation]] = {check.name: [] for check in chosen}
    with transaction(of_every_workspace(engine)) as connection:
        for check, violation in violations(StoreSnapshot(connection, now, lease_s, settled=settled), chosen):
            counts[check.name] += 1
            if len(shown[check.name]) < limit:
                shown[check.name].append(violation)
    return tuple(CheckResult(check, counts[check.name], tuple(shown[check.name])) for check in chosen)


def violations(snapshot: StoreSnapshot, checks: Sequence[Check] = CHECKS) -> Iterator[tuple[Check, Violation]]:
    """Yield what the checks find."""
    alike: dict[object, list[Check]] = {}
    for check in checks:
        alike.setdefault(check.of, []).append(check)
    for group in alike.values():
        for judged in group[0].of(snapshot):
            for check in group:
                for violation in check.find(judged):
                    yield check, violation
