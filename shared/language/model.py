"""The immutable model of a workflow. Different spellings of the same spec give the same model.

Fields have the YAML's names in snake case, the YAML's units (seconds, bytes) and the language's defaults. Variables
are tuples of (name, value) pairs because their order matters: a later pair overrides an earlier one of the same name.
Source: docs/workflow-reference.md and docs/workflow-language.md.
"""

from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "STORED",
    "Catchup",
    "CatchupPolicy",
    "Condition",
    "ContinueOn",
    "Dag",
    "DagType",
    "Handler",
    "LogOutput",
    "MailOn",
    "MailSettings",
    "OnWorkerShutdown",
    "Output",
    "Pairs",
    "Parallel",
    "Param",
    "Placement",
    "RateLimit",
    "RepeatMode",
    "RepeatPolicy",
    "RetryPolicy",
    "RunConfig",
    "Schedule",
    "Secret",
    "Step",
    "StepCommand",
    "build_validators",
]

Pairs = tuple[tuple[str, str], ...]
CatchupPolicy = Literal["none", "latest", "all"]
Placement = Literal["stick", "spread"]
OnWorkerShutdown = Literal["fail", "rerun"]


class ModelPart(BaseModel):
    """Base of all classes of the model.

    Tasks carry parts of the model. Readers ignore fields that they do not know, but those of earlier versions refuse
    them. So a new field has an ``exclude_if`` that leaves it out where it says nothing.
    """

    # ``defer_build``: most workflows use few parts of the language, so a validator is built at its first use.
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class DagType(StrEnum):
    """``chain``: each step also depends on the step or group before it. ``graph``: only ``depends`` counts."""

    CHAIN = "chain"
    GRAPH = "graph"


class LogOutput(StrEnum):
    """Whether stdout and stderr go to two log files (``separate``) or to one (``merged``)."""

    SEPARATE = "separate"
    MERGED = "merged"


class RepeatMode(StrEnum):
    """Repeat while the condition is met (``while``), or until it is met (``until``)."""

    WHILE = "while"
    UNTIL = "until"


class Handler(StrEnum):
    """The handlers of a run. Each value is the name of the handler's step."""

    INIT = "onInit"
    SUCCESS = "onSuccess"
    FAILURE = "onFailure"
    ABORT = "onCancel"
    EXIT = "onExit"
    WAIT = "onWait"


class StepCommand(ModelPart):
    """One command of a step: ``text`` for a shell, and ``argv`` for running the command without a shell."""

    text: str
    argv: tuple[str, ...] = ()


class Condition(ModelPart):
    """A precondition.

    If ``expected`` is set, ``condition`` is expanded and compared with it. Otherwise ``condition`` is a command that
    must exit with 0. ``negate`` inverts the result.
    """

    condition: str
    expected: str = ""
    negate: bool = False


class ContinueOn(ModelPart):
    """The outcomes of a step after which dependent steps run although the step failed or was skipped."""

    failure: bool = False
    skipped: bool = False
    exit_code: tuple[int, ...] = ()
    output: tuple[str, ...] = ()
    mark_success: bool = False

    def tolerates(self, exit_code: int | None, *, output_matched: bool) -> bool:
        """Whether a failure of the step, with this exit code, does not make the run fail by itself."""
        return self.failure or output_matched or (exit_code is not None and exit_code in self.exit_code)


class RetryPolicy(ModelPart):
    """How a failed step is retried. ``limit`` is the number of retries, not counting the first attempt.

    A worker expands ``limit`` and ``interval_sec`` if they are texts with a variable.
    """

    limit: int | str
    interval_sec: float | str
    exit_code: tuple[int, ...] = ()
    backoff: float = 0
    """Factor above 1 by which the interval grows with each retry, or 0 if it stays the same."""
    max_interval_sec: float = 0


class RepeatPolicy(ModelPart):
    """How a step is repeated. ``limit`` is the number of attempts including the first; 0 means no limit."""

    repeat: RepeatMode
    condition: Condition | None = None
    exit_code: tuple[int, ...] = ()
    interval_sec: float = 0
    limit: int = 0
    backoff: float = 0
    max_interval_sec: float = 0


class Output(ModelPart):
    """Store what a step prints to stdout in the variable ``name``, which later steps can use.

    The outputs of the run contain the variable too, under the name ``key`` if it is set, unless ``omit`` is true.
    """

    name: str
    key: str = ""
    omit: bool = False


class Parallel(ModelPart):
    """The items of a fan-out: one sub-run starts for each.

    The items are ``items`` (a map is an item in JSON), or the value of the reference ``variable``, which is split
    when the step starts.
    """

    items: tuple[str, ...] = ()
    variable: str = ""
    max_concurrent: int = 10


class RateLimit(ModelPart):
    """Extension of Dagu's language: of all steps with this rate limit, at most ``limit`` start in ``interval_sec``."""

    name: str
    limit: int
    interval_sec: float


