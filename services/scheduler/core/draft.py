"""The draft of a decision: the only mutable object in the core. Each call of ``advance`` creates one.

It numbers transitions, creates attempt tokens, and refuses what ``status_changes`` does not list.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from services.scheduler.core.decision import Advanced, ClosedAttempt, Effect, Halt, Transition
from services.scheduler.core.model import Node, OpenAttempt, Run, evolve
from services.scheduler.core.tally import Tally, take_tally
from shared.contracts.attempt_tokens import attempt_token
from shared.contracts.events import Outcome
from shared.errors import InvariantBroken
from shared.status import AttemptState, Begun, NodeStatus, RunStatus
from shared.status_changes import NODE_CHANGES, RUN_CHANGES

__all__ = ["Draft"]


class Draft:
    """A run and the changes of one decision. ``now`` is the time of the decision, ``salt`` a random text."""

    def __init__(self, run: Run, now: datetime, salt: str) -> None:
        self.run = run
        self.now = now
        self._salt = salt
        self._version = run.version + 1
        self._last_seq = run.last_seq
        self._tally = take_tally(run)
        self.nodes = self._tally.nodes
        self._before: dict[int, Node] = {}
        """The nodes that this decision changes, as they were before it."""
        self._uncounted: dict[int, Node] = {}
        """Of these, the nodes whose last changes are not in the tally yet, as it knows them."""
        self._transitions: list[Transition] = []
        self.effects: list[Effect] = []

    @property
    def steps(self) -> list[Node]:
        return self.nodes[: len(self.run.plan.dag.steps)]

    @property
    def tally(self) -> Tally:
        """The tally with all changes so far. It is brought up to date when it is asked for, once for many changes."""
        while self._uncounted:
            idx, old = self._uncounted.popitem()
            self._tally.replace(old, self.nodes[idx])
        return self._tally

    def changes(self) -> list[tuple[Node, Node]]:
        """Return the changed nodes, as they were before and as they are now, in the order of the spec."""
        return [(self._before[idx], self.nodes[idx]) for idx in sorted(self._before)]

    @property
    def prepare(self) -> Node | None:
        """The current state of the prepare node, or ``None``. (``run.prepare`` is its state before the decision)."""
        return None if self.run.prepare is None else self.nodes[self.run.prepare.idx]

    def done(self) -> Advanced:
        """Return the decision: the new run, its transitions and effects."""
        nodes, tally = tuple(self.nodes) if self._before else self.run.nodes, self.tally
        tally.give_to(nodes)
        run = evolve(self.run, version=self._version, last_seq=self._last_seq, nodes=nodes, tally=tally)
        return Advanced(run, tuple(self._transitions), tuple(self.effects), frozenset(self._before))

    def leave(self) -> None:
        """Give the tally back to the run, if this decision changes no node."""
        if not self._before:
            self._tally.give_to(self.run.nodes)

    def set_run(self, **changes: Any) -> None:
        """Change fields of the run other than its status."""
        self.run = evolve(self.run, **changes)

    def become(self, status: RunStatus, why: str, by: str, **changes: Any) -> None:
        """Change the status of the run. Raises ``InvariantBroken`` if ``RUN_CHANGES`` does not allow the change."""
        was = self.run.status
        if status not in RUN_CHANGES[was]:
            raise InvariantBroken(f"run {self.run.run_key}: {was} cannot become {status}")
        self.run = evolve(self.run, status=status, **changes)
        self._note(None, was, status, why, by)

    def set_node(self, idx: int, **changes: Any) -> None:
        """Change fields of a node. ``move`` changes its status."""
        self._put(evolve(self.nodes[idx], **changes))

    def reset_node(self, idx: int, why: str, by: str) -> None:
        """Reset a node to the state of a node that has never run."""
        node = self.nodes[idx]
        if node.status is not NodeStatus.NOT_STARTED:
            self.move(idx, NodeStatus.NOT_STARTED, why, by)
        self._put(Node(idx, node.kind, node.name))

    def move(self, idx: int, status: NodeStatus, why: str, by: str = "scheduler", **changes: Any) -> None:
        """Change the status of a node. Raises ``InvariantBroken`` if ``NODE_CHANGES`` does not allow the change."""
        node = self.nodes[idx]
        if status not in NODE_CHANGES[node.status]:
            raise InvariantBroken(f"run {self.run.run_key}, node {node.name}: {node.status} cannot become {status}")
        self._put(evolve(node, status=status, **changes))
        self._note(idx, node.status, status, why, by)

    def note(self, idx: int | None, why: str, by: str = "scheduler") -> None:
        """Add a transition that does not change the status, to record a fact in the run's history."""
        status = self.run.status if idx is None else self.nodes[idx].status
        self._note(idx, status, status, why, by)

    def note_kept(self, idx: int, why: str, by: str) -> None:
        """Add the transition of a node that had its status from the beginning."""
        self._note(idx, NodeStatus.NOT_STARTED, self.nodes[idx].status, why, by)

    def open_attempt(self, idx: int, worker_id: str | None, **changes: Any) -> str:
        """Open the next attempt of the node and return its token.

        The run's version makes the token unique. If the database loses its last commits, versions repeat; the salt
        does not.
        """
        token = attempt_token(self.run.run_key, self._version, idx, self._salt)
        self._open(idx, OpenAttempt(token, AttemptState.DISPATCHED, self.now, worker_id), changes)
        return token

    def open_next_in_chain(self, idx: int, token: str, worker_id: str, at: datetime) -> OpenAttempt:
        """Open the attempt of a step that the worker begins itself after the step before it, which ended at ``at``.

        ``token`` is the one that the worker has for the step; see ``chains``.
        """
        attempt = OpenAttempt(token, AttemptState.DISPATCHED, at, worker_id)
        self._open(idx, attempt, {})
        return attempt

    def _open(self, idx: int, attempt: OpenAttempt, changes: Mapping[str, Any]) -> None:
        node = self.nodes[idx]
        if node.attempt is not None:
            raise InvariantBroken(f"run {self.run.run_key}, node {node.name}: a second open attempt")
        self._put(evolve(node, attempt=attempt, number=node.number + 1, **changes))

    def close_attempt(
        self,
        idx: int,
        state: AttemptState,
        *,
        outcome: Outcome | None = None,
        exit_code: int | None = None,
        error: str = "",
        started_at: datetime | None = None,
        begun: Begun = Begun.YES,
        log_bytes: Mapping[str, int] | None = None,
        ended_at: datetime | None = None,
    ) -> None:
        """Close the node's open attempt, and add the effect that records how it ended."""
        node = self.nodes[idx]
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
                begun=begun,
                log_bytes=log_bytes,
                ended_at=ended_at,
            )
        )
        self._put(evolve(node, attempt=None))

    def withdraw(self, idx: int, why: str, begun: Begun = Begun.PERHAPS) -> None:
        """Close an attempt of which no start is recorded, or whose holder gave it up; it does not count as a try.

        The task may still be on its broker queue and cannot be removed from there, so a halt tells the worker (or all
        workers) not to start it.
        """
        attempt = self.nodes[idx].attempt
        self.close_attempt(idx, AttemptState.WITHDRAWN, error=why, begun=begun)
        self.set_node(idx, number=self.nodes[idx].number - 1)
        if attempt is not None:
            self.effects.append(Halt(attempt.worker_id, attempt.token, revoked=True, reason=why))

    def _put(self, node: Node) -> None:
        idx, old = node.idx, self.nodes[node.idx]
        self._before.setdefault(idx, old)
        self._uncounted.setdefault(idx, old)
        self.nodes[idx] = node

    def _note(self, idx: int | None, was: str, became: str, why: str, by: str) -> None:
        self._last_seq += 1
        self._transitions.append(Transition(self._last_seq, idx, str(was), str(became), why, by))
