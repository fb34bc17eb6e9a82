"""The words that the database stores, by column, as the code defines them.

Processes of two versions read each other's rows. A word that one of them does not know makes it fail, or do nothing.
"""

from collections.abc import Iterable
from typing import get_args

from services.scheduler.core.child_states import STATE_OF
from services.scheduler.core.fires import RESTART, START, STOP
from services.scheduler.core.model import ADMITTED, WAITS
from services.scheduler.core.plan import FOLLOW_UP, HANDLER, PREPARE, STEP
from shared.admission.pools import LOCK, POOL, RATE
from shared.contracts.audit import AuditEntry
from shared.contracts.commands.base import CommandReply
from shared.contracts.commands.pauses import EndPause, PauseScope
from shared.contracts.events import LogChunk, Outcome
from shared.roles import Role
from shared.status import AttemptState, Begun, FireOutcome, NodeStatus, RunStatus, StopReason, TimerKind, WorkerState
from shared.transport.base import DeadLetterDecision

__all__ = ["COLUMNS", "ELSEWHERE", "NO_WORDS", "word_lines", "word_problems"]

COLUMNS: dict[str, Iterable[str]] = {
    "api_keys.role": get_args(Role),
    "attempts.begun": Begun,
    "attempts.outcome": get_args(Outcome),
    "attempts.state": AttemptState,
    "audit.actor_role": get_args(Role),
    "audit.outcome": get_args(AuditEntry.model_fields["outcome"].annotation),
    "cron_slots.kind": (START, STOP, RESTART),
    "cron_slots.outcome": get_args(FireOutcome),
    "dag_runs.status": RunStatus,
    "dag_runs.stop_reason": StopReason,
    "dead_letters.decision": [each for each in DeadLetterDecision if each],
    "inbox.outcome": get_args(CommandReply.model_fields["outcome"].annotation),
    "log_chunks.stream": get_args(LogChunk.model_fields["stream"].annotation),
    "nodes.admission": (WAITS, ADMITTED),
    "nodes.child_states": [f"{letter}:{state}" for letter, state in STATE_OF.items()],
    "nodes.kind": (STEP, HANDLER, PREPARE, FOLLOW_UP),
    "nodes.status": NodeStatus,
    "nodes.token_state": AttemptState,
    "pauses.catchup": get_args(get_args(EndPause.model_fields["catchup"].annotation)[0]),
    "pauses.scope": get_args(PauseScope),
    "pool_places.kind": (POOL, LOCK, RATE),
    "pool_waits.kind": (POOL, LOCK, RATE),
    "removed_changes.became": RunStatus,
    "removed_changes.was": RunStatus,
    "timers.kind": TimerKind,
    "transitions.became": {*RunStatus, *NodeStatus},
    "transitions.was": {*RunStatus, *NodeStatus},
    "users.role": get_args(Role),
    "workers.state": get_args(WorkerState),
    "workspace_members.role": get_args(Role),
}
"""By column. ``nodes.child_states`` has a letter for each state."""

ELSEWHERE = {
    "audit.actor_kind",
    "audit.target_kind",
    "passed_over.kind",
    "queues.kind",
    "services.kind",
}
"""Columns of words that are only literals in the code."""

NO_WORDS = {"api_keys.prefix", "webhooks.prefix", "workspace_logs.day"}
"""Short columns of other texts."""

ALLOWED: dict[str, str] = {}
"""Lines that differ from the last release, each with the reason why its processes can bear it."""


def word_lines() -> list[str]:
    """Return one line for each column and word."""
    return sorted(f"{column} {word}" for column, words in COLUMNS.items() for word in words)


def word_problems(before: list[str], now: list[str]) -> list[str]:
    """Return why one version cannot read what the other has stored. The earlier one does not read a new column."""
    gone, new = set(before) - set(now) - set(ALLOWED), set(now) - set(before) - set(ALLOWED)
    columns = {line.split()[0] for line in before}
    return [
        *(f"{line}: the earlier version stores this word, and it is gone" for line in sorted(gone)),
        *(f"{line}: the earlier version does not know this word" for line in sorted(new) if line.split()[0] in columns),
    ]
