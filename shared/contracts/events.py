"""Events: facts that a worker reports. They are never refused; one with a stale token is ignored."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from shared.contracts.base import Message, Part

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
"""``broken``: the attempt could not start (no such program, invalid template)."""

TIMED_OUT_CODE = 124
"""The exit code of a timeout (workflow language, section 5.8)."""


class LogChunk(Message):
    """Bytes ``[offset, offset + len(data))`` of one stream of one attempt.

    ``(token, stream, seq)`` identifies a chunk; a repeated chunk is stored once.
    """

    type = "attempt.log"
    token: str
    run_key: str
    node: int
    run_attempt: int = 1
    number: int = 1
    """As in the task. The two order the chunks of several attempts of a step."""
    stream: Literal["stdout", "stderr"]
    seq: int
    offset: int
    data: bytes
    at: datetime


class Event(Message):
    """Base of all reports about an attempt."""

    token: str
    run_key: str
    node: int
    worker_id: str
    incarnation: str
    """A random id of the worker process: a restarted worker does not inherit the lease."""
    at: datetime


class AttemptStarted(Event):
    """The worker is about to run the attempt. The broker confirms this before the worker acks the task."""

    type = "attempt.started"
    stdout: str = ""
    stderr: str = ""
    """Paths of the log files on the worker; empty if there is no such stream."""


class ChildCall(Part):
    """A sub-run that a ``call`` step requests. Its id derives from ``params``; it receives ``given``.

    ``shown`` is ``params`` with secrets masked; empty if there are none.
    ``folder`` is the directory of the calling step, on the worker that evaluated the call.
    """

    dag: str
    params: str = ""
    given: str = ""
    shown: str = ""
    folder: str = ""


class Progress(Part):
    """The progress that a step reports: ``current`` of ``total``, which is not 0."""

    current: float
    total: float
    text: str = ""


class Remark(Part):
    """A notice or warning that a step prints for people."""

    level: Literal["notice", "warning"]
    text: str


class ChatMessage(Part):
    """One message of a chat with a language model."""

    role: str
    content: str


class AttemptProgress(Event):
    """The present progress and remarks of a running step. Sent rarely; the highest ``seq`` counts."""

    type = "attempt.progress"
    seq: int
    progress: Progress | None = None
    remarks: tuple[Remark, ...] = ()


class AttemptFinished(Event):
    """The outcome of an attempt, with its last log chunks, so that log and status appear together.

    It also carries what only the worker can evaluate:

    - ``children``: the sub-runs that the step calls.
    - ``unmet``: for a step or DAG that is skipped, why each precondition is not met, in the order of the spec;
      empty text if it is met.
    - ``repeat_condition_met``: whether the condition of the repeat policy is met; ``None`` without one, or if it
      could not be evaluated.
    - ``continue_output_matched``: whether a pattern of ``continueOn.output`` was printed.
    - ``retry_limit``, ``retry_interval_s``: numbers of the retry policy that the spec writes as text.
    """

    type = "attempt.finished"
    started_at: datetime
    outcome: Outcome
    exit_code: int = 0
    error: str = ""
    stdout: str = ""
    stderr: str = ""
    """As in ``AttemptStarted``, which may arrive later or never."""
    outputs: dict[str, str] = Field(default_factory=dict)
    logs: tuple[LogChunk, ...] = ()
    progress: Progress | None = None
    remarks: tuple[Remark, ...] = ()
    messages: tuple[ChatMessage, ...] = ()
    """What a chat step added to the chat: its own messages and the answer."""
    children: tuple[ChildCall, ...] = ()
    unmet: tuple[str, ...] = ()
    repeat_condition_met: bool | None = None
    continue_output_matched: bool = False
    retry_limit: int | None = None
    retry_interval_s: float | None = None


class AttemptGivenUp(Event):
    """The attempt did not run, because no confirm came for its ``AttemptStarted``, which may have arrived or not."""

    type = "attempt.given_up"


class TaskRedelivered(Event):
    """The broker delivered the task a second time. The worker did not run it; the core decides what follows."""

    type = "task.redelivered"


class Heartbeat(Message):
    """Renews the leases of all attempts that a worker holds."""

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
    """Types of steps that it can run, because the packages and programs they need are installed."""
    tokens: tuple[str, ...] = ()
    """Tokens of the attempts it holds: running ones, and finished ones whose report is not delivered yet."""
    draining: bool = False
    stopped: bool = False
    """The last heartbeat: the worker holds no attempts and has stopped for good."""
