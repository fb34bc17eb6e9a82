"""The hash chain of the audit log: whatever is done to it is found."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.audit.chain import BEGINNING, FIELDS, Break, Link, Point, canonical, link_hash, linked, walk
from shared.store import tables as t

AT = datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=UTC)


def entry(number: int) -> dict[str, Any]:
    texts = {name: f"{name}-{number}" for name in FIELDS}
    return texts | {"at": AT, "occurrences": number, "before": {}, "after": {"b": 1, "a": [number]}}


def chain(count: int, after: Point = BEGINNING) -> list[Link]:
    return list(linked(after, [entry(number) for number in range(count)]))


def found(links: list[Link], after: Point = BEGINNING) -> Point | Break:
    *_, last = walk(after, links)
    return last


def test_the_chain_covers_every_column_of_an_entry() -> None:
    assert set(FIELDS) == set(t.audit.c.keys())


def test_the_canonical_form_does_not_change() -> None:
    """Chains that exist were made with it."""
    form = canonical(entry(1) | {"actor_name": "Zoë"})

    assert form.startswith(b'["id-1","2026-01-02T03:04:05.678900+00:00","actor_kind-1","actor_id-1","Zo\\u00eb",')
    assert form.endswith(b',1,{},{"a":[1],"b":1}]')
    assert link_hash("0" * 64, entry(1)) == "2a9a767206680763e42d03738e957e9935c8b336ed1be2b613c6385570becc61"


def test_the_same_moment_in_another_zone_is_the_same() -> None:
    other = AT.astimezone(datetime.now(UTC).astimezone().tzinfo)

    assert canonical(entry(1) | {"at": other}) == canonical(entry(1))


@given(st.integers(1, 12), st.data())
def test_a_change_of_any_field_is_found_where_it_is(count: int, data: st.DataObject) -> None:
    links = chain(count)
    at, name = data.draw(st.integers(0, count - 1)), data.draw(st.sampled_from(FIELDS))
    changed: dict[str, Any] = {"at": AT + timedelta(microseconds=1), "occurrences": 99, "before": {"x": 0}, "after": {}}
    altered = {**entry(at), name: changed.get(name, "other")}
    links[at] = Link(links[at].position, links[at].entry_id, links[at].previous, links[at].hash, altered)

    assert isinstance(last := found(links), Break)
    assert last.position == at + 1


@given(st.integers(2, 12), st.data())
def test_removed_moved_and_inserted_links_are_found(count: int, data: st.DataObject) -> None:
    links = chain(count)
    at = data.draw(st.integers(0, count - 2))
    first, second = links[at], links[at + 1]

    removed = links[:at] + links[at + 1 :]
    moved = [*links]
    moved[at] = Link(first.position, second.entry_id, first.previous, first.hash, second.entry)
    moved[at + 1] = Link(second.position, first.entry_id, second.previous, second.hash, first.entry)
    new = next(linked(Point(at, first.previous), [entry(99)]))
    later = [Link(each.position + 1, each.entry_id, each.previous, each.hash, each.entry) for each in links[at:]]
    without_entry = [*links]
    without_entry[at] = Link(first.position, first.entry_id, first.previous, first.hash, None)

    for broken, position in (
        (removed, at + 1),
        (moved, at + 1),
        ([*links[:at], new, *later], at + 2),
        (without_entry, at + 1),
    ):
        assert isinstance(last := found(broken), Break)
        assert last.position == position


@pytest.mark.parametrize("after", [BEGINNING, Point(41, "ab" * 32)])
def test_a_whole_chain_holds_and_ends_at_its_last_link(after: Point) -> None:
    links = chain(5, after)

    assert found(links, after) == Point(after.position + 5, links[-1].hash)
