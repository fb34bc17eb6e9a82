"""Makes the new sub-runs of a transaction.

A fan-out starts hundreds of sub-runs of the same DAG, so what they have in common is looked up once.
"""

from dataclasses import dataclass

from services.scheduler.core.child_states import UNDER_WAY
from services.scheduler.core.decision import StartChild
from services.scheduler.core.dispatching import MOST_URGENT
from services.scheduler.core.model import Run, evolve
from services.scheduler.core.plan import Plan
from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.creation import new_run, priority_from, queue_of
from services.scheduler.deciding.plans import SnapshotSource
from services.scheduler.deciding.sub_runs.called import find_called
from shared.errors import InvalidInput, NotFound
from shared.language.steps.approval import waits_for_approval
from shared.workspaces import stored_name, workspace_of

__all__ = ["NewChild", "NewChildren"]

_MAX_DEPTH = 32
"""The most runs from a root run down to a sub-run, so that DAGs that call themselves end."""


@dataclass(frozen=True, slots=True)
class NewChild:
    """A sub-run that is not in the batch yet. ``file_name`` is ``None`` if its spec is local to the caller's file.

    ``params``: the parameters that it was called with; secrets are masked. ``urgent``: its calling run has few
    sub-runs under way, so their tasks overtake others (ADR 74).
    """

    run: Run
    spec_hash: str
    file_name: str | None
    params: str | None
    urgent: bool


@dataclass(frozen=True, slots=True)
class _Called:
    """What sub-runs of the same DAG have in common, if the same run calls them with the same worker selector."""

    plan: Plan
    spec_hash: str
    file_name: str | None
    dag_name: str
    queued: bool


class NewChildren:
    """Makes the new sub-runs of one batch, and remembers what it looked up."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._called: dict[tuple[str, str, tuple[tuple[str, str], ...]], _Called | str] = {}
        """By calling run, name and selector; or why there can be no such sub-run."""
        self._urgent: dict[str, bool] = {}
        self._limited: dict[str, bool] = {}

    def make(self, parent_key: str, effect: StartChild) -> NewChild:
        """Return the sub-run that a run of the batch has asked for.

        Raises:
            InvalidInput: there is no such DAG, it has errors or is nested too deep, or its parameters are wrong.
        """
        wanted = parent_key, effect.dag, effect.selector
        called = self._called.get(wanted)
        if called is None:
            called = self._called[wanted] = self._look_up(*wanted)
        if isinstance(called, str):
            raise InvalidInput(called)
        parent = self._parent(parent_key)
        child = parent.nodes[effect.node].children.get(effect.run_id)
        params = None if child is None else child.params
        run = new_run(
            called.plan,
            run_key=self._batch.new_run_key(),
            dag_name=called.dag_name,
            dag_run_id=effect.run_id,
            given=effect.given,
            queue=None,
            queued=called.queued,
            now=self._batch.now,
            priority=priority_from(parent),
        )
        run = evolve(
            run,
            root_dag_name=parent.root_dag_name,
            root_dag_run_id=parent.root_dag_run_id,
            called_from=effect.folder,
            asked_as=params or "",
        )
        return NewChild(run, called.spec_hash, called.file_name, params, self._is_urgent(parent))

    def waits(self, plan: Plan, dag_name: str) -> bool:
        """Return whether a sub-run that is to begin, or to be retried, waits in its queue.

        It waits for a place in a global queue, or for a worker pool that serves its workspace.
        """
        barred = self._batch.worker_pools.bars(dag_name, plan.dag.worker_selector)
        return barred is not None or self._is_limited(queue_of(plan.dag, dag_name))

    def _is_limited(self, queue: str) -> bool:
        """Return whether the queue is global: in any other, sub-runs do not wait for a place."""
        if queue not in self._limited:
            self._limited[queue] = queue in self._batch.tx.queues.global_queues([queue])
        return self._limited[queue]

    def _parent(self, parent_key: str) -> Run:
        return self._batch.runs.entry(parent_key).run

    def _is_urgent(self, parent: Run) -> bool:
        if parent.run_key not in self._urgent:
            under_way = sum(node.children.number_of(UNDER_WAY) for node in parent.nodes if node.children)
            self._urgent[parent.run_key] = under_way <= MOST_URGENT
        return self._urgent[parent.run_key]

    def _look_up(self, parent_key: str, name: str, selector: tuple[tuple[str, str], ...]) -> _Called | str:
        try:
            return self._find(parent_key, name, selector)
        except (InvalidInput, NotFound) as error:
            return str(error)

    def _find(self, parent_key: str, name: str, selector: tuple[tuple[str, str], ...]) -> _Called:
        batch = self._batch
        if not self._parent(parent_key).is_root and batch.tx.children.depth(parent_key) >= _MAX_DEPTH:
            raise InvalidInput(f"sub DAGs are nested deeper than {_MAX_DEPTH} levels")
        parent_hash, caller = batch.runs.origin(parent_key)
        workspace = workspace_of(self._parent(parent_key).dag_name)
        file_name = None
        if batch.plans.has_local(batch.tx, parent_hash, name):
            source = SnapshotSource(parent_hash, name, called=True, selector=selector)
        else:
            called_hash, file_name = find_called(batch, name, caller or "", workspace)
            source = SnapshotSource(called_hash, called=True, selector=selector)
        text_hash = batch.plans.store_snapshot(batch.tx, source, batch.now, batch.after.snapshots)
        plan = batch.plans.get(batch.tx, (text_hash, file_name or ""))
        if selector and waits_for_approval(plan.dag):
            raise InvalidInput(f"{name}: DAG with HITL steps cannot be dispatched to workers")
        if plan.errors:
            raise InvalidInput(f"DAG {name} is invalid: {'; '.join(plan.errors)}")
        dag_name = stored_name(workspace, plan.dag.name)
        return _Called(plan, text_hash, file_name, dag_name, self.waits(plan, dag_name))
