"""A run being decided upon: the one mutable thing in the core, alive for one call of ``advance``.

It numbers transitions, makes tokens, and refuses changes that ``table`` does not list.
"""

from datetime import datetime
from typing import Any

from services.scheduler.core.decision import Advanced, ClosedAttempt, Effect, Halt, Transition
from services.scheduler.core.model import Node, OpenAttempt, Run, evolve
from services.scheduler.core.table import NODE_CHANGES, RUN_CHANGES
from shared.errors import InvariantBroken
from shared.status import AttemptState, NodeStatus, RunStatus

__all__ = ["Draft"]


class Draft:
    """``run`` as it was, plus what was decided since. ``now`` is the moment of the decision."""

    def __init__(self, run: Run, now: datetime) -> None:
        self.run = run
        self.now = now
        self._version = run.version + 1
        self._last_seq = run.last_seq
        self._nodes = list(run.nodes)
        self._transitions: list[Transition] = []
        self.effects: list[Effect] = []

    @property
    def nodes(self) -> list[Node]:
        return self._nodes

    @property
    def steps(self) -> list[Node]:
        return self._nodes[: len(self.run.plan.dag.steps)]

    @property
    def prepare(self) -> Node | None:
        """The node that evaluates env and params, as it is now (``run.prepare`` is as it was before)."""
        return None if self.run.prepare is None else self._nodes[self.run.prepare.idx]

    def done(self) -> Advanced:
        """Return the decision."""
        run = evolve(self.run, version=self._version, last_seq=self._last_seq, nodes=tuple(self._nodes))
        return Advanced(run, tuple(self._transitions), tuple(self.effects))

    def set_run(self, **changes: Any) -> None:
        """Change facts of the run other than its status."""
        self.run = evolve(self.run, **changes)

    def become(self, status: RunStatus, why: str, by: str, **changes: Any) -> None:
        """Move the run to ``status``. Raises ``InvariantBroken`` where ``table`` forbids it."""
        was = self.run.status
        if status not in RUN_CHANGES[was]:
            raise InvariantBroken(f"run {self.run.run_key}: {was} cannot become {status}")
        self.run = evolve(self.run, status=status, **changes)
        self._note(None, was, status, why, by)

    def set_node(self, idx: int, **changes: Any) -> None:
        """Change facts of a node other than its status."""
        self._nodes[idx] = evolve(self._nodes[idx], **changes)

    def reset_node(self, idx: int, why: str, by: str) -> None:
        """Reset a node as if it had never run."""
        node = self._nodes[idx]
        if node.status is not NodeStatus.NOT_STARTED:
            self.move(idx, NodeStatus.NOT_STARTED, why, by)
        self._nodes[idx] = Node(idx, node.kind, node.name)

    def move(self, idx: int, status: NodeStatus, why: str, by: str = "scheduler", **changes: Any) -> None:
        """Move a node to ``status``. Raises ``InvariantBroken`` where ``table`` forbids it."""
        node = self._nodes[idx]
        if status not in NODE_CHANGES[node.status]:
            raise InvariantBroken(f"run {self.run.run_key}, node {node.name}: {node.status} cannot become {status}")
        self._nodes[idx] = evolve(node, status=status, **changes)
        self._note(idx, node.status, status, why, by)

    def note(self, idx: int | None, why: str, by: str = "scheduler") -> None:
        """Record something worth knowing that changes no status."""
        status = self.run.status if idx is None else self._nodes[idx].status
        self._note(idx, status, status, why, by)

    def open_attempt(self, idx: int, worker_id: str | None, **changes: Any) -> str:
        """Give the node its next attempt and return the token: unique, for the version never repeats."""
        node = self._nodes[idx]
        if node.attempt is not None:
            raise InvariantBroken(f"run {self.run.run_key}, node {node.name}: a second open attempt")
        token = f"{self.run.run_key}:{self._version}:{idx}"
        attempt = OpenAttempt(token, AttemptState.DISPATCHED, self.now, worker_id)
        self._nodes[idx] = evolve(node, attempt=attempt, number=node.number + 1, **changes)
        return token

    def close_attempt(
        self,
        idx: int,
        state: AttemptState,
        *,
        outcome: str | None = None,
        exit_code: int | None = None,
        error: str = "",
        started_at: datetime | None = None,
    ) -> None:
        """End the node's open attempt, keeping its record."""
        node = self._nodes[idx]
        attempt = node.attempt
        if attempt is None:
            raise InvariantBroken(f"run {self.run.run_key}, node {node.name}: no open attempt to close")
        self.effects.append(
            ClosedAttempt(
                token=attempt.token,
                node=idx,
                run_attempt=self.run.run_attempt,
                number=node.number,
                state=state,
                outcome=outcome,
                worker_id=attempt.worker_id,
                incarnation=attempt.incarnation,
                exit_code=exit_code,
                error=error,
                dispatched_at=attempt.dispatched_at,
                started_at=started_at,
            )
        )
        self._nodes[idx] = evolve(node, attempt=None)

    def withdraw(self, idx: int, why: str) -> None:
        """Take back an attempt that was dispatched and never started; the try does not count.

        Its task may still wait at the broker, from where nobody can take it: workers are told not to begin it.
        """
        attempt = self._nodes[idx].attempt
        self.close_attempt(idx, AttemptState.WITHDRAWN, error=why)
        self.set_node(idx, number=self._nodes[idx].number - 1)
        if attempt is not None:
            self.effects.append(Halt(attempt.worker_id, attempt.token, revoked=True, reason=why))

    def _note(self, idx: int | None, was: str, became: str, why: str, by: str) -> None:
        self._last_seq += 1
        self._transitions.append(Transition(self._last_seq, idx, str(was), str(became), why, by))
