"""The hash chain over the audit log, and what its verification can find.

A link says that an entry stands at a position; its hash covers the hash before it and every field of the entry. So
whoever changes, removes, adds or moves an entry must compute all later hashes again, and a hash of the chain that was
noted elsewhere no longer occurs in it.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

__all__ = ["BEGINNING", "FIELDS", "Break", "Link", "Point", "canonical", "link_hash", "linked", "walk"]

FIELDS = (
    "id",
    "at",
    "actor_kind",
    "actor_id",
    "actor_name",
    "actor_role",
    "address",
    "request_id",
    "command_id",
    "operation",
    "target_kind",
    "target_name",
    "target_id",
    "outcome",
    "code",
    "occurrences",
    "before",
    "after",
)
"""The fields of an entry that the chain covers, in the order of the canonical form. A later field comes last."""

Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Point:
    """A place in the chain: the hash of the link at a position."""

    position: int
    hash: str

    def __str__(self) -> str:
        return f"{self.position}:{self.hash}"


BEGINNING = Point(0, "0" * 64)
"""Where a chain begins from which nothing was removed: before position 1."""


@dataclass(frozen=True, slots=True)
class Link:
    """A stored link, with its entry; ``None`` if the entry does not exist."""

    position: int
    entry_id: str
    previous: str
    hash: str
    entry: Entry | None


@dataclass(frozen=True, slots=True)
class Break:
    """The first place at which the chain does not hold, and why."""

    position: int
    why: str


def canonical(entry: Entry) -> bytes:
    """Return the bytes of an entry that are hashed: a JSON list of ``FIELDS``, with the time in UTC microseconds."""
    values = [_plain(entry[name]) for name in FIELDS]
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return value


def link_hash(previous: str, entry: Entry) -> str:
    """Return the hash of the link of ``entry`` behind the link with the hash ``previous``."""
    return hashlib.sha256(previous.encode() + b"\n" + canonical(entry)).hexdigest()


def linked(after: Point, entries: Iterable[Entry]) -> Iterator[Link]:
    """Yield the links that append ``entries`` to a chain that ends at ``after``."""
    for position, entry in enumerate(entries, after.position + 1):
        link = Link(position, entry["id"], after.hash, link_hash(after.hash, entry), entry)
        after = Point(position, link.hash)
        yield link


def walk(after: Point, links: Iterable[Link]) -> Iterator[Point | Break]:
    """Yield the point of every link that follows from ``after``; if one does not, yield why and end.

    ``links`` are all links behind ``after``, by position.
    """
    for link in links:
        if link.position != after.position + 1:
            yield Break(after.position + 1, f"positions {after.position + 1} to {link.position - 1} are removed")
            return
        if link.previous != after.hash:
            yield Break(link.position, f"it does not follow from position {after.position}: the link is altered")
            return
        if link.entry is None:
            yield Break(link.position, f"its entry {link.entry_id} is removed")
            return
        if link.hash != link_hash(after.hash, link.entry):
            yield Break(link.position, f"its entry {link.entry_id} is altered, moved or inserted")
            return
        after = Point(link.position, link.hash)
        yield after
