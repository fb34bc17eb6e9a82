"""Events: facts that a worker reports. An event is never refused. If its attempt token is stale, it is ignored."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from shared.contracts.base import Message, Part
from shared.contracts.report_values import (
    Code,
    Count,
    ExecutorTypes,
    HostName,
    Id,
    Labels,
    RunKey,
    Seconds,
    SettingTexts,
    Size,
    Time,
    WorkerId,
)

__all__ = [
    "TIMED_OUT_CODE",
    "UNMET",
    "AttemptFinished",
    "AttemptGivenUp",
    "AttemptProgress",
    "AttemptRequested",
    "AttemptStarted",
    "ChatMessage",
    "ChildCall",
    "Doubt",
    "Event",
    "Heartbeat",
    "LogChunk",
    "NextStart",
    "Outcome",
    "Progress",
    "Remark",
    "Stream",
]

Outcome = Literal["succeeded", "failed", "timed_out", "aborted", "skipped", "broken"]
"""How an attempt ended. ``broken``: it could not start, for instance because its program does not exist."""

Stream = Literal["stdout", "stderr"]
"""What the processes of a step write to."""

TIMED_OUT_CODE = 124
"""The exit code of a step that timed out, as in Dagu."""
UNMET = "condition was not met"
"""How the error of a ``skipped`` attempt begins, unless a precondition could not be evaluated."""


class LogChunk(Message):
    """Bytes ``[offset, offset + len(data))`` of one stream of one attempt.

    ``(token, stream, seq)`` identifies a chunk; a repeated chunk is stored once.
    """

    type = "attempt.log"
    raw_field = "data"
    token: Id
    run_key: RunKey
    node: Count
    run_attempt: Count = 1
    number: Count = 1
    """``run_attempt`` and ``number`` are those of the task. They order the chunks of several attempts of a step."""
    stream: Stream
    seq: Count
    offset: Size
    data: bytes
    at: Time


class Event(Message):
    """Base of all events about one attempt."""

    token: Id
    run_key: RunKey
    node: Count
    worker_id: WorkerId
    incarnation: Id
    """A random id of the worker process: a restarted worker does not inherit the lease."""
    at: Time


class AttemptStarted(Event):
    """The worker runs the attempt as soon as the broker has confirmed this event. Only then it acks the task."""

    type = "attempt.started"
    stdout: str = ""
    stderr: str = ""
    """``stdout`` and ``stderr`` are the paths of the log files on the worker; empty if there is no such file."""


class ChildCall(Part):
    """A sub-run that a ``call`` step requests.

    - ``params``: the parameters as text, from which the id of the sub-run is derived.
    - ``given``: the parameters that the sub-run receives.
    - In both, values that contain a secret are sealed, if the worker has a key.
    - ``shown``: ``params`` with secrets masked; empty if there are no secrets in it.
    - ``folder``: the directory of the calling step, on the worker that evaluated the call.
    """

    dag: str
    params: str = ""
    given: str = ""
    shown: str = ""
    folder: str = ""


class Progress(Part):
    """The progress that a step reports: ``current`` of ``total``. ``total`` is above 0."""

    current: float
    total: float = Field(gt=0)
    text: str = ""


class Remark(Part):
    """A notice or warning that a step prints, to be shown with its node."""

    level: Literal["notice", "warning"]
    text: str


class ChatMessage(Part):
    """One message of a chat with a language model."""

    role: str
    content: str


class AttemptProgress(Event):
    """The current progress and remarks of a running step. Of several, the event with the highest ``seq`` is current."""

    type = "attempt.progress"
    seq: Count
    progress: Progress | None = None
    remarks: tuple[Remark, ...] = ()


class NextStart(Part):
    """The start of the step that follows in a chain. The fields are those of ``AttemptStarted``."""

    token: Id
    at: Time
    stdout: str = ""
    stderr: str = ""


class AttemptFinished(Event):
    """The outcome of an attempt, with its last log chunks, so that log and status appear together.

    It also carries what only the worker can evaluate:

    - ``children``: the sub-runs that the step calls.
    - ``unmet``: if the step or DAG is skipped, one text for each precondition in the order of the spec: why it is not
      met, or an empty text if it is met.
    - ``repeat_condition_met``: whether the condition of the repeat policy is met, or ``None`` if the policy has no
      condition or the condition could not be evaluated.
    - ``continue_output_matched``: whether the step printed a line that matches ``continueOn.output``.
    - ``retry_limit``, ``retry_interval_s``: the values of the retry policy, if the spec has variables in them.

    ``shutdown``: the worker ended the attempt because it was shutting down itself.

    ``next_start``: the worker begins the next step of the chain itself, as soon as the broker has confirmed this event.

    ``log_bytes`` is the size of each stream's whole log, secrets masked. It is ``None`` if the attempt has no log.
    """

    type = "attempt.finished"
    started_at: Time
    outcome: Outcome
    exit_code: Code = 0
    error: str = ""
    stdout: str = ""
    stderr: str = ""
    """``stdout`` and ``stderr`` are the same as in ``AttemptStarted``, which may arrive later or never."""
    outputs: dict[str, str] = Field(default_factory=dict)
    logs: tuple[LogChunk, ...] = ()
    progress: Progress | None = None
    remarks: tuple[Remark, ...] = ()
    messages: tuple[ChatMessage, ...] = ()
    """The messages that a chat step added to the chat: its own messages, and the answer of the model."""
    children: tuple[ChildCall, ...] = ()
    unmet: tuple[str, ...] = ()
    repeat_condition_met: bool | None = None
    continue_output_matched: bool = False
    retry_limit: int | None = None
    retry_interval_s: float | None = None
    log_bytes: dict[str, Size] | None = None
    shutdown: bool = False
    next_start: NextStart | None = None


class AttemptGivenUp(Event):
    """The worker did not run the attempt and never will.

    The broker did not confirm its ``AttemptStarted`` event, or no scheduler answered its ``AttemptRequested`` event.
    Either event may have arrived all the same. ``doubt`` is that of the ``AttemptRequested`` event, if one was sent.
    """

    type = "attempt.given_up"
    doubt: str = ""


class Doubt(StrEnum):
    """Why a worker does not begin an attempt at once."""

    REDELIVERED = "redelivered"
    """The broker delivered the task before, or a scheduler sent it a second time. The attempt may run elsewhere."""
    OLD = "old"
    """The task was dispatched too long ago, or the clocks of scheduler and worker differ too much to say."""
    OTHER_INCARNATION = "other incarnation"
    """The task is addressed to an earlier process with the same worker id."""
    KEPT = "kept"
    """The task waited at the worker for a slot. If its connection broke, another worker may have the task too."""
    UNHEARD = "unheard"
    """The broker has not confirmed this worker's heartbeats lately, so schedulers may count the worker as lost."""


