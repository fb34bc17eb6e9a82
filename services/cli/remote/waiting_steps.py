"""Finds the steps of a run that wait for approval, also those in its sub-runs."""

import shlex
from dataclasses import dataclass

from services.cli.remote.gateway import Gateway

__all__ = ["WaitingStep", "waiting_steps"]


@dataclass(frozen=True, slots=True)
class WaitingStep:
    """A step that waits. ``sub_run_id`` is empty if it is a step of the root run itself."""

    run_id: str
    sub_run_id: str
    step: str

    def __str__(self) -> str:
        """Return the arguments that name the step within its root run, as a shell takes them."""
        return shlex.join((self.step, "--sub-run-id", self.sub_run_id) if self.sub_run_id else (self.step,))


def waiting_steps(gateway: Gateway, name: str) -> list[WaitingStep]:
    """Return the steps that wait in root runs of this name and in their sub-runs, those of the newest runs first."""
    return [
        WaitingStep(each["dagRunId"], each.get("subDAGRunId") or "", each["stepName"])
        for each in gateway.get("/approvals")["approvals"]
        if each["name"] == name
    ]
