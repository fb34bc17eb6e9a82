"""Waiting for a run's end on behalf of a client: ``start?wait=30s``."""

import time
from typing import TYPE_CHECKING

from services.api.operations import Answer, ok
from services.api.problems import Problem
from services.api.representations import run_json
from shared.contracts.commands import StartRun

if TYPE_CHECKING:
    from services.api.operations import Call

__all__ = ["finished_run"]


def finished_run(call: "Call", answer: Answer, command: StartRun, wait_s: float) -> Answer:
    """Return the answer with the run in it, once it ended or the time is up (``finished`` says which).

    Few may wait at once, since each is a request under way meanwhile; where there is no place, it does not wait.
    """
    if not call.deps.waits.acquire(blocking=False):
        return ok({**answer.content, "finished": False})
    try:
        return _waited(call, answer, command, wait_s)
    finally:
        call.deps.waits.release()


def _waited(call: "Call", answer: Answer, command: StartRun, wait_s: float) -> Answer:
    reads = call.deps.reads
    run_id = answer.content["dagRunId"]
    dag_name = command.dag_name
    if dag_name is None:
        dag = reads.dag(command.file_name)
        dag_name = dag.dag_name if dag else command.file_name
    try:
        watch = call.deps.follower.watch()
    except Problem:
        return ok({**answer.content, "finished": False})
    try:
        ends = time.monotonic() + wait_s
        while True:
            run = reads.run(dag_name, run_id)
            left_s = ends - time.monotonic()
            if run is None or not run.status.active or left_s <= 0 or call.deps.closing.is_set():
                break
            watch.run_key = run.run_key
            watch.wait(left_s)
    finally:
        watch.close()
    if run is None:
        return answer
    details = run_json.details(run, call.deps.run_models([run])[run.run_key], call.deps.zone)
    return ok({**answer.content, "finished": not run.status.active, "dagRunDetails": details})
