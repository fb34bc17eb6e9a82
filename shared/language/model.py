"""The immutable model of a workflow: what a spec means, however it is written.

Field names are the YAML's in snake case; units are the YAML's (seconds, bytes). Defaults are those
of the language. Pairs are tuples because their order matters; later entries win.
Source: the workflow language reference (docs/workflow-language.md).
"""

from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "Condition",
    "ContinueOn",
    "Dag",
    "DagType",
    "Handler",
    "LogOutput",
    "MailOn",
    "MailSettings",
    "Output",
    "Parallel",
    "Param",
    "RateLimit",
    "RepeatMode",
    "RepeatPolicy",
    "RetryPolicy",
    "RunConfig",
    "Schedule",
    "Secret",
    "Step",
    "StepCommand",
]

Pairs = tuple[tuple[str, str], ...]


class ModelPart(BaseModel):
    """Base of every part of the model."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DagType(StrEnum):
    """Whether the order of steps implies dependencies (``chain``) or not (``graph``)."""

    CHAIN = "chain"
    GRAPH = "graph"


class LogOutput(StrEnum):
    """One log file per stream, or one for both."""

    SEPARATE = "separate"
    MERGED = "merged"


class RepeatMode(StrEnum):
    """Repeat while the condition holds, or until it does."""

    WHILE = "while"
    UNTIL = "until"


class Handler(StrEnum):
    """The handlers of a run; each value is the name that the handler's step gets."""

    INIT = "onInit"
    SUCCESS = "onSuccess"
    FAILURE = "onFailure"
    ABORT = "onCancel"
    EXIT = "onExit"
    WAIT = "onWait"


class StepCommand(ModelPart):
    """One command of a step: the raw text for a shell, and its words for running without one."""

    text: str
    argv: tuple[str, ...] = ()


class Condition(ModelPart):
    """A precondition. With ``expected``, the evaluated text is compared; without, ``condition`` is a command."""

    condition: str
    expected: str = ""
    negate: bool = False


class ContinueOn(ModelPart):
    """When dependent steps run although this step failed or was skipped."""

    failure: bool = False
    skipped: bool = False
    exit_code: tuple[int, ...] = ()
    output: tuple[str, ...] = ()
    mark_success: bool = False


class RetryPolicy(ModelPart):
    """``limit`` counts retries after the first attempt. Text values are expanded on the worker."""

    limit: int | str
    interval_sec: float | str
    exit_code: tuple[int, ...] = ()
    backoff: float = 0
    """Factor by which the wait grows, above 1; 0: it does not grow."""
    max_interval_sec: float = 0


class RepeatPolicy(ModelPart):
    """``limit`` counts attempts including the first; 0 means no limit."""

    repeat: RepeatMode
    condition: Condition | None = None
    exit_code: tuple[int, ...] = ()
    interval_sec: float = 0
    limit: int = 0
    backoff: float = 0
    max_interval_sec: float = 0


class Output(ModelPart):
    """Capture stdout into variable ``name``; ``key`` and ``omit`` shape the run's outputs."""

    name: str
    key: str = ""
    omit: bool = False


class Parallel(ModelPart):
    """``items``: a list of texts (maps become JSON); or ``variable``: a reference that is split at run time."""

    items: tuple[str, ...] = ()
    variable: str = ""
    max_concurrent: int = 10


class RateLimit(ModelPart):
    """Extension: at most ``limit`` starts in any ``interval_sec``, counted over all steps that name it."""

    name: str
    limit: int
    interval_sec: float


class Step(ModelPart):
    """One step. ``depends`` holds names only, and includes the implicit edges of a chain."""

    name: str
    id: str = ""
    description: str = ""
    commands: tuple[StepCommand, ...] = ()
    script: str = ""
    shell: tuple[str, ...] | None = None
    """``None``: not given. ``("direct",)``: no shell at all."""
    shell_packages: tuple[str, ...] = ()
    working_dir: str = ""
    env: Pairs = ()
    depends: tuple[str, ...] = ()
    type: str = ""
    """Executor type; empty: command."""
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
    call: str = ""
    params: str = ""
    """Arguments of ``call`` in text form, inputs of ``gha``."""
    param_pairs: Pairs | None = None
    """The same in pairs; ``None``: there is only text, and it is split after expansion."""
    parallel: Parallel | None = None
    worker_selector: dict[str, str] = Field(default_factory=dict)
    pool: tuple[str, ...] = ()
    """Extension: the step takes a place in each of these pools while it runs."""
    lock: tuple[str, ...] = ()
    """Extension: the step holds these locks while it runs."""
    rate_limit: tuple[RateLimit, ...] = ()
    container: dict[str, Any] | str | None = None
    llm: dict[str, Any] | None = None
    messages: tuple[dict[str, str], ...] = ()


class Param(ModelPart):
    """A default parameter as written; positional ones are named ``"1"``, ``"2"`` and so on."""

    name: str
    value: str
    positional: bool = False


class Schedule(ModelPart):
    """Cron expressions as written, zone prefix included."""

    start: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()


class Catchup(ModelPart):
    """Extension: which missed starts are caught up.

    ``latest``: the newest one; ``all``: the newest ``limit`` of them, in order. Starts older than
    ``window_sec`` stay missed.
    """

    policy: Literal["none", "latest", "all"] = "none"
    limit: int = 100
    window_sec: float = 7 * 86400


class Secret(ModelPart):
    """Where a worker finds a secret. The value itself is never part of the model."""

    name: str
    provider: str
    key: str
    options: dict[str, str] = Field(default_factory=dict)


class RunConfig(ModelPart):
    """What a person may not change when starting a run."""

    disable_param_edit: bool = False
    disable_run_id_edit: bool = False


class MailOn(ModelPart):
    """For which outcomes of a run a mail is sent."""

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
    """One YAML document."""

    name: str
    description: str = ""
    group: str = ""
    tags: tuple[str, ...] = ()
    type: DagType = DagType.CHAIN
    schedule: Schedule = Schedule()
    skip_if_successful: bool = False
    catchup: Catchup = Catchup()
    env: Pairs = ()
    """As written: not yet expanded."""
    dotenv: tuple[str, ...] = (".env",)
    params: tuple[Param, ...] = ()
    param_schema: str = ""
    """File or URL of a JSON Schema for the parameters; empty: none."""
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
    placement: Literal["stick", "spread"] = "stick"
    """Extension: ``spread`` lets one run's steps use every worker instead of one."""

    def step(self, name: str) -> Step:
        """Return the step called ``name``; raises ``KeyError``."""
        for step in self.steps:
            if step.name == name:
                return step
        raise KeyError(name)
