"""Waits for the end of a run: for the query parameter ``wait`` of a start, and for Dagu 2's ``start-sync``.

A scheduler's notification that the run has ended ends the wait; what the run does before costs the gateway nothing. If
the reply to the start tells its key, the run is not read before either, unless another run ends between command and
reply. The gateway also reads the run from time to time, because a notification may be lost: every 2 s, or less often if
many requests wait (``Followers.look_again_s``).
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

from services.api.deps import Deps
from services.api.followers import Follower
from services.api.observability import request_metrics
from services.api.operations import Call
from services.api.problems import Problem
from services.api.run_details.builder import run_details
from shared.contracts.commands import StartRun
from shared.status import RunStatus
from shared.store.reads.reader import RunRow
from shared.workspaces import workspace_of

__all__ = ["finished_run", "place_to_wait", "settled_run"]


@contextmanager
def place_to_wait(call: Call, command: StartRun) -> Iterator[Follower | None]:
    """Take one of the gateway's places for event streams and for requests that wait for a run.

    Gives ``None`` if there are too many already, on the server or in the workspace.
    """
    try:
        follower = call.deps.followers.add(
            only_end=True, workspace=workspace_of(command.file_name), without_place=call.without_place
        )
    except Problem:
        yield None
        return
    with closing(follower):
        yield follower


def settled_run(deps: Deps, follower: Follower, command: StartRun, dag_run_id: str, wait_s: float) -> RunRow | None:
    """Wait until a run has ended or waits for approval, or ``wait_s`` have passed.

    Returns the run as it is then, or ``None`` if it does not exist or was removed.
    """
    return _wait(deps, follower, _dag_name(deps, command), dag_run_id, wait_s, approval_ends=True)


def finished_run(
    deps: Deps,
    follower: Follower,
    command: StartRun,
    dag_run_id: str,
    wait_s: float,
    *,
    begun: Mapping[str, str] | None,
) -> dict[str, Any]:
    """Wait until a run has ended or ``wait_s`` have passed; return ``finished`` and ``dagRunDetails``.

    ``begun`` is what the scheduler said (``BEGUN``), if it did, and if ``follower`` is older than the start of the run:
    then the run is not read before the first notification. If the run does not exist or was removed, returns neither
    field.
    """
    ends = time.monotonic() + wait_s
    if begun is not None:
        follower.run_key = begun["runKey"]
        _notified(deps, follower, wait_s)
    name = begun["dagName"] if begun is not None else _dag_name(deps, command)
    run = _wait(deps, follower, name, dag_run_id, ends - time.monotonic())
    if run is None:
        return {}
    answer = {"finished": not run.status.active, "dagRunDetails": run_details(deps, run, deps.clock())}
    if run.finished_at is not None:
        request_metrics.decided(deps.clock() - run.finished_at)
    return answer


def _dag_name(deps: Deps, command: StartRun) -> str:
    if command.dag_name is not None:
        return command.dag_name
    return deps.reads.dag_name(command.file_name) or command.file_name


def _wait(
    deps: Deps, follower: Follower, dag_name: str, dag_run_id: str, wait_s: float, *, approval_ends: bool = False
) -> RunRow | None:
    ends = time.monotonic() + wait_s
    while True:
        run = deps.reads.run(dag_name, dag_run_id)
        left_s = ends - time.monotonic()
        if run is None or not run.status.active or left_s <= 0 or deps.closing.is_set():
            return run
        if approval_ends and run.status is RunStatus.WAITING:
            return run
        follower.run_key = run.run_key
        _notified(deps, follower, left_s)


def _notified(deps: Deps, follower: Follower, wait_s: float) -> None:
    """Wait until the run may have ended, it is time to look, or the gateway stops."""
    looks = time.monotonic() + min(wait_s, deps.followers.look_again_s())
    while not follower.wait(looks - time.monotonic()):
        if time.monotonic() >= looks or deps.closing.is_set():
            return
