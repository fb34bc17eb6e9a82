"""The decisions of one transaction: loads runs, lets the core advance them, and writes them together.

Several messages about one run need one load and one save. A ``PostCommit`` collects the actions after the commit:
messages to send, workers to notify, loops to wake.
"""

from collections.abc import Callable, Iterable, Sequence
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
    Execution,
    Forget,
    Grant,
    Halt,
    Ignored,
    Release,
    StartChild,
    StopChild,
    WakeAt,
)
from services.scheduler.core.messages import TaskBarred
from services.scheduler.core.model import Run, evolve
from services.scheduler.core.plan import FOLLOW_UP
from services.scheduler.core.starts import halt_of_deleted_run
from services.scheduler.deciding import rows
from services.scheduler.deciding.chat_history import with_chat_history
from services.scheduler.deciding.flushing import PendingRows
from services.scheduler.deciding.held_reports import HeldReport
from services.scheduler.deciding.limits.quotas import Quotas
from services.scheduler.deciding.limits.served_pools import ServedPools
from services.scheduler.deciding.loading import LoadedRun, LoadedRuns
from services.scheduler.deciding.memory import SchedulerMemory
from services.scheduler.deciding.post_commit import EndedRun, PostCommit
from services.scheduler.deciding.stored_secrets import with_stored_secrets
from services.scheduler.deciding.traces import lost_span, run_span, waited_span
from shared.contracts.codec import encode
from shared.ids import new_run_id, random_hex
from shared.spans import Span, recording
from shared.status import AttemptState, RunStatus
from shared.store.writes.transaction import Transaction
from shared.tracing import SpanContext, begin, here
from shared.transport.base import MAX_MESSAGE_BYTES, Outgoing, task_queue, worker_queue
from shared.workspaces import workspace_of

__all__ = ["Batch"]

_SALT_DIGITS = 12
_LARGE = "pass large data to later steps in files, not as outputs or params"
_MOST_BY = 200
"""The width of the column ``started_by``."""


