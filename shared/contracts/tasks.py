"""The task: everything a worker needs to make one attempt of one step, and nothing secret."""

from typing import Any

from pydantic import Field

from shared.contracts.base import Message
from shared.language.model import Secret, Step

__all__ = ["CallResult", "StepRef", "Task"]


class StepRef(Message):
    """What ``${id.stdout}``, ``${id.exit_code}`` and ``${id.output}`` refer to."""

    type = "step_ref"
    exit_code: int | None = None
    stdout: str = ""
    stderr: str = ""
    output: str | None = None


class CallResult(Message):
    """What the runs that a step called came to: an attempt with it prints ``text`` and ends as it says."""

    type = "call_result"
    text: str
    failed: bool = False
    error: str = ""


class Task(Message):
    """Ask a worker for one attempt. ``token`` fences it: every report carries it back.

    Pairs keep their order and later ones win. ``env`` and ``params`` hold values; a ``prepare`` that has
    any shall not evaluate them again. Times are seconds; 0 means no limit.
    """

    type = "task"
    token: str
    run_key: str
    node: int
    kind: str = "step"
    """``step``, ``handler`` or ``prepare``."""
    number: int = 1
    """1-based count of this step's attempts within the run's present attempt."""
    run_attempt: int = 1
    """1-based count of the run's own attempts (a retry makes the next)."""
    dag_name: str
    dag_run_id: str
    root_dag_name: str
    root_dag_run_id: str
    step: Step
    env: tuple[tuple[str, str], ...] = ()
    params: tuple[tuple[str, str], ...] = ()
    params_json: str | None = None
    params_given: bool = False
    """Whether parameters came with the request or the call: they are not all the author's own words."""
    params_outside: tuple[str, ...] | None = None
    """Which of them are not; unknown to an older scheduler, and then none is."""
    hidden_params: tuple[tuple[str, str], ...] = ()
    """Of the parameters those that hold a secret of the calling run, with stars in its place."""
    outputs: tuple[tuple[str, str], ...] = ()
    """Outputs of the step's ancestors, nearest last, under their variable names."""
    refs: dict[str, StepRef] = Field(default_factory=dict)
    """Step id -> what references to it read."""
    engine_env: tuple[tuple[str, str], ...] = ()
    """Reserved variables the scheduler knows (``DAG_RUN_STATUS`` for handlers)."""
    dotenv: tuple[str, ...] = ()
    secrets: tuple[Secret, ...] = ()
    file_name: str = ""
    """The dag's file without its ending; empty for a run of a spec that no dag holds."""
    called_from: str = ""
    """The directory of the step that called this run, on that step's worker; empty for a root run."""
    working_dir: str = ""
    """The dag's ``workingDir``; empty: where it was called from, its file's folder, or one for this run."""
    shell: tuple[str, ...] = ()
    """The dag's shell as argv; empty: the worker's default."""
    log_dir: str = ""
    """The dag's ``logDir``; empty: the worker's own place for logs."""
    log_output: str = "separate"
    max_output_bytes: int = 1_048_576
    timeout_s: float = 0
    stop_grace_s: float = 5
    options: dict[str, Any] = Field(default_factory=dict)
    """Room for executor families (dag-level ssh, container, smtp, llm blocks), a ``CallResult``, an ``SideTask``."""
