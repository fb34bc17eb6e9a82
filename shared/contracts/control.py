"""Control messages: what schedulers send to workers and gateways besides tasks.

They may be lost: the database holds the same facts, and the answer to the next heartbeat repeats them.
"""

from datetime import datetime

from pydantic import Field

from shared.contracts.base import Message

__all__ = ["CHANGES", "RunTraced", "RunsChanged", "StopAttempt", "TaskQueueOpened"]

CHANGES = "changes"
"""The topic of ``RunsChanged``."""


class StopAttempt(Message):
    """Stop one attempt, or do not start it. ``revoked``: its token is stale, so its report will be ignored.

    It goes to the worker that has the task, or to all workers if any of several may take it.
    """

    type = "control.stop_attempt"
    token: str
    revoked: bool = False
    reason: str = ""


class TaskQueueOpened(Message):
    """There is a broker queue for tasks with this selector. Workers whose labels satisfy it start to consume it."""

    type = "control.route_opened"
    selector: dict[str, str]


class RunsChanged(Message):
    """Transitions of these runs were committed: gateways that follow them read the new state.

    ``run_keys`` is empty if there are too many to list.
    """

    type = "control.runs_changed"
    run_keys: list[str] = Field(default_factory=list, max_length=100)


class RunTraced(Message):
    """The span of a run that ended, for the trace collector that its DAG names. A worker sends it there.

    The envelope's ``trace`` is the span's own context; ``parent`` is its parent's.
    """

    type = "control.run_traced"
    run_key: str
    name: str
    parent: str
    start: datetime
    end: datetime
    attributes: dict[str, str] = Field(default_factory=dict)
    error: str = ""
