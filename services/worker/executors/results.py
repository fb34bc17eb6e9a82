"""The result of an attempt, from what an executor did itself or from the end of its process."""

from services.worker.executors.base import Job, StepIO
from services.worker.process.outcome import ProcessExit, Result

__all__ = ["make_result", "process_result"]


def make_result(job: Job, error: str = "", exit_code: int = 0) -> Result:
    """Return the result of work inside the worker process: ``failed`` with an ``error`` or ``exit_code``, else success.

    After a stop or the timeout, the result says so instead, whatever ``error`` and ``exit_code`` are.
    """
    if job.supervisor.ended_early:
        return job.supervisor.classify(None, name=job.step.name)
    if not error and not exit_code:
        return Result("succeeded")
    text = error or f"exit status {exit_code}"
    return Result("failed", exit_code or 1, f'failed to execute step "{job.step.name}": {text}')


def process_result(job: Job, io: StepIO, ended: ProcessExit | None, command: int = 0) -> Result:
    """Return the result of a process that ``job.supervisor.run`` ran. The error text contains the end of stderr.

    ``command`` is the number of the command, from 1, if the step has several commands, else 0. After a stop or the
    timeout, the result says so instead, whatever the exit code is.
    """
    failed = ended is not None and ended.code != 0
    tail = io.stderr_tail() if failed else ""
    return job.supervisor.classify(ended, name=job.step.name, command=command, stderr_tail=tail)
