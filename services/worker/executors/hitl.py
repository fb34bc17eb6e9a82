"""Approvals: ``prompt``, and the names of what a person may give along with theirs.

The question is all that is left to do here. Who may answer it, and what follows, is the scheduler's.
Source: the workflow language reference, sections on the hitl executor and on human approval.
"""

from services.worker.executors.base import Job, StepIO
from services.worker.executors.inline import conclude, evaluate
from services.worker.output.pipe_copy import write_all
from services.worker.process.outcome import Result
from shared.language.steps.approval import declared_inputs, required_inputs

__all__ = ["ApprovalExecutor"]


class ApprovalExecutor:
    """Writes down what the step waits for."""

    def run(self, job: Job, io: StepIO) -> Result:
        """Print the question; that it waits now is what the scheduler makes of the success."""
        lines = [f"Waiting for approval of step {job.step.name}."]
        prompt = str(evaluate(job, job.step.config.get("prompt") or "")).strip()
        if prompt:
            lines.append(f"Question: {prompt}")
        if names := declared_inputs(job.step):
            required = required_inputs(job.step)
            asked = [f"{name} (required)" if name in required else name for name in names]
            lines.append(f"Inputs: {', '.join(asked)}")
        write_all(io.stdout, "".join(f"{line}\n" for line in lines).encode())
        return conclude(job)
