"""Control messages: broadcasts from schedulers to workers and gateways.

They may be lost. The database holds the same facts, and the reply to a worker's next heartbeat repeats what the worker
must know.
"""

from datetime import datetime

from pydantic import Field

from shared.contracts.base import Message

__all__ = [
    "CHANGES",
    "WORKERS",
    "AttemptGranted",
    "DrainOrder",
    "RootRunsEnded",
    "RunTraced",
    "RunsChanged",
    "StopAttempt",
    "TaskQueueOpened",
    "worker_topic",
]

CHANGES = "changes"
"""The topic of ``RunsChanged``, which gateways hear."""
WORKERS = "workers"
"""The topic that all workers hear."""


def worker_topic(worker_id: str) -> str:
    """Return the topic that one worker hears besides ``WORKERS``."""
    return f"worker.{worker_id}"


class StopAttempt(Message):
    """Asks a worker to stop an attempt, or not to start it. ``revoked``: the token is stale, so its report is ignored.

    It is sent to the worker that has the task, or to all workers if several may take the task. If ``incarnation`` is
    not empty, the message is only for that incarnation of the worker.
    """

    type = "control.stop_attempt"
    token: str
    revoked: bool = False
    reason: str = ""
    incarnation: str = ""


class AttemptGranted(Message):
    """Allows one incarnation of a worker to begin the attempt that it asked for with ``AttemptRequested``.

    A later one about the same token says the same, because an attempt has one holder from its grant to its end.
    """

    type = "control.attempt_granted"
    token: str
    incarnation: str


class TaskQueueOpened(Message):
    """A broker queue for tasks with ``selector`` was declared. Workers whose labels satisfy it begin to consume it."""

    type = "control.route_opened"
    selector: dict[str, str]


class DrainOrder(Message):
    """Tells a worker whether it is drained. Sent again while its heartbeats say otherwise."""

    type = "control.drain"
    drained: bool


class RunsChanged(Message):
    """Transitions of these runs were committed. Gateways that follow the runs read their new state.

    ``run_keys`` is empty if there are too many runs to list. ``ended`` are those of them that have ended; an earlier
    version of the scheduler does not say (``None``).
    """

    type = "control.runs_changed"
    run_keys: list[str] = Field(default_factory=list, max_length=100)
    ended: list[str] | None = None


class RootRunsEnded(Message):
    """These root runs ended, each given as (DAG name, run id). Workers that miss the message keep the files for days.

    ``runs`` succeeded: no later step needs the files that workers keep of them. ``failed`` did not, and may be retried;
    an earlier version of the scheduler does not name them.
    """

    type = "control.runs_succeeded"
    runs: list[tuple[str, str]] = Field(max_length=1_000)
    failed: list[tuple[str, str]] = Field(default_factory=list, max_length=1_000)


class RunTraced(Message):
    """The span of a run that ended. A worker sends the span to the trace collector that the run's DAG configures.

    The envelope's ``trace`` is the context of the span, and ``parent`` is the context of its parent.
    """

    type = "control.run_traced"
    run_key: str
    name: str
    parent: str
    start: datetime
    end: datetime
    attributes: dict[str, str] = Field(default_factory=dict)
    error: str = ""
