"""Worker pools that serve only some workspaces: additions to Dagu's API."""

from pydantic import Field

from services.api.operations import ApiResponse, Body, Call, Operations, ok
from services.api.problems import bad_request, not_found
from services.api.requests.workspace_names import DEFAULT_LABEL
from services.api.response_schemas.worker_pools import ReservedPoolSchema, ReservedPoolsSchema
from shared.contracts.commands.worker_pools import ReleaseWorkerPool, ReserveWorkerPool
from shared.contracts.worker_pools import WORKER_POOL_RULE, valid_worker_pool
from shared.workspaces import DEFAULT, valid_workspace

__all__ = ["WORKER_POOLS"]

WORKER_POOLS = Operations()
_PATH = "/worker-pools/{name}"
_MOST_WORKSPACES = 1000


class ReservationBody(Body):
    workspaces: list[str] = Field(
        min_length=1,
        max_length=_MOST_WORKSPACES,
        description=f"names of workspaces; {DEFAULT_LABEL}: the default workspace",
    )


@WORKER_POOLS.get("/worker-pools", id="listWorkerPools", role="admin", reach="server", response=ReservedPoolsSchema)
def list_reserved(call: Call) -> ApiResponse:
    """List the worker pools that are reserved for some workspaces. All others serve every workspace."""
    found = call.deps.reads.reserved_pools()
    return ok({"workerPools": [_shown(name, sorted(found[name])) for name in sorted(found)]})


@WORKER_POOLS.put(_PATH, id="reserveWorkerPool", role="admin", reach="server", response=ReservedPoolSchema)
def reserve(call: Call, body: ReservationBody, name: str) -> ApiResponse:
    """Let a worker pool serve these workspaces only.

    Runs of other workspaces that need the pool no longer start. Those that are running fail at their next step.
    """
    if not valid_worker_pool(name):
        raise bad_request(f"name: {name[:40]!r} must be {WORKER_POOL_RULE}", field="name")
    chosen = tuple(sorted({_workspace(each) for each in body.workspaces}))
    command = ReserveWorkerPool(by=call.user, name=name, workspaces=chosen)
    return call.carry_out(command, then=lambda result: _shown(name, result["workspaces"]))


@WORKER_POOLS.delete(_PATH, id="releaseWorkerPool", role="admin", reach="server", status=204)
def release(call: Call, name: str) -> ApiResponse:
    """End the reservation of a worker pool: it serves all workspaces again."""
    if not valid_worker_pool(name):
        raise not_found(f"The worker pool {name[:40]!r} is not reserved")
    return call.carry_out(ReleaseWorkerPool(by=call.user, name=name))


def _workspace(name: str) -> str:
    if name == DEFAULT_LABEL:
        return DEFAULT
    if not valid_workspace(name):
        raise bad_request(f"workspaces: there is no workspace {name[:40]!r}", field="workspaces")
    return name


def _shown(name: str, workspaces: list[str]) -> dict[str, object]:
    return {"name": name, "workspaces": [each or DEFAULT_LABEL for each in workspaces]}