class Batch:
    """Decisions about runs in the transaction ``tx``.

    ``now``: their time. It goes on when runs are loaded: another transaction may have kept them locked for seconds, and
    its decisions must not be later. ``began_at``: when the batch began, before any such wait. ``runs``: the runs that
    the batch has loaded or created. ``pending``: rows to write before the commit. ``after``: the actions after the
    commit. ``again``: an earlier try of the same batch failed, because a key existed or another transaction had changed
    a run. ``wait``: whether to wait for runs that another transaction has locked.
    """

    def __init__(
        self, tx: Transaction, memory: SchedulerMemory, clock: Callable[[], datetime], *, again: bool, wait: bool
    ) -> None:
        self.tx = tx
        self.now = self.began_at = clock()
        self._clock = clock
        self.again = again
        self.plans, self.files = memory.plans, memory.files
        self.quotas = Quotas(tx)
        self.worker_pools = ServedPools(tx, memory.rules)
        self.runs = LoadedRuns(tx, memory.plans, memory.recent, wait=wait, cached=not again, on_load=self._loaded)
        self.held_reports: list[HeldReport] = []
        """The held reports that this batch records."""
        self._memory = memory
        self._same_protocol = memory.same_protocol
        """As it was when the batch began."""
        self.after = PostCommit(at=self.now)
        self.pending = PendingRows(states_apart=self._same_protocol)
        self._for_children: list[tuple[str, StartChild | StopChild]] = []
        self._barred: list[tuple[str, TaskBarred]] = []
        self._not_urgent: set[str] = set()
        """Keys of runs whose tasks overtake no others."""
        self._queued = 0

    def new_run_key(self) -> str:
        """Return the key of a run to ``add``."""
        return self._memory.report_queues.new_run_key()

    def add(
        self,
        run: Run,
        *,
        spec_hash: str,
        file_name: str | None,
        parent_key: str | None = None,
        parent_node: int | None = None,
        parent_params: str | None = None,
        by: str,
        urgent: bool = True,
    ) -> None:
        """Create a run. The same batch may then ``apply`` messages to it.

        ``parent_key``: the parent run of a sub-run; it must be in this batch. ``parent_node``: the index of the node
        that calls it; ``parent_params``: the params of the call, with secrets masked. ``by``: who asked for the run.
        ``urgent``: whether tasks that this batch sends for it may overtake others. The run belongs to this thread's
        current trace; without one it begins a trace.

        Raises ``QuotaExceeded`` for a root run beyond the quota of its workspace, ``PoolReserved`` for a run that is to
        begin at once in a worker pool that does not serve its workspace.
        """
        if run.status is RunStatus.NOT_STARTED:
            self.worker_pools.check(run.dag_name, run.plan.dag.worker_selector)
        if parent_key is None:
            self.quotas.take_run(workspace_of(run.dag_name), queued=run.status is RunStatus.QUEUED)
        root_key = None if parent_key is None else self.runs.root_of(parent_key)
        fixed: dict[str, Any] = {
            "spec_hash": spec_hash,
            "file_name": file_name,
            "root_key": root_key,
            "parent_key": parent_key,
            "parent_node": parent_node,
            "parent_params": parent_params,
            "started_by": by[:_MOST_BY],
            "trace": str(here() or self._begin_trace(run)),
        }
        if run.queued_at is not None:
            # Runs of a batch may have the same time ``now``, but each needs its own position in the queue.
            run = evolve(run, queued_at=run.queued_at + timedelta(microseconds=self._queued))
            self._queued += 1
        self.runs.add(run, fixed)
        if not urgent:
            self._not_urgent.add(run.run_key)
        if run.status is RunStatus.QUEUED:
            self.after.queues.add(run.queue)

    def _begin_trace(self, run: Run) -> SpanContext:
        context = begin()
        facts = {"dag.name": run.dag_name, "dag.run_id": run.dag_run_id}
        self.after.traced.spans.append(Span("schedule", context, None, self.now, self.now, attributes=facts))
        return context

    def apply(self, key: str, message: Message) -> Decision:
        """Advance a run of this batch by one message, and collect the effects; see ``core.advance``."""
        decision = self._advance(key, message)
        while self._barred:
            self._advance(*self._barred.pop())
        return decision

    def _advance(self, key: str, message: Message) -> Decision:
        loaded = self.runs.entry(key)
        before = loaded.run
        decision = advance(before, message, self.now, random_hex(_SALT_DIGITS))
        match decision:
            case Advanced():
                loaded.run = decision.run
                loaded.changed_nodes |= decision.changed
                self.pending.transitions.extend(
                    rows.transition_row(key, transition, self.now) for transition in decision.transitions
                )
                if decision.transitions:
                    self.after.changed.add(key)
                self._take(key, decision.effects)
                self._note_status(loaded, before)
            case Ignored():
                self.after.ignored.append(decision.why)
                self._take(key, decision.effects)
        return decision

    def _loaded(self, keys: Sequence[str]) -> None:
        self.now = self.after.at = max(self.now, self._clock())
        self._record_held(keys)

    def _record_held(self, keys: Sequence[str]) -> None:
        """Record the reports that waited for a decision about these runs."""
        reports = self._memory.held.take(keys)
        # All of them before the first is applied: if that fails, none may be left out of what is given back.
        self.held_reports += reports
        for report in reports:
            if self.runs.get(report.event.run_key) is None:
                self.halt(halt_of_deleted_run(report.event, report.event.token))
            else:
                self.apply(report.event.run_key, report.event)

    def remind(self, key: str, wake: WakeAt) -> None:
        """Set a timer of a run of this batch, without a message to the core."""
        self._take(key, [wake])

    def take_for_children(self) -> list[tuple[str, StartChild | StopChild]]:
        """Return the effects that start and stop sub-runs, in order, each with the key of the parent run.

        The batch then forgets these effects. The caller must carry them out before ``pending.flush`` writes the batch
        to the database; see ``family.start_and_stop_children``.
        """
        wanted, self._for_children = self._for_children, []
        return wanted

    def add_outcomes(self, outcomes: Iterable[dict[str, Any]]) -> None:
        """Record the outcomes of commands as rows of the inbox."""
        self.pending.inbox.extend(outcomes)

    def add_audit(self, entries: Iterable[dict[str, Any]]) -> None:
        """Add rows to the audit log."""
        self.pending.audit.extend(entries)
        self.after.audited = True

    def halt(self, halt: Halt) -> None:
        """Ask a worker to stop an attempt, after the commit."""
        self.after.halts.append(halt)

    def _take(self, key: str, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Dispatch():
                    self._dispatch(key, effect)
                case Halt():
                    self.after.halts.append(effect)
                case Grant():
                    self.after.grants.append(effect)
                case Execution():
                    self.pending.executions.append(rows.execution_row(key, effect))
                case WakeAt():
                    self.pending.timers[key, effect.node, effect.kind] = effect.due_at
                    known = self.after.wake_at
                    self.after.wake_at = effect.due_at if known is None else min(known, effect.due_at)
                case ClosedAttempt():
                    self.after.closed.append(effect)
                    if effect.state is AttemptState.LOST:
                        run = self.runs.entry(key).run
                        self.after.traced.spans.append(lost_span(run, self.runs.asked_in(key), effect, self.now))
                    self.pending.attempts.append(rows.attempt_row(key, effect, self.now))
                case Forget():
                    self.runs.entry(key).deleted = True
                case StartChild() | StopChild():
                    self._for_children.append((key, effect))
                case AddLog():
                    self.pending.log_chunks.append(rows.added_log_row(key, effect, self.now))
                case Acquire() | Release():
                    self.pending.pools.note(self.runs.entry(key).run, effect, self.now)
                    self.after.pools.update(claim.key for claim in effect.claims)

    def _dispatch(self, key: str, effect: Dispatch) -> None:
        run = self.runs.entry(key).run
        # Runs begin only where they are served. But a pool may have been reserved since.
        barred = self.worker_pools.bars(run.dag_name, run.plan.dag.worker_selector)
        if barred is None:
            self._send(key, with_stored_secrets(self.tx, with_chat_history(self.tx, run, effect)))
        else:
            self._barred.append((key, TaskBarred(effect.task.node, effect.task.token, str(barred))))

    def _send(self, key: str, dispatch: Dispatch) -> None:
        selector = self.runs.entry(key).run.plan.dag.worker_selector
        broker_queue = task_queue(selector) if dispatch.worker_id is None else worker_queue(dispatch.worker_id)
        if dispatch.worker_id is None:
            self.after.announce(selector)
        message_id = new_run_id()
        trace = self.runs.asked_in(key).of_run(key, dispatch.task.run_attempt)
        task = dispatch.task
        if task.chain and not self._same_protocol:
            task = task.model_copy(update={"chain": ()})
        if queue := self._memory.report_queues.reports_to(key):
            task = task.model_copy(update={"reports_to": queue})
        body = encode(task, id=message_id, at=self.now, trace=str(trace))
        if len(body) > MAX_MESSAGE_BYTES and task.kind == FOLLOW_UP:
            # A mail without the values of steps is better than none, and a container must be removed in any case.
            body = encode(task.model_copy(update={"outputs": ()}), id=message_id, at=self.now, trace=str(trace))
        if len(body) > MAX_MESSAGE_BYTES:
            why = f"the step's task has {len(body)} bytes, the limit is {MAX_MESSAGE_BYTES}: {_LARGE}"
            self._barred.append((key, TaskBarred(task.node, task.token, why)))
            return
        self.pending.outbox.append(
            {"id": message_id, "route": rows.broker_queue_row(broker_queue), "body": body, "created_at": self.now}
        )
        urgent = dispatch.urgent and key not in self._not_urgent
        self.after.outgoing.append(Outgoing(broker_queue, body, message_id, urgent=urgent))

    def _note_status(self, loaded: LoadedRun, before: Run) -> None:
        """Collect the consequences of a change of the run's status: for queues, families, counters and traces."""
        run = loaded.run
        was, became, parent_key = before.status, run.status, loaded.fixed["parent_key"]
        if was is became:
            return
        # A run without steps to run ends in the decision that starts it: its status is never ``running``.
        left_queue = was is RunStatus.QUEUED and run.started_at == self.now
        if left_queue and before.queued_at is not None:
            self.after.waited.append((self.now - before.queued_at).total_seconds())
            self.after.traced.spans.append(waited_span(before, self.runs.asked_in(run.run_key), self.now))
        if became is RunStatus.RUNNING:
            if was.to_begin and run.run_attempt == 1:
                self.after.begun.append((self.now - run.created_at).total_seconds())
            self.after.started[run.dag_name] = run.plan.dag.hist_retention_days
        if became is RunStatus.QUEUED:
            self.after.queues.add(run.queue)
        elif became is not RunStatus.RUNNING:
            self.after.freed.add(run.queue)
        if parent_key is not None and (was is RunStatus.WAITING or became is not RunStatus.RUNNING):
            self.after.note_child(parent_key, run.dag_run_id)
        # The token first: few nodes have one, and the property costs several times as much to read.
        if became is RunStatus.RUNNING and any(node.call_token and node.calls for node in run.nodes):
            # While the run had status ``waiting``, it only recorded its sub-runs' statuses. Now it must act on them.
            self.after.note_child(run.run_key, None)
        ran = became is not RunStatus.RUNNING and (was is RunStatus.RUNNING or left_queue)
        if ran:
            parent = self.tx.runs.names([parent_key])[parent_key] if parent_key is not None and recording() else None
            span = run_span(run, self.runs.asked_in(run.run_key), self.now, parent)
            self.after.traced.ended.append((span, run))
        if was.active and not became.active and not loaded.deleted:
            lasted_s = (self.now - run.started_at).total_seconds() if ran and run.started_at is not None else None
            self.after.ended.append(EndedRun(run.run_key, run.dag_name, run.dag_run_id, became, run.is_root, lasted_s))
