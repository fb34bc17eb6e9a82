"""One transaction's worth of decisions: load and lock runs, advance them, write all of it at once.

Many messages of one run cost one load and one save. What must happen after the commit (messages to
send, workers to tell, loops to wake) is collected in an ``Aftermath``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from services.scheduler.core.advance import Message, advance
from services.scheduler.core.decision import (
    Acquire,
    AddLog,
    Advanced,
    ClosedAttempt,
    Decision,
    Dispatch,
    Effect,
    Forget,
    Halt,
    Ignored,
    Release,
    StartChild,
    StopChild,
    WakeAt,
)
from services.scheduler.core.model import Run, evolve
from services.scheduler.core.plan import Plan
from services.scheduler.deciding import rows
from services.scheduler.deciding.plans import Plans
from services.scheduler.deciding.pool_changes import PoolChanges
from services.scheduler.deciding.post_commit import Aftermath
from services.scheduler.deciding.progress import recall
from services.scheduler.deciding.recent import Recent
from services.scheduler.deciding.rows import origin
from services.scheduler.deciding.traces import asked_in, lost_span, run_span, waited_span
from shared.contracts.codec import encode
from shared.contracts.events import LogChunk
from shared.ids import new_run_id
from shared.spans import Span, recording
from shared.status import AttemptState, RunStatus
from shared.store import tables as t
from shared.store.tables.schedules import run_holds
from shared.store.writes.bulk import Changes, Rows
from shared.store.writes.commands import StoredDag
from shared.store.writes.transaction import Tx
from shared.tracing import SpanContext, begin, here
from shared.transport.base import Outgoing, task_queue, worker_queue

__all__ = ["Batch"]

Row = Mapping[str, Any]
_NODE_KEY = {"run_key": "run_key", "idx": "idx"}


@dataclass(slots=True)
class _Work:
    """A run in this batch: as it is now, and what of it the database does not know yet."""

    run: Run
    loaded: Run | None
    """As read under lock; ``None``: created in this batch."""
    fixed: dict[str, Any] = field(default_factory=dict)
    """Columns that never change: where it came from, whose child it is."""
    forget: bool = False


class Batch:
    """Decisions about runs within the transaction ``tx``, all made at the moment ``now``.

    ``again``: they were made before, but a key was taken, or a run had changed meanwhile.
    """

    def __init__(self, tx: Tx, plans: Plans, recent: Recent, now: datetime, *, again: bool = False) -> None:
        self.tx = tx
        self.now = now
        self.again = again
        self.after = Aftermath(at=now)
        self.plans = plans
        self._recent = recent
        self._work: dict[str, _Work] = {}
        self._names: dict[tuple[str, str], str | None] = {}
        self._dags: dict[str, StoredDag | None] = {}
        self._transitions: list[dict[str, Any]] = []
        self._attempts: list[dict[str, Any]] = []
        self._outbox: list[dict[str, Any]] = []
        self._outcomes: list[dict[str, Any]] = []
        self._chunks: list[dict[str, Any]] = []
        self._of_children: list[tuple[str, StartChild | StopChild]] = []
        self._queued = 0
        self._holds: list[dict[str, Any]] = []
        self._pools = PoolChanges()
        self._timers: dict[tuple[str, int, str], datetime] = {}

    # -- finding runs -------------------------------------------------------------------------

    def load(self, keys: Iterable[str]) -> None:
        """Lock and read the runs with these keys; those that do not exist stay unknown."""
        wanted = sorted(set(keys) - self._work.keys())
        if not wanted:
            return
        run_rows = self.tx.lock_runs(wanted)
        plans = self.plans.get_many(self.tx, [origin(row) for row in run_rows])
        # Few decisions are about a run that this process did not decide about a moment ago.
        runs = {
            row["run_key"]: self._recent.get(row["run_key"], row["version"], plans[origin(row)]) for row in run_rows
        }
        read = self._read([row for row in run_rows if runs[row["run_key"]] is None], plans)
        for row in run_rows:
            key = row["run_key"]
            run = runs[key] or read[key]
            fixed = {name: row[name] for name in ("spec_hash", "file_name", "root_key", "parent_key", "trace")}
            self._work[key] = _Work(run, run, fixed)
            if row["root_key"] is None:
                self._names[run.dag_name, run.dag_run_id] = key

    def _read(self, run_rows: Sequence[Row], plans: Mapping[tuple[str, str], Plan]) -> dict[str, Run]:
        """Read the nodes of runs, whose rows are locked."""
        if not run_rows:
            return {}
        nodes: dict[str, list[Row]] = {}
        for node in self.tx.nodes_of([row["run_key"] for row in run_rows]):
            nodes.setdefault(node["run_key"], []).append(node)
        roots = self.tx.names_of([row["root_key"] for row in run_rows if row["root_key"] is not None])
        return {
            key: rows.run_from_rows(row, nodes.get(key, []), plans[origin(row)], roots.get(row["root_key"]))
            for key, row in ((row["run_key"], row) for row in run_rows)
        }

    def look_up(self, names: Iterable[tuple[str, str]]) -> None:
        """Learn which of these ``(dag_name, dag_run_id)`` exist; answers later calls of ``key_of``."""
        unknown = [name for name in set(names) if name not in self._names]
        found = self.tx.keys_of(unknown)
        self._names.update({name: found.get(name) for name in unknown})

    def key_of(self, dag_name: str, dag_run_id: str) -> str | None:
        """Return the key of a run by the names people use."""
        if (dag_name, dag_run_id) not in self._names:
            self.look_up([(dag_name, dag_run_id)])
        return self._names[dag_name, dag_run_id]

    def look_ahead(
        self, command_ids: Sequence[str], names: Iterable[tuple[str, str]], file_names: Iterable[str]
    ) -> Mapping[str, tuple[str, dict[str, Any]]]:
        """Return the recorded replies of commands, and learn what answers later calls of ``key_of`` and ``dag``.

        No command of the batch may change a definition that is named here.
        """
        ahead = self.tx.look_ahead(command_ids, wanted := sorted(set(names)), files := sorted(set(file_names)))
        self._names.update({name: ahead.keys.get(name) for name in wanted})
        self._dags.update({file: ahead.dags.get(file) for file in files})
        return ahead.replies

    def suppose_new(self, names: Iterable[tuple[str, str]], file_names: Iterable[str]) -> None:
        """Take it that no run has these names, and learn what answers later calls of ``dag``.

        Where a name is taken after all, the flush fails: ask first when it is done ``again``.
        """
        self._names.update(dict.fromkeys(names))
        found = self.tx.stored_dags(files := sorted(set(file_names)))
        self._dags.update({file: found.get(file) for file in files})

    def dag(self, file_name: str) -> StoredDag | None:
        """Return a definition as it is stored."""
        if file_name in self._dags:
            return self._dags[file_name]
        return self.tx.stored_dags([file_name]).get(file_name)

    def run(self, key: str) -> Run | None:
        """Return a run loaded or created in this batch."""
        work = self._work.get(key)
        return None if work is None or work.forget else work.run

    def origin(self, key: str) -> tuple[str, str | None]:
        """Return ``(spec_hash, file_name)`` a run was created from."""
        fixed = self._work[key].fixed
        return fixed["spec_hash"], fixed["file_name"]

    # -- deciding -----------------------------------------------------------------------------

    def root_of(self, key: str) -> str:
        """Return the key of the topmost run above a run of this batch, or its own."""
        return self._work[key].fixed["root_key"] or key

    def add(
        self,
        run: Run,
        *,
        spec_hash: str,
        file_name: str | None,
        parent_key: str | None = None,
        called_by: tuple[int | None, str | None] = (None, None),
        priority: int = 0,
    ) -> None:
        """Create a run, perhaps as the child of one in this batch; ``apply`` may follow in the same batch.

        ``called_by``: the parent's node, and the params people see. The run belongs to the trace
        this thread works in, or begins one.
        """
        root_key = None if parent_key is None else self.root_of(parent_key)
        fixed: dict[str, Any] = {
            "spec_hash": spec_hash,
            "file_name": file_name,
            "root_key": root_key,
            "parent_key": parent_key,
            "parent_node": called_by[0],
            "parent_params": called_by[1],
            "trace": str(here() or self._begin_trace(run)),
        }
        if run.priority != priority:
            run = evolve(run, priority=priority)
        if run.queued_at is not None:
            # Those queued in one batch share its moment, but not their place in the queue.
            run = evolve(run, queued_at=run.queued_at + timedelta(microseconds=self._queued))
            self._queued += 1
        self._work[run.run_key] = _Work(run, None, fixed)
        if root_key is None:
            self._names[run.dag_name, run.dag_run_id] = run.run_key
        if run.status is RunStatus.QUEUED:
            self.after.queues.add(run.queue)

    def _begin_trace(self, run: Run) -> SpanContext:
        context = begin()
        facts = {"dag.name": run.dag_name, "dag.run_id": run.dag_run_id}
        self.after.traced.spans.append(Span("schedule", context, None, self.now, self.now, attributes=facts))
        return context

    def asked_in(self, key: str) -> SpanContext:
        """Return the context that a run of this batch was asked for in."""
        return asked_in(self._work[key].fixed["trace"], key)

    def apply(self, key: str, message: Message) -> Decision:
        """Advance a run of this batch; see ``core.advance``."""
        work = self._work[key]
        before = work.run
        decision = advance(before, message, self.now)
        match decision:
            case Advanced():
                work.run = decision.run
                self._transitions.extend(
                    rows.transition_row(key, transition, self.now) for transition in decision.transitions
                )
                if decision.transitions:
                    self.after.changed.add(key)
                self._take(key, decision.effects)
                self._watch(work, before)
            case Ignored():
                self.after.ignored.append(decision.why)
                self._take(key, decision.effects)
        return decision

    def hold(self, key: str, held: Mapping[str, Any]) -> None:
        """Keep a queued run of this batch from being admitted; see ``run_holds``."""
        self._holds.append({**held, "run_key": key})

    def remind(self, key: str, wake: WakeAt) -> None:
        """Set a timer of a run of this batch without a decision of its own."""
        self._take(key, [wake])

    def add_log(self, chunk: LogChunk) -> None:
        """Store a piece of a step's output; the same piece twice is stored once."""
        self._chunks.append(rows.chunk_row(chunk))

    def take_of_children(self) -> list[tuple[str, StartChild | StopChild]]:
        """Hand over what runs of this batch want of their children, in the order they decided it.

        Whoever owns the transaction carries it out before ``flush``; see ``family.settle``.
        """
        wanted, self._of_children = self._of_children, []
        return wanted

    def keep_outcomes(self, outcomes: Iterable[dict[str, Any]]) -> None:
        """Record what became of commands; rows of the inbox."""
        self._outcomes.extend(outcomes)

    def halt(self, halt: Halt) -> None:
        """Tell a worker about an attempt after the commit."""
        self.after.halts.append(halt)

    def _take(self, key: str, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Dispatch():
                    self._send(key, recall(self.tx, self._work[key].run, effect))
                case Halt():
                    self.after.halts.append(effect)
                case WakeAt():
                    self._timers[key, effect.node, effect.kind] = effect.due_at
                    known = self.after.wake_at
                    self.after.wake_at = effect.due_at if known is None else min(known, effect.due_at)
                case ClosedAttempt():
                    self.after.closed.append(effect)
                    if effect.state is AttemptState.LOST:
                        run = self._work[key].run
                        self.after.traced.spans.append(lost_span(run, self.asked_in(key), effect, self.now))
                    self._attempts.append(rows.attempt_row(key, effect, self.now))
                case Forget():
                    self._work[key].forget = True
                case StartChild() | StopChild():
                    self._of_children.append((key, effect))
                case AddLog():
                    self._chunks.append(rows.said_row(key, effect, self.now))
                case Acquire() | Release():
                    self._pools.note(self._work[key].run, effect, self.now)
                    self.after.pools.update(claim.key for claim in effect.claims)

    def _send(self, key: str, dispatch: Dispatch) -> None:
        worker_id = dispatch.worker_id
        route = task_queue(dict(dispatch.selector)) if worker_id is None else worker_queue(worker_id)
        if worker_id is None and dispatch.selector:
            self.after.selectors.add(dispatch.selector)
        message_id = new_run_id()
        trace = self.asked_in(key).of_run(key, dispatch.task.run_attempt)
        body = encode(dispatch.task, id=message_id, at=self.now, trace=str(trace))
        self._outbox.append({"id": message_id, "route": rows.route_row(route), "body": body, "created_at": self.now})
        self.after.outgoing.append(Outgoing(route, body, message_id))

    def _watch(self, work: _Work, before: Run) -> None:
        after = work.run
        was, became, parent_key = before.status, after.status, work.fixed["parent_key"]
        if was is became:
            return
        # What has nothing left to do ends in the decision that begins it.
        left_queue = was is RunStatus.QUEUED and after.started_at == self.now
        if left_queue and before.queued_at is not None:
            self.after.waited.append(max(0.0, (self.now - before.queued_at).total_seconds()))
            self.after.traced.spans.append(waited_span(before, self.asked_in(after.run_key), self.now))
        if became is RunStatus.RUNNING:
            self.after.started[after.dag_name] = after.plan.dag.hist_retention_days
        if became is not RunStatus.RUNNING:
            self.after.queues.add(after.queue)
        if parent_key is not None and (was is RunStatus.WAITING or became is not RunStatus.RUNNING):
            self.after.families.add(parent_key)
        if became is RunStatus.RUNNING and any(node.calls for node in after.nodes):
            # While it waited it could only take note of what became of its children.
            self.after.families.add(after.run_key)
        ran = became is not RunStatus.RUNNING and (was is RunStatus.RUNNING or left_queue)
        if ran:
            parent = self.tx.names_of([parent_key])[parent_key] if parent_key is not None and recording() else None
            span = run_span(after, self.asked_in(after.run_key), self.now, parent)
            self.after.traced.ended.append((span, after))
        if was.active and not became.active and not work.forget:
            self.after.ended.append((after.dag_name, became))
            if ran and after.started_at is not None:
                self.after.lasted.append((after.dag_name, (self.now - after.started_at).total_seconds()))

    # -- writing ------------------------------------------------------------------------------

    @property
    def runs(self) -> list[Run]:
        """Every run of this batch as it is now, without those to be forgotten."""
        return [work.run for work in self._work.values() if not work.forget]

    def flush(self) -> None:
        """Write everything decided.

        Raises:
            StaleVersion: a run changed since it was loaded: nothing of this batch may be committed.
            AlreadyExists: a new run's name is taken.
        """
        new = [work for work in self._work.values() if work.loaded is None and not work.forget]
        changed = [work for work in self._work.values() if work.loaded is not None and work.run is not work.loaded]
        gone = {key for key, work in self._work.items() if work.forget}
        tx = self.tx
        queues = sorted({work.run.queue for work in (*new, *changed) if work.run.status is RunStatus.QUEUED})
        tx.save_runs(
            [rows.run_row(work.run) for work in changed],
            {work.run.run_key: work.loaded.version for work in changed if work.loaded is not None},
            Rows(t.queues, [{"name": name, "kind": "dag-based", "max_concurrency": None} for name in queues], "leave"),
            Rows(t.dag_runs, [rows.new_run_row(work.run, work.fixed) for work in new]),
            Rows(t.nodes, [rows.node_row(work.run.run_key, node) for work in new for node in work.run.nodes]),
            Changes(t.nodes, rows.changed_node_rows((work.loaded, work.run) for work in changed), _NODE_KEY),
            tx.numbered(self._transitions),
            Rows(t.attempts, self._attempts, "leave"),
            Rows(t.log_chunks, self._chunks, "leave"),
            Rows(run_holds, self._holds),
            Rows(t.outbox, self._outbox),
            Rows(t.inbox, self._outcomes),
        )
        self._pools.write(tx, gone)
        self._write_timers(gone)
        tx.delete_runs(sorted(gone))

    def _write_timers(self, gone: set[str]) -> None:
        over = {key for key, work in self._work.items() if work.loaded is not None and not work.run.status.active}
        self.tx.delete_timers_of(
            sorted(key for key in over - gone if self._work[key].run is not self._work[key].loaded)
        )
        self.tx.put(
            t.timers,
            [
                {"run_key": key, "node": node, "kind": kind, "due_at": due_at}
                for (key, node, kind), due_at in self._timers.items()
                if key not in over
            ],
            ["due_at"],
        )
