"""The report of an import: one entry for each file, run, account and crontab line."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Entry", "Report", "Result"]

Result = Literal["loaded", "unchanged", "differs", "refused"]
"""``unchanged``: it was here already. ``differs``: it is here, but not all of it or not the same. ``refused``: not."""

_RESULTS: tuple[Result, ...] = ("loaded", "unchanged", "differs", "refused")


@dataclass(frozen=True, slots=True)
class Entry:
    """How the import of one thing ended. ``kind``: workflow, run, user and so on. ``why``: empty if all was loaded."""

    kind: str
    name: str
    result: Result
    why: str = ""


@dataclass(slots=True)
class Report:
    """All entries, in the order in which they were imported."""

    entries: list[Entry] = field(default_factory=list)

    def add(self, kind: str, name: str, result: Result, why: str = "") -> None:
        """Add an entry for one imported thing. ``why`` is needed unless all of it was loaded."""
        self.entries.append(Entry(kind, name, result, why))

    @property
    def refused(self) -> int:
        """How many things were refused."""
        return sum(entry.result == "refused" for entry in self.entries)

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how many entries of each kind have each result."""
        counted = Counter((entry.kind, entry.result) for entry in self.entries)
        kinds = dict.fromkeys(entry.kind for entry in self.entries)
        return {kind: {result: counted[kind, result] for result in _RESULTS} for kind in kinds}

    def as_text(self) -> Iterator[str]:
        """Yield a line for each entry that has a reason, then the counts of each kind."""
        for entry in self.entries:
            if entry.why:
                yield f"{entry.kind} {entry.name}: {entry.result}: {entry.why}"
        for kind, results in self.counts().items():
            yield f"{kind:12} " + ", ".join(f"{count} {result}" for result, count in results.items() if count)

    def as_json(self) -> str:
        """Return the report as one JSON object."""
        entries = [
            {"kind": each.kind, "name": each.name, "result": each.result, **({"why": each.why} if each.why else {})}
            for each in self.entries
        ]
        return json.dumps({"counts": self.counts(), "entries": entries}, indent=2, ensure_ascii=False)
