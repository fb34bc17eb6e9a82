"""Routes of DAGs: list, read, create, edit, rename, suspend, delete."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from pydantic import Field

from services.api.caches.specs import parse_spec
from services.api.operations import ApiResponse, Body, Call, Operations, Query, Result, json_bytes, ok
from services.api.param_schemas import param_schema
from services.api.problems import Problem, bad_request, not_found
from services.api.representations import dag_json, json_values, run_json
from services.api.requests import checked_values
from services.api.response_schemas.dags import (
    CreateDAGResponseSchema,
    DAGDetailsResponseSchema,
    ErrorsResponseSchema,
    HistoryResponseSchema,
    ListDAGsResponseSchema,
    RunInDAGResponseSchema,
    SpecResponseSchema,
    TagsResponseSchema,
    ValidateResponseSchema,
)
from services.api.run_details.builder import run_details, run_history, run_summaries
from services.api.run_details.lookup import find_dag
from services.api.run_details.reasons import dag_reason
from services.api.run_details.specs import load_dags
from shared.clock import local_zone
from shared.contracts.commands import Command, CreateDag, DeleteDag, PutSpec, RenameDag, SuspendDag
from shared.contracts.commands.dags import ReplaceSpec
from shared.ids import DAG_NAME_RULE, RESERVED_FILE_NAMES, valid_dag_name
from shared.language.cron import next_fires
from shared.language.file_names import without_extension
from shared.language.load import LoadResult
from shared.language.model import Dag as Model
from shared.language.steps.requirements import Capabilities, steps_with_requirements, unsatisfied
from shared.store.reads.reader import DagRow, PauseRow
from shared.workspaces import DEFAULT, plain_name

__all__ = ["DAGS"]

DAGS = Operations()
_DAG = "/dags/{fileName}"
_TEMPLATE = """\
steps:
  - name: hello
    command: echo "Hello from Dagway"
