"""Approval steps: print the ``prompt`` and the names of the inputs that a user may give with an approval.

The scheduler does the rest: after this attempt has succeeded, the step waits for approval.
Source: docs/workflow-language.md#steps-that-wait-for-a-person.
"""

from services.worker.executors.base import Job, StepIO
from services.worker.executors.results import make_result
from services.worker.executors.step_values import evaluate
from services.worker.output.pipe_copier import write_all
from services.worker.process.outcome import Result
from shared.language.steps.approval import declared_inputs, required_inputs

__all__ = ["ApprovalExecutor"]


class ApprovalExecutor:
    """Prints which approval and inputs the step waits for."""

    def run(self, job: Job, io: StepIO) -> Result:
        """Print the prompt and the names of the inputs."""
        lines = [f"Waiting for approval of step {job.step.name}."]
        prompt = str(evaluate(job, job.step.config.get("prompt") or "")).strip()
        if prompt:
            lines.append(f"Question: {prompt}")
        if names := declared_inputs(job.step):
            required = required_inputs(job.step)
            inputs = [f"{name} (required)" if name in required else name for name in names]
            lines.append(f"Inputs: {', '.join(inputs)}")
        write_all(io.stdout, "".join(f"{line}\n" for line in lines).encode())
        return make_result(job)
