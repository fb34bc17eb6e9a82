"""The immutable model of a workflow: what a spec means once every form of writing it is resolved.

Field names are the YAML's in snake case; units are the YAML's (seconds, bytes). Defaults are those
of the language. Pairs are tuples because order matters and later entries win.
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
    """Whether the order of steps means dependencies."""

    CHAIN = "chain"
    GRAPH = "graph"


class LogOutput(StrEnum):
    """One log file for each stream, or one for both."""

    SEPARATE = "separate"
    MERGED = "merged"


class RepeatMode(StrEnum):
    """Repeat while, or until, the condition holds."""

    WHILE = "while"
    UNTIL = "until"


class Handler(StrEnum):
    """The lifecycle hooks; each value is the forced name of the hook's step."""

    INIT = "onInit"
    SUCCESS = "onSuccess"
    FAILURE = "onFailure"
    ABORT = "onCancel"
    EXIT = "onExit"
    WAIT = "onWait"


class StepCommand(ModelPart):
    """One command line: the raw text for a shell, and its tokens for running without one."""

    text: str
    argv: tuple[str, ...] = ()


class Condition(ModelPart):
    """With ``expected`` the evaluated text is compared; without, ``condition`` is a command."""

    condition: str
    expected: str = ""
    negate: bool = False


class ContinueOn(ModelPart):
    """When dependents run although this step failed or was skipped."""

    failure: bool = False
    skipped: bool = False
    exit_code: tuple[int, ...] = ()
    output: tuple[str, ...] = ()
    mark_success: bool = False


class RetryPolicy(ModelPart):
    """``limit`` counts retries after the first execution. Text values are expanded on the worker."""

    limit: int | str
    interval_sec: float | str
    exit_code: tuple[int, ...] = ()
    backoff: float = 0
    """0: no growth; else the factor, above 1."""
    max_interval_sec: float = 0


class RepeatPolicy(ModelPart):
    """``limit`` counts executions including the first; 0 means no limit."""

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
    """``items`` as a list of texts (maps become JSON), or ``variable`` to be split at run time."""

    items: tuple[str, ...] = ()
    variable: str = ""
    max_concurrent: int = 10


class RateLimit(ModelPart):
    """Extension: at most ``limit`` starts within any ``interval_sec``, of all steps that name it."""

    name: str
    limit: int
    interval_sec: float


class Step(ModelPart):
    """A node of the dag. ``depends`` holds step names only, implicit chain edges included."""

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
    """The same in pairs, when written as a list or a map; ``None``: only text, split after expansion."""
    parallel: Parallel | None = None
    worker_selector: dict[str, str] = Field(default_factory=dict)
    pool: tuple[str, ...] = ()
    """Extension: pools the step takes a place in while it runs."""
    lock: tuple[str, ...] = ()
    """Extension: locks it holds while it runs."""
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
    """Extension: which start slots that passed while nobody could fire them are made up for.

    ``latest``: the newest one; ``all``: the newest ``limit`` of them, in order. Slots older than
    ``window_sec`` stay missed.
    """

    policy: Literal["none", "latest", "all"] = "none"
    limit: int = 100
    window_sec: float = 7 * 86400


class Secret(ModelPart):
    """Where a worker finds a secret; the value itself never enters the model."""

    name: str
    provider: str
    key: str
    options: dict[str, str] = Field(default_factory=dict)


class RunConfig(ModelPart):
    """What a person may not change when starting a run."""

    disable_param_edit: bool = False
    disable_run_id_edit: bool = False


class MailOn(ModelPart):
    """Which ends of a run send a mail."""

    failure: bool = False
    success: bool = False
    wait: bool = False


class MailSettings(ModelPart):
    """Who a mail is from, who gets it, and what it carries."""

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
