"""The static graph of a DAG: which step depends on which, by node index. Computed once per spec."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, reduce
from graphlib import TopologicalSorter
from operator import or_
from typing import Any

from shared.admission.pools import LOCK, POOL, RATE, Claim, PoolKey
from shared.contracts.follow_ups import FOLLOW_UP
from shared.contracts.tasks import HANDLER, PREPARE, STEP
from shared.language.expansion.references import names_in
from shared.language.model import STORED, Dag, Handler, Step
from shared.language.steps.approval import APPROVAL

__all__ = ["FOLLOW_UP", "HANDLER", "PREPARE", "STEP", "Plan"]

_HANDLERS = tuple(Handler)
_BEFORE_EXIT = (Handler.SUCCESS, Handler.FAILURE)


@dataclass(frozen=True, eq=False)
class Plan:
    """A DAG with its steps numbered ``0..n-1`` in the order of the spec, then its handlers.

    ``ancestors`` and ``descendants`` are breadth first over the dependency lists. In that order the first of several
    outputs with the same name wins, as in Dagu.
    """

    dag: Dag
    file_name: str = ""
    """The file name of the stored DAG; empty if the spec is not a stored DAG's."""
    errors: tuple[str, ...] = ()
    """Why no run may start with this plan: another version of Dagway stored the spec, but this version refuses it."""
    _refers_to: dict[int, frozenset[str]] = field(default_factory=dict, init=False, repr=False)
    """A cache of ``refers_to``, by position."""

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        return self.dag.steps + tuple(
            self.dag.handlers[handler] for handler in _HANDLERS if handler in self.dag.handlers
        )

    @cached_property
    def handlers(self) -> dict[Handler, int]:
        defined = [handler for handler in _HANDLERS if handler in self.dag.handlers]
        return {handler: len(self.dag.steps) + position for position, handler in enumerate(defined)}

    @cached_property
    def index(self) -> dict[str, int]:
        return {step.name: position for position, step in enumerate(self.dag.steps)}

    @cached_property
    def depends(self) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(self.index[name] for name in step.depends) for step in self.dag.steps)

    @cached_property
    def dependents(self) -> tuple[tuple[int, ...], ...]:
        found: list[list[int]] = [[] for _ in self.dag.steps]
        for position, names in enumerate(self.depends):
            for parent in names:
                found[parent].append(position)
        return tuple(tuple(children) for children in found)

    @cached_property
    def claims(self) -> dict[int, tuple[Claim, ...]]:
        """The places that steps need before they start, by step; most steps need none and are left out."""
        return {position: claims for position, step in enumerate(self.dag.steps) if (claims := _claims_of(step))}

    def repeats(self, position: int) -> bool:
        """Whether a node is a step with a ``repeatPolicy``: on a stop it may finish its execution, as in Dagu."""
        return position < len(self.dag.steps) and self.dag.steps[position].repeat_policy is not None

    @cached_property
    def ids(self) -> dict[str, int]:
        """The positions of the steps that have an ``id``, by that id."""
        return {step.id: position for position, step in enumerate(self.dag.steps) if step.id}

    def refers_to(self, position: int) -> frozenset[str]:
        """Return the ids that step ``position``, or what the DAG sets for all steps, may refer to."""
        if position not in self._refers_to:
            texts = _texts(self.steps[position].model_dump(exclude={"depends"}))
            self._refers_to[position] = self._all_refer_to.union(*map(names_in, texts)) & self.ids.keys()
        return self._refers_to[position]

    @cached_property
    def _all_refer_to(self) -> frozenset[str]:
        return frozenset[str]().union(*map(names_in, _texts(self.dag.model_dump(exclude={"steps", "handlers"}))))

    def refers_beside(self, position: int) -> bool:
        """Whether a step refers to another one that need not have ended when it begins."""
        named = {self.ids[step_id] for step_id in self.refers_to(position)} - {position, *self.depends[position]}
        return not all(self._before[position] >> each & 1 for each in named)

    @cached_property
    def _before(self) -> dict[int, int]:
        """By step: all that it depends on, directly or not, as the bits of a number. There can be 10,000 steps."""
        found: dict[int, int] = {}
        for position in TopologicalSorter(dict(enumerate(self.depends))).static_order():
            found[position] = reduce(or_, (found[parent] | 1 << parent for parent in self.depends[position]), 0)
        return found

    @cached_property
    def next_in_chain(self) -> dict[int, int]:
        """By step or handler: the one that a worker may begin itself when the first has succeeded, if there is one.

        Nothing may matter to the second but the success of the first and what its worker knows of it: no other
        dependency, place in a pool, delay, or secret from the database.
        """
        return {
            position: after
            for position, after in self._links()
            if _ends_alone(self.steps[position]) and self._joins(after)
        }

    @cached_property
    def previous_in_chain(self) -> dict[int, tuple[int, ...]]:
        """The inverse of ``next_in_chain``. Several may come before the exit handler."""
        found: dict[int, tuple[int, ...]] = {}
        for position, after in self.next_in_chain.items():
            found[after] = (*found.get(after, ()), position)
        return found

    @cached_property
    def first_in_chain(self) -> int | None:
        """The step or handler that a worker may begin itself when it has prepared the run, if there is one."""
        first = self.handlers.get(Handler.INIT, self._first_step)
        return first if first is not None and self._joins(first) else None

    def _links(self) -> Iterator[tuple[int, int]]:
        """Yield pairs of which the second may begin as soon as the first has succeeded."""
        if not self._take_turns:
            for position, children in enumerate(self.dependents):
                if len(children) == 1 and self.depends[children[0]] == (position,):
                    yield position, children[0]
        init, exit_ = self.handlers.get(Handler.INIT), self.handlers.get(Handler.EXIT)
        success = self.handlers.get(Handler.SUCCESS, exit_)
        if init is not None and self._first_step is not None:
            yield init, self._first_step
        if success is not None and self._linear and self.dag.steps:
            yield len(self.dag.steps) - 1, success
        if exit_ is not None:
            yield from ((self.handlers[each], exit_) for each in _BEFORE_EXIT if each in self.handlers)

    def _joins(self, position: int) -> bool:
        """Whether a worker may begin a step or handler that an earlier task has announced to it."""
        if self.dag.delay_sec or any(secret.provider == STORED for secret in self.dag.secrets):
            return False
        return position not in self.claims and self.steps[position].type != "chat"

    @cached_property
    def _take_turns(self) -> bool:
        """Whether several steps may be ready, of which some wait: then they begin in the order of the spec."""
        return self.dag.max_active_steps > 0 and not self._linear

    @cached_property
    def _first_step(self) -> int | None:
        if self._take_turns:
            # After a retry, steps before it may be ready too: those whose dependencies it has kept.
            return None
        return next((position for position, parents in enumerate(self.depends) if not parents), None)

    @cached_property
    def _linear(self) -> bool:
        """Whether each step has to wait for the one before it."""
        return all(parents == ((position - 1,) if position else ()) for position, parents in enumerate(self.depends))

    def ancestors(self, position: int) -> tuple[int, ...]:
        """Return all steps that step ``position`` depends on, directly or not, nearest first."""
        return self._closure(position, self.depends)

    def descendants(self, position: int) -> tuple[int, ...]:
        """Return all steps that depend on step ``position``, directly or not, nearest first."""
        return self._closure(position, self.dependents)

    @staticmethod
    def _closure(position: int, edges: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
        seen: dict[int, None] = {}
        todo = deque(edges[position])
        while todo:
            current = todo.popleft()
            if current not in seen:
                seen[current] = None
                todo.extend(edges[current])
        return tuple(seen)


def _texts(value: Any) -> Iterator[str]:
    """Yield each text in nested containers, also names of fields."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.items():
            yield from _texts(each)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for each in value:
            yield from _texts(each)


def _ends_alone(step: Step) -> bool:
    """Whether a step has ended when its attempt has: it does not repeat, call sub-runs, or wait for an approval."""
    return not (step.repeat_policy or step.call) and step.type not in {APPROVAL, "chat"}


def _claims_of(step: Step) -> tuple[Claim, ...]:
    if not (step.pool or step.lock or step.rate_limit):
        return ()
    return (
        *[Claim(PoolKey(POOL, name)) for name in step.pool],
        *[Claim(PoolKey(LOCK, name)) for name in step.lock],
        *[Claim(PoolKey(RATE, rate.name), rate.limit, rate.interval_sec) for rate in step.rate_limit],
    )
