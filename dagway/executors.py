"""The API for executor plugins: packages that run a type of step of their own.

A plugin names a class in the entry point group ``dagway.executors``; docs/executors.md shows a complete one. Names are
added here, but within a major version none is removed.

An executor is a class without arguments that has the method of ``Executor``:

- ``Executor``: the protocol, ``run(job, io) -> Result``
- ``Job``: one attempt of a step: ``step``, ``environment``, ``working_dir``, ``shell``, ``supervisor``, ``options``
- ``StepIO``: where the step writes: ``stdout``, ``stderr``, ``stderr_tail()``, ``messages``
- ``Step``: the step as its DAG defines it: ``name``, ``config``, ``commands``, ``script`` and so on
- ``Environment``: the step's environment variables (``process``) and the scopes of its expansions

Work under the timeout and the stop of the attempt:

- ``Supervisor``: ``run`` for a process, ``call`` for a function, ``cleanup`` for the case that the worker dies
- ``ProcessExit``: how a process ended
- ``CancelScope``: cancels work inside the worker: its sockets, its writes, whatever else it registers
- ``StopRequest``, ``StopKind``: a request from outside to end the attempt

Results:

- ``Result``, ``Outcome``: how an attempt ended
- ``make_result``: the result of work inside the worker
- ``process_result``: the result of a process

Helpers:

- ``evaluate``: expand the variables and back-quoted commands in a value, lists and maps included
- ``positive_seconds``: read an option that is a number of seconds
- ``write_all``: write bytes to a descriptor

Errors:

- ``InvalidInput``: raise it for a mistake in the step, such as a missing option
- ``ExpansionError``, ``CommandFailed``: ``evaluate`` found a required variable unset, or a back-quoted command failed
- ``Interrupted``: a stop or the timeout ended a back-quoted command; let it pass
- ``Cancelled``: a ``CancelScope`` was cancelled
- ``GuardianLost``: the worker is about to end; let it pass
- ``DagwayError``: the base of ``InvalidInput`` and ``GuardianLost``
"""

from services.worker.executors.base import Executor, Job, StepIO
from services.worker.executors.in_process import (
    Cancelled,
    CancelScope,
    evaluate,
    make_result,
    positive_seconds,
    process_result,
)
from services.worker.inputs.environment import Environment
from services.worker.output.pipe_copier import write_all
from services.worker.process.capture import CommandFailed, Interrupted
from services.worker.process.guardian_client import GuardianLost
from services.worker.process.outcome import ProcessExit, Result, StopKind
from services.worker.process.supervisor import StopRequest, Supervisor
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
