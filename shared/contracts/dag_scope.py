"""The DAGs that an API key may use: patterns of names, and which names a command uses. Pure.

A key with patterns reaches only what is about DAGs with matching names. The gateway checks the names in the path of a
request, the scheduler those in the command.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from shared.contracts.commands import dags, pauses, runs, webhooks
from shared.contracts.commands.base import Command, DagChange, RunChange
from shared.ids import MAX_DAG_NAME
from shared.workspaces import plain_name

__all__ = ["ALL_DAGS", "MOST_PATTERNS", "PATTERN_RULE", "DagScope", "dag_names", "valid_pattern", "why_out_of_scope"]

MOST_PATTERNS = 50
PATTERN_RULE = f"1 to {MAX_DAG_NAME} letters, digits, dashes, dots, underscores, * for any text, or ? for one character"
"""The rule of ``valid_pattern`` in words, for error messages."""
_PATTERN = re.compile(rf"[A-Za-z0-9_.*?-]{{1,{MAX_DAG_NAME}}}")


def valid_pattern(text: str) -> bool:
    """Return whether ``text`` is a pattern of DAG names."""
    return bool(_PATTERN.fullmatch(text))


@dataclass(frozen=True, slots=True)
class DagScope:
    """Patterns of the names of DAGs. Without patterns, all DAGs are in scope, and so is what is about no DAG.

    A key or a secret belongs to one workspace, so its patterns are of the plain names there.
    """

    patterns: tuple[str, ...] = ()

    @classmethod
    def parse(cls, stored: str) -> "DagScope":
        """Return the scope that ``str`` wrote."""
        return cls(tuple(stored.split()))

    def __str__(self) -> str:
        return " ".join(self.patterns)

    @property
    def limited(self) -> bool:
        return bool(self.patterns)

    def outside(self, names: Iterable[str]) -> str:
        """Return the first name that is not in scope; an empty text if all are."""
        if not self.limited:
            return ""
        return next((name for name in names if not self._matches(plain_name(name))), "")

    def _matches(self, name: str) -> bool:
        return any(fnmatchcase(name, each) for each in self.patterns)


ALL_DAGS = DagScope()


def dag_names(command: Command) -> tuple[str, ...]:
    """Return the names of all DAGs and DAG files that a command is about; none if it is about more than DAGs it names.

    The spec of ``StartInline`` can run anything under any name, so it counts as such.
    """
    match command:
        case dags.RenameDag():
            return command.file_name, command.new_file_name
        case DagChange() | webhooks.WebhookCommand():
            return (command.file_name,)
        case runs.StartRun():
            return tuple(filter(None, (command.file_name, command.dag_name)))
        case runs.RescheduleRun():
            return tuple(filter(None, (command.dag_name, command.new_dag_name)))
        case RunChange():
            return (command.dag_name,)
        case pauses.SetPause(scope="dag") | pauses.EndPause(scope="dag"):
            return (command.name,)
    return ()


def why_out_of_scope(actor: str, scope: DagScope, names: Iterable[str]) -> str:
    """Return why ``actor`` may not do what is about the DAGs with these names; an empty text if it may.

    No names mean that it is not about single DAGs.
    """
    if not scope.limited:
        return ""
    named = tuple(names)
    if not named:
        return f"{actor} is limited to the DAGs {scope}, and this request is not about one DAG"
    name = scope.outside(named)
    return f"{actor} is limited to the DAGs {scope}, and {name[:MAX_DAG_NAME]!r} is none of them" if name else ""
