"""The task: all that a worker needs to run one attempt of one step. It holds no secrets."""

from typing import Any

from pydantic import Field

from shared.contracts.base import Message, Part
from shared.language.model import Secret, Step

__all__ = ["CallResult", "StepRef", "Task"]


class StepRef(Part):
    """The values of ``${id.stdout}``, ``${id.exit_code}`` and ``${id.output}``."""

    exit_code: int | None = None
    stdout: str = ""
    stderr: str = ""
    output: str | None = None


class CallResult(Part):
    """The result of the sub-runs of a step. Its attempt prints ``text``, and fails with ``error`` if they failed."""

    text: str
    failed: bool = False
    error: str = ""


class Task(Message):
    """Ask a worker for one attempt. ``token`` is its fencing token, which every report carries.

    Pairs are ordered and later ones win. ``env`` and ``params`` hold evaluated values; a ``prepare`` task with
    any of them does not evaluate them again. Times are in seconds; 0 means no limit.
    """

    type = "task"
    token: str
    run_key: str
    node: int
    kind: str = "step"
    """``step``, ``handler`` or ``prepare``."""
    number: int = 1
    """1-based number of this attempt of the step, within the present attempt of the run."""
    run_attempt: int = 1
    """1-based number of the attempt of the run. A retry makes the next."""
    dag_name: str
    dag_run_id: str
    root_dag_name: str
    root_dag_run_id: str
    step: Step
    env: tuple[tuple[str, str], ...] = ()
    params: tuple[tuple[str, str], ...] = ()
    params_json: str | None = None
    params_given: bool = False
    """Whether the request or the calling step gave parameters, so that not all are the DAG author's."""
    params_outside: tuple[str, ...] | None = None
    """Names of the parameters that were given from outside. ``None``, from an older scheduler: all, if any were."""
    hidden_params: tuple[tuple[str, str], ...] = ()
    """The parameters that contain a secret of the calling run, with the secret masked."""
    outputs: tuple[tuple[str, str], ...] = ()
    """Outputs of the step's ancestors by variable name, the nearest ancestor last."""
    refs: dict[str, StepRef] = Field(default_factory=dict)
    """By step id: the values that references to the step read."""
    engine_env: tuple[tuple[str, str], ...] = ()
    """Reserved variables that the scheduler sets (``DAG_RUN_STATUS`` for handlers)."""
    dotenv: tuple[str, ...] = ()
    secrets: tuple[Secret, ...] = ()
    file_name: str = ""
    """The DAG's file name without extension; empty for a run of an inline spec."""
    called_from: str = ""
    """The directory of the step that called this run, on the worker of that step; empty for a root run."""
    working_dir: str = ""
    """The DAG's ``workingDir``; empty: ``called_from``, the folder of its file, or a folder of this run."""
    shell: tuple[str, ...] = ()
    """The DAG's shell as argv; empty: the worker's default."""
    log_dir: str = ""
    """The DAG's ``logDir``; empty: the worker's log folder."""
    log_output: str = "separate"
    max_output_bytes: int = 1_048_576
    timeout_s: float = 0
    stop_grace_s: float = 5
    options: dict[str, Any] = Field(default_factory=dict)
    """Settings for executors (the DAG's ssh, container, smtp and llm blocks), a ``CallResult``, or an ``SideTask``."""
