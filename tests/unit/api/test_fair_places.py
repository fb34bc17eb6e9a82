"""No workspace takes all event streams or waits of a gateway, and nobody can displace the caches of those in use."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.caches.workspaces import CachesOfWorkspaces, HasWorkspaces
from services.api.fair_places import FairPlaces
from shared.errors import StoreUnavailable
from shared.store.reads.workspaces import WorkspaceReads


def most(places: FairPlaces, workspace: str) -> int:
    """Take all places that a workspace gets; return how many it got."""
    taken = 0
    while places.take(workspace):
        taken += 1
    return taken


def test_a_workspace_takes_no_more_than_it_leaves() -> None:
    places = FairPlaces(500, lambda: True)

    assert [most(places, name) for name in ("greedy", "", "small")] == [250, 125, 63]
    # What the first gives back is shared again.
    for _ in range(250):
        places.give_back("greedy")
    assert places.take("small")


@pytest.mark.parametrize("limit", [1, 7])
def test_a_server_without_workspaces_gives_all_its_places(limit: int) -> None:
    places = FairPlaces(limit)
    assert most(places, "") == limit
    places.give_back()
    assert most(places, "") == 1


@given(st.integers(1, 50), st.lists(st.sampled_from(["", "a", "b", "c"]), max_size=100))
def test_whoever_has_no_place_gets_one_while_any_is_free(limit: int, wanted: list[str]) -> None:
    places = FairPlaces(limit, lambda: True)
    taken = [name for name in wanted if places.take(name)]

    assert len(taken) <= limit
    assert places.take("newcomer") == (len(taken) < limit)


class Reads(WorkspaceReads):
    def __init__(self) -> None:
        self.answers: list[object] = []

    def workspaces(self) -> tuple[object, ...]:  # type: ignore[override]
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return (answer,) if answer else ()


def test_whether_there_are_workspaces_is_asked_now_and_then() -> None:
    reads, now = Reads(), [0.0]
    found = HasWorkspaces(reads, lambda: now[0])
    reads.answers = [None]
    assert (found(), found()) == (False, False)
    now[0], reads.answers = 11.0, ["acme"]
    assert (found(), found()) == (True, True)
    now[0], reads.answers = 22.0, [StoreUnavailable("away")]
    assert found()


def test_the_caches_of_the_workspaces_used_last_are_kept() -> None:
    caches = CachesOfWorkspaces(most=2)
    first = caches.of("a")
    caches.of("b")
    assert caches.of("a") is first
    for name in ("c", "d", "a"):
        caches.of("a")
        caches.of(name)

    assert len(caches) == 2
    assert caches.of("a") is first
    assert caches.unshared() is not caches.unshared()
    assert len(caches) == 2
