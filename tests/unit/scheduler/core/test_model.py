"""The core's state is frozen: it evolves into new state and never changes."""

from dataclasses import FrozenInstanceError, replace

import pytest

from services.scheduler.core.model import Node, evolve


def test_evolve_returns_a_new_object_and_does_not_change_the_old_one() -> None:
    old = Node(0, "step", "first", error="x")

    new = evolve(old, number=2, error="")

    assert new == replace(old, number=2, error="")
    assert (old.number, old.error) == (0, "x")
    with pytest.raises(FrozenInstanceError):
        new.number = 3  # type: ignore[misc]


def test_a_field_that_is_not_there_is_a_bug() -> None:
    with pytest.raises(TypeError, match="Node has no field nummer"):
        evolve(Node(0, "step", "first"), nummer=1)
