"""``dagway suspend``, ``pause``, ``resume`` and ``slots``: what starts runs by itself, and what holds them up."""

import click

from services.cli.help_pages import PageCommand
from services.cli.output.terminal import JSON_OPTION, echo_answer, echo_json, echo_list, echo_table, say, status_text
from services.cli.output.times import short_time
from services.cli.remote.connecting import with_gateway
from services.cli.remote.dagu_flags import QUIET, dag_name
from services.cli.remote.gateway import Gateway, path
from services.cli.remote.names import DAG_ARGUMENT

__all__ = ["pause_command", "resume_command", "slots_command", "suspend_command"]

_PAUSE_EXAMPLES = """
dagway pause report --reason "database moves"    a DAG
dagway pause --queue heavy                       a queue
dagway pause --all                               everything
dagway pause                                     list the pauses
"""
_RESUME_EXAMPLES = """
dagway resume report                    switch the schedule on again and end the pause of the DAG
dagway resume report --catchup all      and start what was missed during the pause
dagway resume --queue heavy
dagway resume --all
"""
_QUEUE = click.option("--queue", default="", help="a queue, instead of a DAG")
_ALL = click.option("--all", "everything", is_flag=True, help="everything, instead of a DAG")


@click.command("suspend", cls=PageCommand, examples="\ndagway suspend report\n")
@DAG_ARGUMENT
@QUIET
@JSON_OPTION
@with_gateway
def suspend_command(gateway: Gateway, *, dag: str, quiet: bool, in_json: bool) -> None:
    """Switch off the schedule of a DAG.

    Its scheduled times are skipped, and not caught up later. Queued runs still start.
    """
    gateway.post(f"{path('dags', dag_name(dag))}/suspend", {"suspend": True})
    echo_answer({"suspended": True}, f"the schedule of {dag_name(dag)} is off", quiet=quiet, in_json=in_json)


@click.command("pause", cls=PageCommand, examples=_PAUSE_EXAMPLES)
@click.argument("dag", default="")
@_QUEUE
@_ALL
@click.option("--reason", default="", help="why: everyone who waits sees it")
@QUIET
@JSON_OPTION
@with_gateway
def pause_command(
    gateway: Gateway, *, dag: str, queue: str, everything: bool, reason: str, quiet: bool, in_json: bool
) -> None:
    """Pause a DAG, a queue, or everything.

    Until `dagway resume`, none of its queued and scheduled runs start; running runs continue. Without DAG and without
    options, list the pauses.
    """
    if not (dag or queue or everything):
        _list_pauses(gateway, in_json=in_json)
        return
    where, what = _scope(dag, queue, everything=everything)
    answer = gateway.post(f"{where}/pause", {"reason": reason})
    echo_answer(answer, f"{what} is paused", quiet=quiet, in_json=in_json)


@click.command("resume", cls=PageCommand, examples=_RESUME_EXAMPLES)
@click.argument("dag", default="")
@_QUEUE
@_ALL
@click.option(
    "--catchup",
    type=click.Choice(["none", "latest", "all"]),
    help="which runs missed during the pause to start  [as the DAG says]",
)
@QUIET
@JSON_OPTION
@with_gateway
def resume_command(
    gateway: Gateway, *, dag: str, queue: str, everything: bool, catchup: str | None, quiet: bool, in_json: bool
) -> None:
    """Switch the schedule of a DAG on again, or end a pause.

    For a DAG, undoes `dagway suspend` and `dagway pause`.
    """
    where, what = _scope(dag, queue, everything=everything)
    if dag:
        gateway.post(f"{where}/suspend", {"suspend": False})
    answer = {"paused": False}
    if not dag or any(
        each["scope"] == "dag" and each["name"] == dag_name(dag) for each in gateway.get("/pauses")["pauses"]
    ):
        answer = gateway.post(f"{where}/resume", {"catchup": catchup} if catchup else {})
    echo_answer(answer, f"{what} is resumed", quiet=quiet, in_json=in_json)


def _scope(dag: str, queue: str, *, everything: bool) -> tuple[str, str]:
    if bool(dag) + bool(queue) + everything != 1:
        raise click.UsageError("give one of: DAG, --queue, --all")
    if dag:
        return path("dags", dag_name(dag)), dag_name(dag)
    return (path("queues", queue), f"queue {queue}") if queue else ("", "everything")


def _list_pauses(gateway: Gateway, *, in_json: bool) -> None:
    answer = gateway.get("/pauses")
    rows = (
        (
            f"{each['scope']} {each['name']}".strip(),
            each["state"],
            str(each["inFlight"]),
            short_time(each["pausedAt"]),
            each["pausedBy"],
            each["reason"],
        )
        for each in answer["pauses"]
    )
    head = ("PAUSED", "STATE", "RUNNING", "SINCE", "BY", "REASON")
    echo_list(answer, head, rows, empty="nothing is paused", in_json=in_json)


@click.command("slots", cls=PageCommand, examples="\ndagway slots report\ndagway slots --outcome missed\n")
@click.argument("dag", default="")
@click.option("--outcome", type=click.Choice(["fired", "skipped", "missed"]), help="only times with this outcome")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="how many times")
@JSON_OPTION
@with_gateway
def slots_command(gateway: Gateway, *, dag: str, outcome: str | None, limit: int, in_json: bool) -> None:
    """Show when a DAG was due, and what came of it.

    Without DAG, of all DAGs. The newest scheduled time first, each with the run that it started or the reason why it
    started none.
    """
    where = f"{path('dags', dag_name(dag))}/slots" if dag else "/slots"
    answer = gateway.get(where, outcome=outcome, limit=limit)
    if in_json:
        echo_json(answer)
        return
    rows = [
        (
            *(() if dag else (each["fileName"],)),
            short_time(each["slot"]) + (f" to {short_time(each['until'])}" if each.get("until") else ""),
            each["kind"],
            status_text(each["outcome"]),
            each.get("dagRunId", ""),
            each["reason"],
        )
        for each in answer["slots"]
    ]
    heads = ("TIME", "KIND", "OUTCOME", "RUN", "REASON")
    empty = "no scheduled time has passed yet"
    if dag and not answer["nextSlot"]:
        empty = f"no scheduled time has passed, and none is coming: dagway why {dag} says why"
    echo_table(heads if dag else ("DAG", *heads), rows, empty=empty)
    if dag and answer["nextSlot"]:
        say(f"next: {short_time(answer['nextSlot'])}")
