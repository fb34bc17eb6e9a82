"""When dags are due next, to sort a list by it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from croniter import croniter

from shared.spec.load import Loaded
from shared.spec.schedule import cron_fault, split_zone
from shared.store.reads import Dag

__all__ = ["next_fire", "soonest_first"]


def next_fire(expressions: Sequence[str], now: datetime) -> datetime | None:
    """Return the first moment after ``now`` that any of the cron expressions names."""
    fires: list[datetime] = []
    for expression in expressions:
        if cron_fault(expression):
            continue
        zone, fields = split_zone(expression)
        local = now.astimezone(ZoneInfo(zone) if zone else None)
        try:
            fires.append(croniter(fields, local).get_next(datetime))
        except ValueError:
            # A date that never comes, such as the 30th of February.
            continue
    return min(fires, default=None)


def soonest_first(
    dags: Sequence[Dag], loaded: Mapping[str, Loaded], now: datetime, *, descending: bool = False
) -> tuple[Dag, ...]:
    """Order by next fire; dags without one stay last in both orders, as they came."""
    due: list[tuple[datetime, Dag]] = []
    never: list[Dag] = []
    for dag in dags:
        model = loaded[dag.file_name].dag
        at = next_fire(model.schedule.start, now) if model else None
        if at is None:
            never.append(dag)
        else:
            due.append((at, dag))
    due.sort(key=lambda pair: pair[0], reverse=descending)
    return (*(dag for _, dag in due), *never)