"""
_HISTORY = 30


class ListQuery(Query):
    page: int = Field(default=1, le=2**31 - 1)
    per_page: int = Field(default=50, alias="perPage")
    name: str = Field(default="", description="part of the file name, in upper or lower case")
    tag: str = ""
    faulty: bool = Field(default=False, description="only DAGs whose spec has errors: an addition")
    sort: str = Field(default="name", description="name or nextRun: by name, or by the next scheduled start")
    order: str = Field(default="asc", description="asc or desc")


class CreateBody(Body):
    name: str
    spec: str = ""


class SpecBody(Body):
    spec: str


class ValidateBody(Body):
    spec: str
    name: str = ""


class RenameBody(Body):
    new_file_name: str = Field(alias="newFileName")


class SuspendBody(Body):
    suspend: bool = False


@DAGS.get("/dags", id="listDAGs", response=ListDAGsResponseSchema)
def list_dags(call: Call, query: ListQuery) -> ApiResponse:
    """List a page of DAGs, each with its latest run.

    The latest run is the newest running one, or the newest one if none is running. ``errors`` lists the files of the
    DAG folder that cannot be loaded.
    """
    if query.per_page < 0:
        raise bad_request("perPage: must not be negative", field="perPage")
    key = ("dags", query.model_dump_json())
    return ApiResponse(200, call.deps.single_flight.get(key, lambda: json_bytes(_page(call, query))))


def _page(call: Call, query: ListQuery) -> dict[str, Any]:
    per_page = min(query.per_page or 50, json_values.MAX_PER_PAGE)
    page = max(query.page, 1)
    order: Literal["asc", "desc"] = "desc" if query.order == "desc" else "asc"
    reads = call.deps.reads
    sort: Literal["name", "next_start"] = "next_start" if query.sort == "nextRun" else "name"
    found = reads.dag_page(
        name=query.name, tag=query.tag, faulty=query.faulty, sort=sort, order=order, page=page, per_page=per_page
    )
    loaded = load_dags(call.deps, found.dags)
    latest = reads.latest_runs(dag.dag_name for dag in found.dags)
    pauses = reads.open_pauses()
    runs = dict(zip(latest, run_summaries(call.deps, list(latest.values()), call.now), strict=True))
    return {
        "dags": [_file(call, dag, loaded[dag.file_name], runs.get(dag.dag_name), pauses) for dag in found.dags],
        "errors": _refused(call),
        "pagination": json_values.pagination(total=found.total, page=page, per_page=per_page),
    }


@DAGS.get("/dags/tags", id="getAllDAGTags", response=TagsResponseSchema)
def list_tags(call: Call) -> ApiResponse:
    """List the distinct tags of all DAGs.

    ``errors`` lists the stored DAGs whose spec has errors (see ``GET /dags/{fileName}/spec``), and the files of the
    DAG folder that cannot be loaded.
    """
    reads = call.deps.reads
    faulty = [f"{name}: {'; '.join(found)}" for name, found in reads.faulty_dags().items()]
    return ok({"tags": list(reads.tags()), "errors": faulty + _refused(call)})


@DAGS.post("/dags/validate", id="validateDAGSpec", response=ValidateResponseSchema, pending=False, changes=False)
def validate(call: Call, body: ValidateBody) -> ApiResponse:
    """Validate the spec in the request and return its errors. Stores and runs nothing.

    If no live worker has the program that a step needs, ``errors`` names this step too. The spec is valid all the same,
    and the other steps run.
    """
    name = without_extension(body.name.strip()) or "validated-dag"
    errors = []
    if not valid_dag_name(name):
        errors.append(f"name: {name[:80]!r} must be {DAG_NAME_RULE}")
        name = "validated-dag"
    loaded = parse_spec(body.spec, file_name=name)
    errors += [str(issue) for issue in loaded.errors]
    beyond = _beyond_workers(call, loaded.documents)
    model = loaded.dag or Model(name=name)
    # Of a spec that cannot be read, only the name is returned: defaults could be mistaken for its own settings.
    unread = bool(errors) and not model.steps
    dag = {"name": model.name} if unread else dag_json.dag_written(model)
    zone = call.deps.zone or local_zone()
    fires = [json_values.timestamp(at, zone) for at in next_fires(model.schedule.start, call.now, zone)]
    return ok({"valid": not errors, "errors": errors + beyond, "dag": dag, "nextFires": fires})


@DAGS.post(
    "/dags", id="createNewDAG", role="manager", permission="write_dags", response=CreateDAGResponseSchema, status=201
)
def create(call: Call, body: CreateBody) -> ApiResponse:
    """Create a DAG. Without a spec, the DAG gets an example spec with one step."""
    name = _new_name(body.name, "name")
    spec = body.spec if body.spec.strip() else _TEMPLATE
    command = CreateDag(by=call.user, file_name=name, spec=spec)
    return call.carry_out(command, known={"name": name}, certain=lambda: _refuse_faulty(spec, name))


def _new_name(text: str, field: str) -> str:
    name = checked_values.dag_name(without_extension(text.strip()), field)
    if plain_name(name) in RESERVED_FILE_NAMES:
        raise bad_request(f"{field}: {plain_name(name)!r} is reserved: the API uses it in its paths", field=field)
    return name


def _refuse_faulty(spec: str, name: str) -> None:
    if errors := parse_spec(spec, file_name=name).errors:
        raise bad_request("; ".join(str(issue) for issue in errors))


@DAGS.get(_DAG, id="getDAGDetails", response=DAGDetailsResponseSchema)
def details(call: Call, file_name: str) -> ApiResponse:
    """Return a DAG with its latest run and the nodes of this run."""
    dag = find_dag(call.deps, file_name)
    loaded = load_dags(call.deps, [dag])[dag.file_name]
    model = _model(dag, loaded)
    errors = [str(issue) for issue in loaded.errors]
    pauses = call.deps.reads.open_pauses()
    # The DAG folder belongs to the default workspace.
    folder = call.deps.settings.dags_dir if call.workspace == DEFAULT else None
    return ok(
        {
            "dag": dag_json.dag_details(model) | param_schema(model, folder),
            "localDags": [
                {"name": each.name, "dag": dag_json.dag_details(each), "errors": []}
                for each in sorted(loaded.documents[1:], key=lambda document: document.name)
            ],
            "latestDAGRun": _latest_details(call, dag.dag_name, model),
            "suspended": dag.suspended,
            "errors": errors,
            "specHash": dag.spec_hash,
            "paused": any(each.scope == "dag" and each.name == dag.file_name for each in pauses),
            **_schedule(call, dag, pauses),
        }
    )


@DAGS.delete(_DAG, id="deleteDAG", role="manager", permission="write_dags", status=204)
def delete(call: Call, file_name: str) -> ApiResponse:
    """Delete a DAG, and its file if the DAG folder is written, but keep its runs."""
    return call.carry_out(DeleteDag(by=call.user, file_name=checked_values.file_name(file_name)))


@DAGS.get(f"{_DAG}/spec", id="getDAGSpec", response=SpecResponseSchema)
def get_spec(call: Call, file_name: str) -> ApiResponse:
    """Return the current spec of a DAG, as it was written, and its errors and warnings.

    A stored spec can have errors if it came from the DAG folder or was stored by another version of Dagway.
    """
    dag = find_dag(call.deps, file_name)
    loaded = load_dags(call.deps, [dag])[dag.file_name]
    issues = [str(issue) for issue in (*loaded.errors, *loaded.warnings)]
    shown = {"dag": dag_json.dag_written(_model(dag, loaded)), "spec": dag.spec or "", "errors": issues}
    return ApiResponse(200, shown, headers={"ETag": f'"{dag.spec_hash}"'})


@DAGS.put(
    f"{_DAG}/spec",
    id="updateDAGSpec",
    role="manager",
    permission="write_dags",
    headers=("If-Match",),
    response=ErrorsResponseSchema,
    failures=(412, 428),
)
def put_spec(call: Call, body: SpecBody, file_name: str) -> ApiResponse:
    """Replace the spec of a DAG. A spec with errors is not stored: the response, also a 200, lists them.

    With ``If-Match``, the spec is replaced only if its current version has this ETag; otherwise the response is 412.

    Where ``DAGWAY_DAGS_WRITE`` is ``folder``: if the file was edited in the DAG folder and not loaded yet, the response
    is 409, or 412 with ``If-Match``; if the folder cannot be written, it is 403.
    """
    stem = checked_values.file_name(file_name)
    expected = checked_values.etags(call.headers.get("If-Match", ""))
    if not expected and call.deps.settings.require_if_match:
        raise Problem(428, "precondition_required", "If-Match: is required; send the ETag of the response to GET")
    command: Command = PutSpec(by=call.user, file_name=stem, spec=body.spec)
    if expected:
        command = ReplaceSpec(by=call.user, file_name=stem, spec=body.spec, expected=expected)

    def replaced(result: Result) -> ApiResponse:
        errors = list(result.get("errors", []))
        tag = {} if errors else {"ETag": f'"{hashlib.sha256(body.spec.encode()).hexdigest()}"'}
        return ApiResponse(200, {"errors": errors}, headers=tag)

    def faulty() -> ApiResponse | None:
        errors = [str(issue) for issue in parse_spec(body.spec, file_name=stem).errors]
        return replaced({"errors": errors}) if errors else None

    return call.carry_out(command, then=replaced, certain=faulty)


@DAGS.post(f"{_DAG}/rename", id="renameDAG", role="manager", permission="write_dags")
def rename(call: Call, body: RenameBody, file_name: str) -> ApiResponse:
    """Change the file name of a DAG."""
    new_name = _new_name(body.new_file_name, "newFileName")
    return call.carry_out(
        RenameDag(by=call.user, file_name=checked_values.file_name(file_name), new_file_name=new_name)
    )


@DAGS.post(
    f"{_DAG}/suspend", id="updateDAGSuspensionState", role="operator", permission="run_dags", body_required=False
)
def suspend(call: Call, body: SuspendBody, file_name: str) -> ApiResponse:
    """Suspend or resume the schedule of a DAG: while it is suspended, its scheduled times are skipped.

    Requests can still start and queue runs. Unlike a pause, a suspension does not hold back queued runs, and the
    skipped times are never caught up.
    """
    return call.carry_out(SuspendDag(by=call.user, file_name=checked_values.file_name(file_name), suspend=body.suspend))


@DAGS.get(f"{_DAG}/dag-runs", id="getDAGDAGRunHistory", response=HistoryResponseSchema)
def history(call: Call, file_name: str) -> ApiResponse:
    """Return the newest 30 runs of a DAG, with their nodes.

    If no stored DAG has the file name ``fileName``, return the runs whose DAG name is ``fileName``: the runs of a
    deleted DAG can still be read.
    """
    stem = checked_values.file_name(file_name)
    dag = call.deps.reads.dag(stem)
    found = call.deps.reads.recent_runs(dag.dag_name if dag else stem, limit=_HISTORY)
    return ok({"dagRuns": run_history(call.deps, found), "gridData": run_json.grid(found)})


@DAGS.get(f"{_DAG}/dag-runs/{{dagRunId}}", id="getDAGDAGRunDetails", response=RunInDAGResponseSchema)
def run_of_dag(call: Call, file_name: str, dag_run_id: str) -> ApiResponse:
    """Return one run of a DAG, or its latest run for the id ``latest``.

    If the DAG never ran, ``latest`` returns all its steps as ``not_started``.
    """
    dag = find_dag(call.deps, file_name)
    if dag_run_id == checked_values.LATEST:
        model = _model(dag, load_dags(call.deps, [dag])[dag.file_name])
        return ok({"dagRun": _latest_details(call, dag.dag_name, model)})
    run = call.deps.reads.run(dag.dag_name, dag_run_id)
    if run is None:
        raise not_found(f"DAG {dag.dag_name!r} has no run {dag_run_id!r}")
    return ok({"dagRun": run_details(call.deps, run, call.now)})


def _refused(call: Call) -> list[str]:
    return [f"{name}: {why}" for name, why in call.deps.reads.refused_files().items()]


def _beyond_workers(call: Call, dags: Iterable[Model]) -> list[str]:
    steps = steps_with_requirements(dags)
    seen = call.deps.reads.workers() if steps else ()
    live = [each for each in seen if each.takes_work(call.now)]
    return unsatisfied(steps, [Capabilities(each.labels, each.executors) for each in live])


def _model(dag: DagRow, loaded: LoadResult) -> Model:
    return loaded.dag or Model(name=dag.dag_name)


def _file(
    call: Call, dag: DagRow, loaded: LoadResult, latest: dict[str, Any] | None, pauses: Sequence[PauseRow]
) -> dict[str, Any]:
    model = _model(dag, loaded)
    defaults = " ".join(f"{param.name}={param.value}" for param in model.params)
    return {
        "fileName": f"{dag.file_name}.yaml",
        "dag": dag_json.dag(model),
        "latestDAGRun": latest or run_json.synthetic(dag.dag_name, defaults),
        "suspended": dag.suspended,
        "errors": [str(issue) for issue in loaded.errors],
        **_schedule(call, dag, pauses),
    }


def _schedule(call: Call, dag: DagRow, pauses: Sequence[PauseRow]) -> dict[str, Any]:
    zone = call.deps.zone
    # A paused DAG has no next start either, because the firing loop removes it; a pause of everything leaves it.
    paused = any(each.scope == "global" for each in pauses)
    return json_values.sparse(
        nextRun="" if paused else json_values.timestamp(dag.next_start_at, zone),
        waitingFor=dag_reason(dag, pauses, zone),
    )


def _latest_details(call: Call, dag_name: str, model: Model) -> dict[str, Any]:
    newest = call.deps.reads.latest_runs([dag_name]).get(dag_name)
    run = call.deps.reads.run(dag_name, newest.dag_run_id) if newest else None
    if run is None:
        return run_json.synthetic_details(model)
    return run_details(call.deps, run, call.now)
