"""Events: facts a worker reports. Never refused, perhaps ignored because the token is stale."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from shared.contracts.base import Message

__all__ = [
    "TIMED_OUT_CODE",
    "AttemptFinished",
    "AttemptGivenUp",
    "AttemptProgress",
    "AttemptStarted",
    "ChatMessage",
    "ChildCall",
    "Event",
    "Heartbeat",
    "LogChunk",
    "Outcome",
    "Progress",
    "Remark",
    "TaskRedelivered",
]

Outcome = Literal["succeeded", "failed", "timed_out", "aborted", "skipped", "broken"]
"""``broken``: the attempt could not be made at all (no such program, bad template)."""

TIMED_OUT_CODE = 124
"""The exit code of what ran out of time (workflow language, section 5.8)."""


class LogChunk(Message):
    """Bytes ``[offset, offset + len(data))`` of one stream of one attempt.

    ``(token, stream, seq)`` identifies a chunk: the same one twice is stored once.
    """

    type = "attempt.log"
    token: str
    run_key: str
    node: int
    run_attempt: int = 1
    number: int = 1
    """As in the task: they order the chunks of a step's several attempts."""
    stream: Literal["stdout", "stderr"]
    seq: int
    offset: int
    data: bytes
    at: datetime


class Event(Message):
    """What every report on an attempt carries."""

    token: str
    run_key: str
    node: int
    worker_id: str
    incarnation: str
    """Drawn anew by each worker process: a restarted worker is not the one that held the lease."""
    at: datetime


class AttemptStarted(Event):
    """The worker is about to run it; confirmed by the broker before the task is acked."""

    type = "attempt.started"
    stdout: str = ""
    stderr: str = ""
    """Paths of the log files on the worker; empty: no such stream."""


class ChildCall(Message):
    """A run that a ``call`` step asks for. ``params`` is what its id is made from, ``given`` what it gets.

    ``shown`` is what people see: empty where that is ``params``, which then hold no secret.
    ``folder`` is the calling step's directory, on the worker that evaluated the call.
    """

    type = "child_call"
    dag: str
    params: str = ""
    given: str = ""
    shown: str = ""
    folder: str = ""


class Progress(Message):
    """How far a step says it is: ``current`` of ``total``, which is not 0."""

    type = "progress"
    current: float
    total: float
    text: str = ""


class Remark(Message):
    """Something a step says to people."""

    type = "remark"
    level: Literal["notice", "warning"]
    text: str


class ChatMessage(Message):
    """One message of a conversation with a language model."""

    type = "said"
    role: str
    content: str


class AttemptProgress(Event):
    """What a running step says of itself, all of it as it is now. Sent seldom; the highest ``seq`` counts."""

    type = "attempt.progress"
    seq: int
    progress: Progress | None = None
    remarks: tuple[Remark, ...] = ()


class AttemptFinished(Event):
    """The attempt's only end. The last log chunks ride along, so log and status appear together.

    What only the worker can tell rides along too: the runs the step calls, whether the repeat
    policy's condition is met (``None``: it has none, or it could not be evaluated), whether a
    pattern of ``continueOn.output`` was printed, and the retry policy's numbers written as text;
    and of a skipped step, or of a dag that is not to run, why each precondition is not met (``unmet``,
    empty where it is), in the order of the definition.
    """

    type = "attempt.finished"
    started_at: datetime
    outcome: Outcome
    exit_code: int = 0
    error: str = ""
    stdout: str = ""
    stderr: str = ""
    """As in ``AttemptStarted``, which may come later than this or never."""
    outputs: dict[str, str] = Field(default_factory=dict)
    logs: tuple[LogChunk, ...] = ()
    progress: Progress | None = None
    remarks: tuple[Remark, ...] = ()
    messages: tuple[ChatMessage, ...] = ()
    """What a chat step added to the conversation: its own messages and the answer."""
    children: tuple[ChildCall, ...] = ()
    unmet: tuple[str, ...] = ()
    repeat_condition_met: bool | None = None
    continue_output_matched: bool = False
    retry_limit: int | None = None
    retry_interval_s: float | None = None


class AttemptGivenUp(Event):
    """Nothing of it ran: that it starts could not be told for sure. The core may have heard of the start, or not."""

    type = "attempt.given_up"


class TaskRedelivered(Event):
    """The broker delivered the task a second time; it was not run. The core decides what follows."""

    type = "task.redelivered"


class Heartbeat(Message):
    """One per worker, renewing the lease of everything it holds."""

    type = "worker.heartbeat"
    worker_id: str
    incarnation: str
    host: str
    version: str
    started_at: datetime
    at: datetime
    slots: int
    labels: dict[str, str] = Field(default_factory=dict)
    executors: tuple[str, ...] = ()
    """Types of step it can do: it has the package or program that they need."""
    tokens: tuple[str, ...] = ()
    """Attempts held: running, or finished with the report still to be delivered."""
    draining: bool = False
    stopped: bool = False
    """The worker's last word: it holds nothing any more and will not come back."""
