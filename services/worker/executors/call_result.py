"""The second attempt of a step that called runs: its output is what they came to."""

from services.worker.executors.base import Job, StepIO
from services.worker.output.pipe_copy import write_all
from services.worker.process.outcome import Result
from shared.contracts.tasks import CallResult

__all__ = ["CallResultExecutor"]


class CallResultExecutor:
    """Prints one result."""

    def __init__(self, result: CallResult) -> None:
        self._result = result

    def run(self, _job: Job, io: StepIO) -> Result:
        """Print it, and end as the step does."""
        write_all(io.stdout, self._result.text.encode())
        return Result("failed", 1, self._result.error) if self._result.failed else Result("succeeded")
