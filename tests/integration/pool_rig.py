"""Schedulers without threads, and runs whose steps need pools. A test triggers each action itself."""

from collections import Counter
from typing import Any, cast

from services.scheduler.assembly import Assembly
from services.scheduler.deciding.events import record_events
from shared.admission.pools import PoolKey
from shared.contracts import commands as c
from shared.contracts.events import AttemptFinished, AttemptStarted, ChildCall, Outcome
from shared.store import tables as t
from tests.integration.stepped_rig import SteppedRig

__all__ = ["PoolRig"]


class PoolRig(SteppedRig):
    """Nodes are named ``run/step``."""

    def must(self, *commands: c.Command) -> None:
        assert [reply.error for reply in self.ask(*commands)] == [None] * len(commands)

    def dag(self, name: str, *steps: str, head: str = "type: graph\nplacement: spread") -> None:
        """Create a DAG. Each step is given as a YAML flow map."""
        self.must(c.CreateDag(file_name=name, spec=f"{head}\nsteps:\n" + "".join(f"  - {step}\n" for step in steps)))

    def start(self, *ids: str, dag: str = "a") -> None:
        self.must(*[c.StartRun(file_name=dag, dag_run_id=run_id) for run_id in ids])

    def admit(self, by: Assembly | None = None) -> int:
        """Run admission: start all waiting steps that may enter their pools."""
        with self.store.begin() as tx:
            pools = [PoolKey(*key) for key in tx.pools.awaited()]
        return (by or self.parts).pools.admit(pools) if pools else 0

    def fire(self) -> int:
        return self.parts.timers.fire_due()

    def end(self, node: str, outcome: Outcome = "succeeded", *, exit_code: int | None = None) -> None:
        """Report the end of a node's open attempt, as its worker would."""
        code = exit_code if exit_code is not None else int(outcome != "succeeded")
        self._finish(node, outcome=outcome, exit_code=code)

    def call(self, node: str, *params: str, dag: str = "c") -> None:
        """Report, as a worker would, that a node calls runs of ``dag``: one for each of ``params``."""
        calls = tuple(ChildCall(dag=dag, params=text, given=text) for text in params)
        self._finish(node, outcome="succeeded", exit_code=0, children=calls)

    def _finish(self, node: str, **facts: Any) -> None:
        row = self.nodes()[node]
        facts |= {"worker_id": "w", "incarnation": "i", "at": self.now, "started_at": self.now}
        self.report(AttemptFinished(token=row["token"], run_key=row["run_key"], node=row["idx"], **facts))

    def report(self, event: AttemptStarted | AttemptFinished) -> None:
        """Send a report of a worker."""
        self.transactor.decide(lambda batch: record_events(batch, [event], lambda batch: batch.now))

    # -- what there is ------------------------------------------------------------------------

    def nodes(self) -> dict[str, dict[str, Any]]:
        ids = {row["run_key"]: row["dag_run_id"] for row in self.stack.rows(t.dag_runs)}
        return {f"{ids[row['run_key']]}/{row['name']}": row for row in self.stack.rows(t.nodes)}

    def status(self, run_id: str) -> str:
        [row] = self.stack.rows(t.dag_runs, dag_run_id=run_id)
        return str(row["status"])

    def under_way(self) -> list[str]:
        """Return the nodes whose attempt was sent to a worker and has not ended."""
        return sorted(name for name, row in self.nodes().items() if row["token"] is not None)

    def waiting(self) -> list[str]:
        return sorted(name for name, row in self.nodes().items() if row["admission"] == "waits")

    def taken(self) -> Counter[tuple[str, str]]:
        """Return how many places are taken now, by pool."""
        rows = self.stack.rows(t.pool_places)
        return Counter(
            cast("tuple[str, str]", (row["kind"], row["name"]))
            for row in rows
            if row["until_at"] is None or row["until_at"] > self.now
        )
