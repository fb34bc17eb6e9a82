"""Everything that the judge looks at: the database, the ledger of the steps, the replies, and the faults."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.store import tables as t
from tests.chaos.model import Plan, Strike, Undone
from tests.chaos.users import Reply
from tests.harness.cluster import Deployment

__all__ = ["Evidence", "LedgerCounts", "read_ledger", "read_store"]

Row = Mapping[str, Any]
LedgerCounts = Mapping[tuple[str, str], Counter[tuple[str, str]]]
"""How often each step has begun and ended: by (DAG, run id), then by (``begin`` or ``end``, step)."""
_TOLD = ("it may have run twice", "it has run, at least in part")


@dataclass(frozen=True, slots=True)
class Evidence:
    """The facts after a campaign. ``told`` are the runs whose history says that a step may have run twice."""

    plan: Plan
    runs: Sequence[Row]
    nodes: Sequence[Row]
    attempts: Sequence[Row]
    executions: Sequence[Row]
    told: frozenset[str]
    slots: Sequence[Row] = ()
    outcomes: Mapping[str, str] = field(default_factory=dict)
    ledger: LedgerCounts = field(default_factory=dict)
    replies: Mapping[str, Sequence[Reply]] = field(default_factory=dict)
    strikes: Sequence[Strike] = ()
    undone: Undone = field(default_factory=Undone)


def read_ledger(folder: Path) -> LedgerCounts:
    """Return what the steps have written. A line that a crash cut off still counts as a begin."""
    found: dict[tuple[str, str], Counter[tuple[str, str]]] = defaultdict(Counter)
    for path in folder.iterdir():
        dag, _, run_id = path.name.partition(".")
        for line in path.read_text().splitlines():
            what, step, *_ = [*line.split(), ""]
            found[dag, run_id][what, step] += 1
    return found


def read_store(
    system: Deployment,
    plan: Plan,
    ledger: LedgerCounts,
    replies: Mapping[str, Sequence[Reply]],
    strikes: Sequence[Strike],
) -> Evidence:
    """Return the evidence of a system in which all runs have ended."""
    told = {row["run_key"] for row in system.rows(t.transitions) if any(words in row["why"] for words in _TOLD)}
    return Evidence(
        plan,
        runs=system.rows(t.dag_runs),
        nodes=system.rows(t.nodes),
        attempts=system.rows(t.attempts),
        executions=system.rows(t.executions),
        told=frozenset(told),
        slots=system.rows(t.cron_slots),
        outcomes={row["command_id"]: row["outcome"] for row in system.rows(t.inbox)},
        ledger=ledger,
        replies=replies,
        strikes=strikes,
    )
