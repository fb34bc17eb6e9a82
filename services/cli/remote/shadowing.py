"""``dagway shadow``: beside a live Dagu, compares what both do, and takes over one workflow after the other."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import click

from services.cli.exit_codes import FAILED
from services.cli.help_pages import PageCommand
from services.cli.output.terminal import JSON_OPTION, echo_json, echo_table, say, status_text
from services.cli.remote.connecting import authorization, with_gateway
from services.cli.remote.cutting_over import CutOver, Workflow, cut_over
from services.cli.remote.dagu_flags import dag_name
from services.cli.remote.gateway import Gateway, ServerConnection, path
from services.cli.remote.shadow_report import DagComparison, ScheduledTimes, compare_plans, compare_times
from shared.clock import local_zone
from shared.settings.config import environment, load_config

__all__ = ["shadow_command"]

_PAGE = 200
_PERIOD = timedelta(hours=12)
_EXAMPLES = """
dagway shadow --dagu http://old:8080                        compare all workflows
dagway shadow --dagu http://old:8080 report                 compare one, with all differences
dagway shadow --dagu http://old:8080 --cut-over report      suspend it there and run it here
"""


@click.command("shadow", cls=PageCommand, examples=_EXAMPLES)
@click.argument("dags", nargs=-1, metavar="[DAG]...")
@click.option("--dagu", required=True, help="URL of the server with Dagu's REST API v2")
@click.option("--dagu-token", default="", envvar="DAGU_TOKEN", help="API key or token for it  [DAGU_TOKEN]")
@click.option("--dagu-username", default="", help="user for HTTP Basic there")
@click.option("--dagu-password", default="", envvar="DAGU_PASSWORD", help="its password  [DAGU_PASSWORD]")
@click.option("--hours", type=click.IntRange(1, 24 * 31), default=24, show_default=True, help="how far back to look")
@click.option("--cut-over", "take_over", is_flag=True, help="suspend the DAGs there, and run them here")
@JSON_OPTION
@with_gateway
def shadow_command(
    gateway: Gateway, *, dags: tuple[str, ...], dagu: str, dagu_token: str, dagu_username: str, dagu_password: str,
    hours: int, take_over: bool, in_json: bool,
) -> None:  # fmt: skip
    """Compare with a live Dagu, and cut over.

    Reads the workflows of another server and asks this one how it would run them: whether they load, their steps and
    dependencies, and which runs there began at the times at which runs would begin here. Changes nothing on either.
    With `--cut-over`, moves the schedule of the given DAGs between two scheduled times: none is lost, and none runs on
    both. Runs that are running there end there. Exits with 1 if a workflow is refused or could not be cut over.
    """
    if take_over and not dags:
        raise click.UsageError("--cut-over needs the names of the DAGs")
    credentials = authorization(dagu_token, dagu_username, dagu_password)
    there = Gateway(_dagu_at(dagu, credentials))
    wanted = {dag_name(each) for each in dags}
    found = [each for each in _dags_of(there) if not wanted or dag_name(each["fileName"]) in wanted]
    if missing := sorted(wanted - {dag_name(each["fileName"]) for each in found}):
        raise click.UsageError(f"the server at {dagu} has no DAG {', '.join(missing)}")
    zone = local_zone(load_config({}, environment(), terminal=False).tz)
    comparisons, cuts = [], []
    for each in found:
        comparison, workflow = _compared(there, gateway, each, hours, zone)
        comparisons.append(comparison)
        if take_over and not comparison.errors:
            cuts.append(cut_over(there, gateway, workflow))
    _report(comparisons, cuts, in_json=in_json, details=bool(wanted))
    refused = any(each.errors for each in comparisons) or not all(each.done for each in cuts)
    sys.exit(FAILED if refused else 0)


def _dagu_at(url: str, credentials: str) -> ServerConnection:
    if not url.startswith(("http://", "https://")):
        raise click.UsageError(f"--dagu: {url!r} is not a URL that begins with http:// or https://")
    return ServerConnection(
        url.rstrip("/"),
        credentials,
        source="--dagu",
        name="the Dagu server",
        to_reach="give the URL of a running Dagu by --dagu",
        to_log_in="give a token by --dagu-token or DAGU_TOKEN, or a user by --dagu-username",
    )


def _dags_of(there: Gateway) -> Iterator[dict[str, Any]]:
    page: int | None = 1
    while page:
        answer = there.get("/dags", page=page, perPage=_PAGE)
        yield from answer["dags"]
        following = answer["pagination"].get("nextPage") or 0
        page = following if following > page else None


def _compared(
    there: Gateway, here: Gateway, listed: dict[str, Any], hours: int, zone: tzinfo
) -> tuple[DagComparison, Workflow]:
    name = dag_name(listed["fileName"])
    written = there.get(path("dags", name, "spec"))
    text = str(written["spec"])
    checked = here.post("/dags/validate", {"name": name, "spec": text})
    mine = checked["dag"]
    expressions = [str(each["expression"]) for each in mine.get("schedule") or ()]
    workflow = Workflow(name, text, expressions, zone, suspended=bool(listed.get("suspended")))
    if not checked["valid"]:
        return DagComparison(name, workflow.suspended, errors=tuple(map(str, checked["errors"]))), workflow
    until = datetime.now(UTC)
    after = until - timedelta(hours=hours)
    run_name = str((written.get("dag") or {}).get("name") or name)
    times = ScheduledTimes()
    if expressions:
        times = compare_times(expressions, _runs(there, run_name, after, until), after=after, until=until, tz=zone)
    differences = compare_plans(written.get("dag") or {}, mine)
    return DagComparison(name, workflow.suspended, (), differences, times), workflow


def _runs(there: Gateway, name: str, after: datetime, until: datetime) -> list[dict[str, Any]]:
    """Return the runs of a period. An answer has at most 1000, and a schedule at most one run a minute."""
    found: dict[str, dict[str, Any]] = {}
    while after < until:
        upto = min(after + _PERIOD, until)
        answer = there.get(path("dag-runs", name), fromDate=int(after.timestamp()), toDate=int(upto.timestamp()))
        found |= {str(run["dagRunId"]): run for run in answer.get("dagRuns") or []}
        after = upto
    return list(found.values())


def _report(comparisons: list[DagComparison], cuts: list[CutOver], *, in_json: bool, details: bool) -> None:
    if in_json:
        echo_json(
            {
                "dags": [each.as_json() for each in comparisons],
                "cutOver": [
                    {
                        "name": each.name,
                        "done": each.done,
                        "why": each.why,
                        "already": each.already,
                        "suspended": each.suspended,
                        "inDoubt": list(each.in_doubt),
                    }
                    for each in cuts
                ],
            }
        )
        return
    rows = [
        (
            each.name + (" (suspended)" if each.suspended else ""),
            status_text(each.result),
            f"{each.times.matched} of {each.times.matched + len(each.times.without_run)}",
            str(len(each.times.other_runs)),
            (each.errors or each.differences or ("",))[0],
        )
        for each in comparisons
    ]
    echo_table(("DAG", "RESULT", "TIMES WITH A RUN", "OTHER RUNS", "FIRST DIFFERENCE"), rows, empty="no DAGs")
    for each in comparisons if details else ():
        for line in (*each.errors, *each.differences, *(f"no run at {slot}" for slot in each.times.without_run)):
            say(f"{each.name}: {line}")
    for cut in cuts:
        say(f"{cut.name}: {_became(cut)}")
        for slot in cut.in_doubt:
            say(f"{cut.name}: {slot} passed meanwhile; see whether a run began, and start one if not")


def _became(cut: CutOver) -> str:
    if not cut.done:
        return f"not cut over: {cut.why}"
    if cut.already:
        if cut.suspended:
            return (
                f"is here already, and suspended on both servers: dagway resume {cut.name} lets its schedule go on here"
            )
        return "is here already and suspended there; nothing was changed"
    return "is here now, suspended as it was there" if cut.suspended else "runs here now"
