"""The API for executor plugins, i.e. packages that add a type of step.

A plugin names a class in the entry point group ``dagway.executors``; docs/executors.md has a complete example. New
releases may add names here; none is removed within a major version.

An executor is a class that can be called without arguments and has the method of ``Executor``:

- ``Executor``: the protocol, ``run(job, io) -> Result``
- ``Job``: one attempt of a step: ``step``, ``environment``, ``working_dir``, ``shell``, ``supervisor``, ``options``,
  ``reach``
- ``StepIO``: where the step writes: ``stdout``, ``stderr``, ``stderr_tail()``, ``messages``
- ``Step``: the step as its DAG defines it: ``name``, ``config``, ``commands``, ``script`` and so on
- ``Environment``: the step's environment variables (``process``), and the scopes for expanding its fields

Work that the step's timeout or a stop can end:

- ``Supervisor``: ``run`` runs a process, ``call`` calls a function, ``cleanup`` registers what to do if the worker dies
- ``ProcessExit``: how a process ended
- ``CancelScope``: cancels work inside the worker process: shuts sockets down, refuses writes, calls callbacks
- ``StopRequest``, ``StopKind``: the request to end an attempt, and its kind

Results:

- ``Result``, ``Outcome``: how an attempt ended
- ``make_result``: makes the result of work inside the worker process
- ``process_result``: makes the result of a process

Helpers:

- ``evaluate``: expands the variables and back-quoted commands in a text, list or map
- ``positive_seconds``: reads an option that is a number of seconds
- ``write_all``: writes bytes to a descriptor

Errors:

- ``InvalidInput``: raise it for a mistake in the step, such as a missing option
- ``ExpansionError``: a required variable is not set, found by ``evaluate``
- ``CommandFailed``: a back-quoted command failed, run by ``evaluate``
- ``Interrupted``: a stop or the timeout ended a back-quoted command; do not catch it
- ``Cancelled``: a ``CancelScope`` was cancelled
- ``GuardianLost``: the guardian died, so the worker ends; do not catch it
- ``DagwayError``: the base class of ``InvalidInput`` and ``GuardianLost``
"""

from services.worker.executors.base import Executor, Job, StepIO
from services.worker.executors.cancel_scope import Cancelled, CancelScope
from services.worker.executors.results import make_result, process_result
from services.worker.executors.step_values import evaluate, positive_seconds
from services.worker.inputs.environment import Environment
from services.worker.output.pipe_copier import write_all
from services.worker.process.capture import CommandFailed, Interrupted
from services.worker.process.guardian_connection import GuardianLost
from services.worker.process.outcome import ProcessExit, Result
from services.worker.process.stop_request import StopKind, StopRequest
from services.worker.process.supervisor import Supervisor
from shared.contracts.events import Outcome
from shared.errors import DagwayError, InvalidInput
from shared.language.expansion.expand import ExpansionError
from shared.language.model import Step

__all__ = [
    "CancelScope",
    "Cancelled",
    "CommandFailed",
    "DagwayError",
    "Environment",
    "Executor",
    "ExpansionError",
    "GuardianLost",
    "Interrupted",
    "InvalidInput",
    "Job",
    "Outcome",
    "ProcessExit",
    "Result",
    "Step",
    "StepIO",
    "StopKind",
    "StopRequest",
    "Supervisor",
    "evaluate",
    "make_result",
    "positive_seconds",
    "process_result",
    "write_all",
]
