"""The statements that services send to Postgres, with their plans: ``auto_explain`` writes them to the server's log."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from psycopg2 import sql

from tests.harness.servers import PostgresServer

__all__ = ["Statement", "explain_all", "statements"]

_SETTINGS = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_format": "json",
}
_PLAN = re.compile(r"duration: ([\d.]+) ms  plan:\n")
_LITERAL = re.compile(r"'(?:[^']|'')*'|\$\d+|\b\d+\b")
_SPACE = re.compile(r"\s+")
_MORE = re.compile(r"(, \?)+(?=\))|(, \([^()]*\?[^()]*\))+")
"""Further values of a list, and further rows: a statement is the same with any number of them."""


@dataclass(slots=True)
class Statement:
    """A statement without its values: how often it ran, the milliseconds of all calls, and the plan of the last.

    ``text`` is the whole text that was sent, which may hold several statements, each with a plan of its own.
    """

    text: str
    calls: int = 0
    ms: float = 0.0
    plan: Mapping[str, Any] = field(default_factory=dict)

    @property
    def own_text(self) -> str:
        """The statement that has the plan, if ``text`` tells."""
        begin = f"{self.plan.get('Operation', '')} ".upper()
        table = self.plan.get("Relation Name", "")
        parts = self.text.split("; ")
        return next((part for part in parts if part.upper().startswith(begin) and table in part), self.text)

    @property
    def steps(self) -> list[str]:
        """The steps of the plan, the outermost first, each with its table and index."""
        return [_step(each) for each in _walk(self.plan)]


def explain_all(postgres: PostgresServer) -> None:
    """Let new sessions of the superuser log each statement that has a plan. All of them become slower."""
    for name, value in _SETTINGS.items():
        setting = sql.SQL(".").join(map(sql.Identifier, name.split(".")))
        postgres.execute(sql.SQL("ALTER ROLE postgres SET {} = {}").format(setting, sql.Literal(value)))


def statements(log: Path, begin: int = 0) -> list[Statement]:
    """Return the statements in a server's log from this byte on, the one that took longest first."""
    found: dict[tuple[str, str], Statement] = {}
    for ms, explained in _explained(log.read_bytes()[begin:].decode(errors="replace")):
        text = _without_values(explained["Query Text"])
        one = found.setdefault((text, _step(explained["Plan"])), Statement(text))
        one.calls += 1
        one.ms += ms
        one.plan = explained["Plan"]
    return sorted(found.values(), key=lambda one: -one.ms)


def _explained(log: str) -> Iterator[tuple[float, Mapping[str, Any]]]:
    for found in _PLAN.finditer(log):
        # The server begins each further line of an entry with a tab.
        yield float(found[1]), json.JSONDecoder(strict=False).raw_decode(log[found.end() :].lstrip())[0]


def _without_values(text: str) -> str:
    return _MORE.sub("", _SPACE.sub(" ", _LITERAL.sub("?", text)).strip())


def _walk(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _walk(below)


def _step(plan: Mapping[str, Any]) -> str:
    kind = plan.get("Operation") or plan["Node Type"]
    table = f" {plan['Relation Name']}" if "Relation Name" in plan else ""
    index = f" by {plan['Index Name']}" if "Index Name" in plan else ""
    return f"{kind}{table}{index}"
