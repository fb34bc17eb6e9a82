"""The task: everything that a worker needs to run one attempt of one step. Values of secrets are in it only sealed."""

from datetime import datetime
from typing import Any

from pydantic import Field

from shared.contracts.base import Message, Part
from shared.language.model import Secret, Step

__all__ = ["FRESH_S", "HANDLER", "PREPARE", "SKEW_S", "STEP", "CallResult", "FollowingStep", "StepRef", "Task"]

STEP, HANDLER, PREPARE = "step", "handler", "prepare"
"""The kinds of nodes and their tasks, besides ``FOLLOW_UP``. A task of kind ``PREPARE`` has options by this name."""
FRESH_S = 4.0
"""A worker begins a task without asking only if it was dispatched at most so long ago."""
SKEW_S = 2.0
"""How far the clocks of a scheduler and a worker may differ.

A task that seems to come from further in the future is not begun without asking. If the worker's clock is this far
behind, a task that seems fresh is at most ``FRESH_S + SKEW_S`` old.
"""


class StepRef(Part):
    """The values that references to one step read: ``${id.stdout}``, ``${id.exit_code}``, ``${id.output}``."""

    exit_code: int | None = None
    stdout: str = ""
    stderr: str = ""
    output: str | None = None


class CallResult(Part):
    """The result of a step's sub-runs. The step's attempt prints ``text``. If ``failed``, it fails with ``error``."""

    text: str
    failed: bool = False
    error: str = ""


class FollowingStep(Part):
    """A step or handler that the worker may begin itself, as its only attempt, once the one before it has succeeded.

    All that is not here is as in the first task of the chain, or comes from the attempts since. See ADR 63.
    """

    token: str
    node: int
    kind: str = STEP
    """``STEP`` or ``HANDLER``."""
    step: Step
    engine_env: tuple[tuple[str, str], ...] = ()
    secrets: tuple[Secret, ...] = ()
    log_output: str = "separate"
    timeout_s: float = 0
    options: dict[str, Any] = Field(default_factory=dict)


class Task(Message):
    """Asks a worker to run one attempt. ``token`` is the attempt token, which every report contains.

    A later pair overrides an earlier one of the same name. ``env`` and ``params`` hold evaluated values. If a
    ``prepare`` task has any, the worker does not evaluate them again. Times are in seconds; 0 means no limit.
    """

    type = "task"
    token: str
    run_key: str
    node: int
    kind: str = STEP
    """``STEP``, ``HANDLER``, ``PREPARE`` or ``FOLLOW_UP``."""
    number: int = 1
    """1-based number of this attempt of the step, within the current attempt of the run."""
    run_attempt: int = 1
    """1-based number of the attempt of the run. A retry of the run increases it."""
    dispatched_at: datetime | None = None
    """When the scheduler decided to send the task. ``None`` from an older scheduler, which grants nothing."""
    incarnation: str = ""
    """The incarnation of the worker that the task is addressed to; empty if any worker may take it."""
    reports_to: str = ""
    """The broker queue for the events of this attempt; empty for the common one."""
    dag_name: str
    dag_run_id: str
    root_dag_name: str
    root_dag_run_id: str
    step: Step
    env: tuple[tuple[str, str], ...] = ()
    params: tuple[tuple[str, str], ...] = ()
    params_json: str | None = None
    params_given: bool = False
    """Whether the request or the calling step gave parameters, so that the DAG's author did not write all of them."""
    params_outside: tuple[str, ...] | None = None
    """Names of the parameters that are not the DAG author's text.

    ``None`` (a scheduler cannot read sealed parameters) means all parameters if ``params_given``, else none.
    """
    hidden_params: tuple[tuple[str, str], ...] = ()
    """The parameters that contain a secret of the calling run, with the secret masked."""
    outputs: tuple[tuple[str, str], ...] = ()
    """Outputs of the step's ancestors: variable names and values, with the nearest ancestor last."""
    refs: dict[str, StepRef] = Field(default_factory=dict)
    """For each id of a step that the task may refer to, the values that references to the step read."""
    engine_env: tuple[tuple[str, str], ...] = ()
    """Reserved variables that the scheduler sets: ``DAG_RUN_SCHEDULE_TIME``, and ``DAG_RUN_STATUS`` for handlers."""
    dotenv: tuple[str, ...] = ()
    secrets: tuple[Secret, ...] = ()
    sealed_secrets: tuple[tuple[str, str], ...] = ()
    """Names and sealed values of the stored secrets that ``secrets`` names and the DAG may use.

    Each value is empty if all of them together are too large: see ``shared.secret_box``.
    """
    file_name: str = ""
    """The DAG's file name without extension; empty for a run of an inline spec."""
    called_from: str = ""
    """The directory of the step that called this run, on the worker of that step; empty for a root run."""
    working_dir: str = ""
    """The DAG's ``workingDir``. If empty: ``called_from``, else the folder of the DAG's file, else one of the run."""
    shell: tuple[str, ...] = ()
    """The DAG's shell as argv; empty for the worker's default shell."""
    log_dir: str = ""
    """The DAG's ``logDir``; empty for the worker's log folder."""
    log_output: str = "separate"
    max_output_bytes: int = 1_048_576
    timeout_s: float = 0
    stop_grace_s: float = 5
    options: dict[str, Any] = Field(default_factory=dict)
    """The DAG's ``ssh``, ``container``, ``smtp`` and ``llm`` for executors, or a ``CallResult``, or a ``FollowUp``."""
    chain: tuple[FollowingStep, ...] = ()
    """The next steps and handlers of a chain, in order. An older worker runs only the step of the task itself.

    Earlier versions have their chains in ``following``. They do not know handlers, references and evaluated values of
    the attempt before, so no version reads the chains of the other.
    """