class AttemptRequested(Event):
    """Asks a scheduler whether the worker may begin an attempt. The worker holds a slot and waits for the answer.

    The answer is ``AttemptGranted`` or ``StopAttempt``. Asking again gets the same answer.

    - ``doubt``: a member of ``Doubt``.
    - ``waited_s``: for how long the worker has been asking.
    - ``stdout``, ``stderr``: as in ``AttemptStarted``.
    """

    type = "task.redelivered"
    doubt: str = ""
    waited_s: Seconds = 0
    stdout: str = ""
    stderr: str = ""


class Heartbeat(Message):
    """Renews the lease of a worker and of its attempts, and describes the worker."""

    type = "worker.heartbeat"
    worker_id: WorkerId
    incarnation: Id
    host: HostName
    version: Id
    started_at: Time
    at: Time
    slots: Count
    labels: Labels = Field(default_factory=dict)
    executors: ExecutorTypes = ()
    """The executor types that the worker can run: the packages and programs that they need are installed."""
    tokens: tuple[str, ...] = ()
    """Tokens of the attempts that the worker runs or asks for, and of ended ones whose report is not delivered yet."""
    kept: tuple[str, ...] = ()
    """Tokens of tasks that wait at the worker for a slot. They are no longer on a broker queue, and are not lost."""
    draining: bool = False
    """The worker takes no new runs: it is stopping or drained."""
    drained: bool | None = None
    """Whether the worker follows an order to drain. A worker of an earlier version knows no such order (``None``)."""
    settings: SettingTexts | None = None
    """See ``ReportedSettings``; the same in all heartbeats of an incarnation. An earlier version reports none."""
    stopped: bool = False
    """The last heartbeat: the worker holds no attempts and has stopped for good."""
