"""The second attempt of a ``call`` step, after its sub-runs have ended: it prints their result."""

from services.worker.executors.base import Job, StepIO
from services.worker.output.pipe_copier import write_all
from services.worker.process.outcome import Result
from shared.contracts.tasks import CallResult

__all__ = ["CallResultExecutor"]


class CallResultExecutor:
    """Prints the result of sub-runs and fails if they failed."""

    def __init__(self, result: CallResult) -> None:
        self._result = result

    def run(self, _job: Job, io: StepIO) -> Result:
        """Print the result; the outcome is ``failed`` if the sub-runs failed."""
        write_all(io.stdout, self._result.text.encode())
        return Result("failed", 1, self._result.error) if self._result.failed else Result("succeeded")
