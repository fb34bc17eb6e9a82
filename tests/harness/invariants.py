"""Whether a system has come to rest, what it has done, and whether it kept its guarantees.

The guarantees are checked by ``shared.store.checks``, as ``dagway verify`` does. Only a test also knows which commands
were accepted, and that nothing should be left.
"""

from collections.abc import Iterable

from sqlalchemy import Engine, func, select

from shared.clock import utc_now
from shared.status import RunStatus
from shared.store import tables as t
from shared.store.checks.verify import verify
from shared.store.engine import transaction

__all__ = ["at_rest", "census", "violations", "violations_now"]

_OPEN = [str(status) for status in RunStatus if status.active or status is RunStatus.NOT_STARTED]
_NONE_LEFT = (t.outbox, t.timers, t.pool_waits)


def census(engine: Engine) -> dict[str, dict[str, int]]:
    """Count runs and nodes by status, attempts by state and commands by outcome."""
    columns = {
        "runs": t.dag_runs.c.status,
        "nodes": t.nodes.c.status,
        "attempts": t.attempts.c.state,
        "commands": t.inbox.c.outcome,
    }
    with transaction(engine) as connection:
        found = {}
        for what, column in columns.items():
            rows = connection.execute(select(column, func.count()).group_by(column))
            found[what] = {str(name): count for name, count in rows}
        found["left"] = {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (t.outbox, t.timers)
        }
        found["transitions"] = {"all": connection.execute(select(func.count()).select_from(t.transitions)).scalar_one()}
    return found


def at_rest(engine: Engine) -> bool:
    """Whether every run and follow-up has ended and the outbox is empty."""
    with transaction(engine) as connection:
        active = connection.execute(select(t.dag_runs.c.run_key).where(t.dag_runs.c.status.in_(_OPEN)).limit(1)).first()
        held = connection.execute(select(t.nodes.c.token).where(t.nodes.c.token.is_not(None)).limit(1)).first()
        owed = connection.execute(select(t.outbox.c.id).limit(1)).first()
    return active is None and held is None and owed is None


def violations_now(engine: Engine, lease_s: float) -> list[str]:
    """Check a live system, as ``dagway verify`` does. ``engine`` must be read-only."""
    found = verify(engine, utc_now(), lease_s)
    return [f"{result.check.name}: {one.text}" for result in found for one in result.shown]


def violations(engine: Engine, *, commands: Iterable[str] = ()) -> list[str]:
    """Check a system in which all runs have ended. Nothing counts as still on its way, and nothing may be left.

    ``commands`` are ids of accepted commands, each of which must have an outcome.
    """
    found = [
        f"{result.check.name}: {one.text}"
        for result in verify(engine, utc_now(), 0, settled=True)
        for one in result.shown
    ]
    with transaction(engine) as connection:
        outcomes = set(connection.execute(select(t.inbox.c.command_id)).scalars())
        found += [f"command {one} was accepted and has no outcome" for one in sorted(set(commands) - outcomes)]
        for table in _NONE_LEFT:
            found += [f"left in {table.name}: {dict(row)}" for row in connection.execute(select(table)).mappings()]
        places = select(t.pool_places).where(t.pool_places.c.until_at.is_(None))
        found += [f"left in pool_places: {dict(row)}" for row in connection.execute(places).mappings()]
        going = select(t.dag_runs.c.dag_name, t.dag_runs.c.dag_run_id, t.dag_runs.c.status)
        query = going.where(t.dag_runs.c.status.in_(_OPEN))
        found += [f"run {row.dag_name}/{row.dag_run_id} is still {row.status}" for row in connection.execute(query)]
        held = select(t.nodes.c.token).where(t.nodes.c.token.is_not(None))
        found += [f"attempt {token} is still open" for token in connection.execute(held).scalars()]
    return found
