"""The JSON of attempts."""

from collections.abc import Iterable, Sequence
from datetime import tzinfo
from typing import Any

from services.api.representations import json_values
from services.api.representations.json_values import sparse
from shared.store.reads.reader import AttemptRow

__all__ = ["attempts_json", "tries"]


def tries(attempts: Iterable[AttemptRow]) -> list[AttemptRow]:
    """Return the attempts of one node that count, in order: try ``n`` is number ``n - 1`` of the list."""
    return [each for each in attempts if each.counts]


def attempts_json(attempts: Sequence[AttemptRow], zone: tzinfo | None) -> list[dict[str, Any]]:
    """Return the JSON of attempts."""
    return [_attempt(each, zone) for each in attempts]


def _attempt(row: AttemptRow, zone: tzinfo | None) -> dict[str, Any]:
    return {
        "stepName": row.node_name,
        "runAttempt": row.run_attempt,
        **({"number": row.tries} if row.counts else {}),
        "status": row.outcome or row.state.value,
        "dispatchedAt": json_values.milliseconds(row.dispatched_at, zone),
        **sparse(
            startedAt=json_values.milliseconds(row.started_at, zone),
            finishedAt=json_values.milliseconds(row.finished_at, zone),
            workerId=row.worker_id,
            reason=row.error,
        ),
        **({} if row.exit_code is None else {"exitCode": row.exit_code}),
    }