class Step(ModelPart):
    """One step. ``depends`` holds names of steps, never ids, and includes the implicit dependencies of a chain."""

    name: str
    id: str = ""
    description: str = ""
    commands: tuple[StepCommand, ...] = ()
    script: str = ""
    shell: tuple[str, ...] | None = None
    """``None`` if the step sets no shell; ``("direct",)`` if it runs without a shell."""
    shell_packages: tuple[str, ...] = ()
    working_dir: str = ""
    env: Pairs = ()
    depends: tuple[str, ...] = ()
    type: str = ""
    """Executor type; empty means ``command``."""
    config: dict[str, Any] = Field(default_factory=dict)
    stdout: str = ""
    stderr: str = ""
    log_output: LogOutput | None = None
    output: Output | None = None
    continue_on: ContinueOn = ContinueOn()
    retry_policy: RetryPolicy | None = None
    repeat_policy: RepeatPolicy | None = None
    preconditions: tuple[Condition, ...] = ()
    timeout_sec: float = 0
    signal_on_stop: str = ""
    mail_on_error: bool = False
    secrets: tuple[str, ...] | None = Field(default=None, exclude_if=lambda value: value is None)
    """The names of the DAG's secrets that the step gets; ``None``: all."""
    call: str = ""
    params: str = ""
    """The parameters of a ``call`` or the inputs of a ``gha`` step, as text."""
    param_pairs: Pairs | None = None
    """``params`` split into pairs, or ``None`` if ``params`` must be split after expansion."""
    parallel: Parallel | None = None
    worker_selector: dict[str, str] = Field(default_factory=dict)
    pool: tuple[str, ...] = ()
    """Extension of Dagu's language: while the step runs, it takes a place in each of these pools."""
    lock: tuple[str, ...] = ()
    """Extension of Dagu's language: while the step runs, it holds these locks."""
    rate_limit: tuple[RateLimit, ...] = ()
    container: dict[str, Any] | str | None = None
    llm: dict[str, Any] | None = None
    messages: tuple[dict[str, str], ...] = ()


class Param(ModelPart):
    """A parameter with its unexpanded default. Positional parameters have the names ``"1"``, ``"2"`` and so on."""

    name: str
    value: str
    positional: bool = False


class Schedule(ModelPart):
    """The cron expressions that start, stop and restart a DAG, as written: with their ``CRON_TZ=`` prefix."""

    start: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()


class Catchup(ModelPart):
    """Extension of Dagu's language: which missed scheduled times start a run afterwards (catch-up).

    ``none``: no missed time. ``latest``: the newest missed time. ``all``: the newest ``limit`` missed times, in order.
    Times that are more than ``window_sec`` ago stay missed.
    """

    policy: CatchupPolicy = "none"
    limit: int = 100
    window_sec: float = 7 * 86400


class Secret(ModelPart):
    """Where a worker finds a secret. The model never contains the value of a secret."""

    name: str
    provider: str
    key: str
    options: dict[str, str] = Field(default_factory=dict)


STORED = "stored"
"""The provider of the secrets that Dagway itself stores: a task brings their sealed values."""


class RunConfig(ModelPart):
    """What the person who starts a run may not change: the parameters, the run id."""

    disable_param_edit: bool = False
    disable_run_id_edit: bool = False


class MailOn(ModelPart):
    """The outcomes of a run for which a mail is sent."""

    failure: bool = False
    success: bool = False
    wait: bool = False


class MailSettings(ModelPart):
    """Sender, recipients, subject prefix and attachments of a mail."""

    sender: str = ""
    to: tuple[str, ...] = ()
    prefix: str = ""
    attach_logs: bool = False


class Dag(ModelPart):
    """A workflow definition: the content of one YAML document."""

    name: str
    description: str = ""
    group: str = ""
    tags: tuple[str, ...] = ()
    type: DagType = DagType.CHAIN
    schedule: Schedule = Schedule()
    skip_if_successful: bool = False
    catchup: Catchup = Catchup()
    env: Pairs = ()
    """Names and unexpanded values, in the order of the document."""
    dotenv: tuple[str, ...] = (".env",)
    params: tuple[Param, ...] = ()
    param_schema: str = ""
    """File or URL of a JSON Schema for the parameters, or its JSON text (``parameters.inline_schema``); empty: none."""
    secrets: tuple[Secret, ...] = ()
    preconditions: tuple[Condition, ...] = ()
    steps: tuple[Step, ...] = ()
    handlers: dict[Handler, Step] = Field(default_factory=dict)
    max_active_runs: int = 1
    max_active_steps: int = 0
    queue: str = ""
    timeout_sec: float = 0
    delay_sec: float = 0
    restart_wait_sec: float = 0
    max_clean_up_time_sec: float = 5
    hist_retention_days: int = 30
    max_output_size: int = 1_048_576
    log_dir: str = ""
    log_output: LogOutput = LogOutput.SEPARATE
    working_dir: str = ""
    shell: tuple[str, ...] = ()
    container: dict[str, Any] | str | None = None
    registry_auths: dict[str, Any] | str | None = None
    ssh: dict[str, Any] | None = None
    llm: dict[str, Any] | None = None
    smtp: dict[str, Any] | None = None
    mail_on: MailOn = MailOn()
    error_mail: MailSettings | None = None
    info_mail: MailSettings | None = None
    wait_mail: MailSettings | None = None
    otel: dict[str, Any] | None = None
    worker_selector: dict[str, str] = Field(default_factory=dict)
    run_config: RunConfig = RunConfig()
    placement: Placement = "stick"
    """An extension. ``stick``: one worker runs all steps of a run. ``spread``: all workers may."""
    on_worker_shutdown: OnWorkerShutdown = "fail"
    """An extension: what becomes of a step that a worker had to end because it was shutting down itself."""

    def step(self, name: str) -> Step:
        """Return the step called ``name``. Raises ``KeyError`` if there is none."""
        for step in self.steps:
            if step.name == name:
                return step
        raise KeyError(name)


def build_validators() -> None:
    """Build the validators now, in some milliseconds; otherwise each is built when it is first used.

    A process on gevent calls this before real threads parse specs. pydantic builds under a lock, which is gevent's
    there, and a real thread that waits for such a lock may never be woken.
    """
    for part in ModelPart.__subclasses__():
        part.model_rebuild()
