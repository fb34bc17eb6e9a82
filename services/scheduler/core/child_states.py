"""The states of the sub-runs that a node calls. ``children`` has the rules about them.

A fan-out may have thousands, and the end of each changes one or two. So no change and no question looks at all of them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from shared.status import RunStatus

__all__ = ["PENDING", "STATE_OF", "UNDER_WAY", "WAITING", "Child", "Children"]

PENDING, UNDER_WAY, WAITING = "pending", "asked", str(RunStatus.WAITING)
"""States of a child before it ends, as they are stored.

``PENDING``: its run is not started yet. ``UNDER_WAY``: its run has started, has not ended and does not wait.
``WAITING``: its run waits for approval.
"""
_LETTERS = {
    PENDING: "p",
    UNDER_WAY: "a",
    WAITING: "h",
    str(RunStatus.SUCCEEDED): "s",
    str(RunStatus.PARTIALLY_SUCCEEDED): "t",
    str(RunStatus.FAILED): "f",
    str(RunStatus.ABORTED): "b",
    str(RunStatus.REJECTED): "r",
    str(RunStatus.NOT_STARTED): "n",
    str(RunStatus.QUEUED): "q",
    str(RunStatus.RUNNING): "u",
}
"""The letter of each state in ``Children.states``, which is stored. The last three are of imported runs."""
STATE_OF = {letter: state for state, letter in _LETTERS.items()}


@dataclass(frozen=True, slots=True)
class Child:
    """A sub-run of a node. ``state`` is ``PENDING``, ``UNDER_WAY``, ``WAITING``, or its final run status.

    ``given`` is the params text that it is started with; ``params`` is the same text with secrets masked.
    """

    run_id: str
    dag: str
    params: str
    given: str
    state: str = PENDING
    error: str = ""
    folder: str = ""
    """The working directory of the calling step."""


class Children:
    """The children of a node, in the order of its calls; immutable. ``states`` has a letter for each.

    With ``rewrite``, the next change is never one of states only.
    """

    __slots__ = ("_children", "_places", "_rewrite", "states")

    def __init__(self, children: Iterable[Child] = (), *, rewrite: bool = False) -> None:
        self._rewrite = rewrite
        self._children = tuple(children)
        self._places = {child.run_id: place for place, child in enumerate(self._children)}
        self.states = "".join(_LETTERS[child.state] for child in self._children)

    def __len__(self) -> int:
        return len(self._children)

    def __iter__(self) -> Iterator[Child]:
        return iter(self._children)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Children) and self._children == other._children

    def __hash__(self) -> int:
        return hash(self._children)

    def __repr__(self) -> str:
        return f"Children({self._children!r})"

    def get(self, run_id: str) -> Child | None:
        """Return the child with this run id, or ``None``."""
        place = self._places.get(run_id)
        return None if place is None else self._children[place]

    def number_of(self, state: str) -> int:
        """Return how many children have this state."""
        return self.states.count(_LETTERS[state])

    def has(self, *states: str) -> bool:
        """Return whether any child has one of these states."""
        return any(_LETTERS[state] in self.states for state in states)

    def has_only(self, *states: str) -> bool:
        """Return whether all children have one of these states."""
        return sum(map(self.number_of, states)) == len(self)

    def having(self, *states: str) -> list[Child]:
        """Return the children that have one of these states, in the order of the calls."""
        places = sorted(place for state in states for place in self._find(state))
        return [self._children[place] for place in places]

    def first(self, state: str, most: int) -> list[Child]:
        """Return the first children that have this state, at most ``most``."""
        return [self._children[place] for place, _ in zip(self._find(state), range(most), strict=False)]

    def in_order(self, children: Iterable[Child]) -> list[Child]:
        """Return some of these children in the order of the calls."""
        return sorted(children, key=lambda child: self._places[child.run_id])

    def replaced(self, changed: Iterable[Child]) -> Self:
        """Return the children with these in the places of those with the same run ids."""
        children, states, same = list(self._children), bytearray(self.states, "ascii"), not self._rewrite
        for child in changed:
            place = self._places[child.run_id]
            same = same and child.error == children[place].error
            children[place], states[place] = child, ord(_LETTERS[child.state])
        new = object.__new__(type(self))
        new._children, new.states, new._rewrite = tuple(children), states.decode("ascii"), False
        # A copy, unless only states differ: that is how ``differ_in_states_only`` sees it.
        new._places = self._places if same else dict(self._places)
        return new

    def differ_in_states_only(self, other: Self) -> bool:
        """Return whether it is certain, as one was made from the other, that they differ in nothing but states."""
        return self._places is other._places

    def _find(self, state: str) -> Iterator[int]:
        letter, place = _LETTERS[state], -1
        while (place := self.states.find(letter, place + 1)) >= 0:
            yield place
