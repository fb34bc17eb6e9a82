"""The tally of a run: what decisions must know of all its nodes, kept up to date with every change of a node.

With it a decision costs what it changes, however many steps the run has. A tally follows from the plan and the nodes
alone, so it is never stored. It is mutable and belongs to the newest version of its run, from which a draft takes it
along. If an older version is advanced again, because a transaction failed, it gets a new tally. So does a draft that
another thread makes of the same version at the same time.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Sequence
from copy import copy
from datetime import UTC, datetime
from heapq import heappop, heappush

from services.scheduler.core.model import WAITS, Node, Run
from services.scheduler.core.plan import FOLLOW_UP, Plan
from services.scheduler.core.step_rules import lets_dependents_run
from shared.status import AttemptState, NodeStatus

__all__ = ["Tally", "is_due", "startable", "take_tally", "tally_of", "under_way"]

_STARTABLE = (NodeStatus.NOT_STARTED, NodeStatus.RUNNING)
_NOWHERE, _FRESH, _BEGUN = range(3)
_NEVER = datetime.min.replace(tzinfo=UTC)


def under_way(node: Node) -> bool:
    """Whether the node is under way: from its first dispatch, or its wait for places in pools, until it ends."""
    if node.kind == FOLLOW_UP:
        return False
    return node.attempt is not None or node.status is NodeStatus.RUNNING or bool(node.admission)


def startable(node: Node) -> bool:
    """Whether an attempt of the node may be opened, if its dependencies and its retry interval allow it."""
    return node.attempt is None and node.status in _STARTABLE and not node.calls and node.admission != WAITS


def is_due(node: Node, now: datetime) -> bool:
    """Whether the wait before the next execution of the node, if there is one, is over."""
    return node.status is not NodeStatus.RUNNING or node.retry_at is None or node.retry_at <= now


def tally_of(run: Run) -> "Tally":
    """Return the tally of a run; it is counted anew if another version of the run has taken it along."""
    tally = run.tally
    return tally if isinstance(tally, Tally) and tally.belongs_to(run.nodes) else Tally(run.plan, run.nodes)


def take_tally(run: Run) -> "Tally":
    """Return the tally of a run for the caller alone, who may change it and then gives it to a version of the run.

    Two threads may decide about one cached version of a run at the same time. One of them commits in the end, and
    must not have seen what the other one changed.
    """
    tally = run.tally
    if isinstance(tally, Tally) and tally.take(run.nodes):
        return tally
    made = Tally(run.plan, run.nodes)
    made.take(run.nodes)
    return made


class Tally:
    """Counts and sets over the nodes of a run.

    ``nodes``: the nodes that it counts, in which the draft that has it puts its changes. ``under_way``: how many nodes
    are under way, without the follow-up node. ``output_chars``: the length of all outputs. Of the steps only:
    ``statuses``, how many there are by status; ``unfinished``; ``steps_under_way``; ``open``, how many have an open
    attempt; ``ahead``, how many of them no worker has begun; ``with_outputs``, which of them have outputs.
    """

    def __init__(self, plan: Plan, nodes: Sequence[Node]) -> None:
        self._plan = plan
        self._count = len(plan.dag.steps)
        self._owner: list[Sequence[Node]] = [nodes]
        """The nodes of the version of the run that it belongs to; empty while a draft has it."""
        self.nodes = list(nodes)
        self.statuses: Counter[NodeStatus] = Counter(node.status for node in nodes[: self._count])
        self.under_way = self.steps_under_way = self.open = self.ahead = self.output_chars = 0
        self.unfinished = sum(not node.status.terminal for node in nodes[: self._count])
        self.with_outputs: set[int] = set()
        self._unpropagated: set[int] = set()
        """Pending steps that their dependencies may block, because one has ended since ``take_unpropagated``."""
        self._fresh: list[int] = []
        self._begun: list[int] = []
        self._place = [_NOWHERE] * self._count
        self._retries: list[tuple[datetime, int]] = []
        """A heap: when steps that wait for their next execution are due. Entries of the past may be left in it."""
        lets = [lets_dependents_run(plan.steps[idx], nodes[idx]) for idx in range(self._count)]
        self._unmet = [sum(not lets[parent] for parent in parents) for parents in plan.depends]
        """By step: how many of its dependencies do not let it start, or not yet."""
        for node in nodes:
            self._add(node, 1)
            self._add_outputs(node, 1)
            if node.idx < self._count:
                if node.status.terminal and not lets[node.idx]:
                    self._unpropagated.update(plan.dependents[node.idx])
                self._put(node)

    def copy(self) -> "Tally":
        """Return an independent tally of the same nodes, which belongs to the same version of a run."""
        other = copy(self)
        vars(other).update(
            {name: copy(value) for name, value in vars(self).items() if isinstance(value, list | set | dict)}
        )
        return other

    def belongs_to(self, nodes: Sequence[Node]) -> bool:
        """Whether it is the tally of the version of the run that has just these nodes."""
        return any(owner is nodes for owner in self._owner)

    def take(self, nodes: Sequence[Node]) -> bool:
        """Take it from the version of the run with these nodes; return ``False`` if it is not that version's."""
        if not self.belongs_to(nodes):
            return False
        try:
            owner = self._owner.pop()  # atomic: one caller wins
        except IndexError:
            return False
        if owner is nodes:
            return True
        self._owner.append(owner)  # another thread has taken it meanwhile, and given it to its new version
        return False

    def give_to(self, nodes: Sequence[Node]) -> None:
        """Give it, after ``take``, to the version of the run with these nodes."""
        self._owner.append(nodes)

    def due(self, now: datetime, most: int | None) -> list[Node]:
        """Return the steps that may be dispatched as far as dependencies and retry intervals are concerned.

        Those under way come first, then the others, each in the order of the spec; ``most`` of them at most.
        """
        while self._retries and self._retries[0][0] <= now:
            at, idx = heappop(self._retries)
            if self.nodes[idx].retry_at == at:
                self._put(self.nodes[idx], now)
        found = self._begun[:most]
        found += self._fresh[: None if most is None else most - len(found)]
        return [self.nodes[idx] for idx in found]

    def take_unpropagated(self) -> list[int]:
        """Return the steps that their dependencies may block since the last call, in the order of the spec."""
        if not self._unpropagated:
            return []
        found, self._unpropagated = sorted(self._unpropagated), set()
        return found

    def replace(self, old: Node, node: Node) -> None:
        """Count ``node`` instead of ``old``, whose place in ``nodes`` it has."""
        idx = node.idx
        self._add(old, -1)
        self._add(node, 1)
        if old.outputs is not node.outputs:
            self._add_outputs(old, -1)
            self._add_outputs(node, 1)
        if idx >= self._count:
            return
        if old.status is not node.status:
            self.statuses[old.status] -= 1
            self.statuses[node.status] += 1
            self.unfinished += old.status.terminal - node.status.terminal
        self._tell_dependents(old, node)
        self._put(node)

    def _add(self, node: Node, by: int) -> None:
        """Count a node in (1) or out (-1)."""
        step, attempt = node.idx < self._count, node.attempt
        if under_way(node):
            self.under_way += by
            self.steps_under_way += by * step
        if step and attempt is not None:
            self.open += by
            self.ahead += by * (attempt.state is AttemptState.DISPATCHED)

    def _add_outputs(self, node: Node, by: int) -> None:
        if not node.outputs:
            return
        self.output_chars += by * sum(map(len, node.outputs.values()))
        if node.idx < self._count:
            (self.with_outputs.add if by > 0 else self.with_outputs.discard)(node.idx)

    def _tell_dependents(self, old: Node, node: Node) -> None:
        idx, plan = node.idx, self._plan
        step = plan.steps[idx]
        did, does = lets_dependents_run(step, old), lets_dependents_run(step, node)
        if did != does:
            for child in plan.dependents[idx]:
                self._unmet[child] += 1 if did else -1
                self._put(self.nodes[child])
        if node.status.terminal and not does and (did or not old.status.terminal):
            self._unpropagated.update(plan.dependents[idx])
        if node.status is NodeStatus.NOT_STARTED and node.attempt is None:
            # It was reset, or its attempt was withdrawn: a dependency may have ended meanwhile.
            self._unpropagated.add(idx)

    def _put(self, node: Node, now: datetime = _NEVER) -> None:
        """Put a step into the list where it belongs at the time ``now``."""
        idx, place = node.idx, _NOWHERE
        if startable(node) and (node.number or not self._unmet[idx]):
            if is_due(node, now):
                place = _BEGUN if under_way(node) else _FRESH
            elif node.retry_at is not None:
                heappush(self._retries, (node.retry_at, idx))
        was, self._place[idx] = self._place[idx], place
        if was == place:
            return
        if was:
            among = self._fresh if was == _FRESH else self._begun
            del among[bisect_left(among, idx)]
        if place:
            insort(self._fresh if place == _FRESH else self._begun, idx)
