"""``dagway start`` and ``dagway enqueue``: runs of DAGs on the server, or of files of this machine."""

from pathlib import Path
from typing import Any

import click

from services.cli.help_pages import PageCommand
from services.cli.output.terminal import JSON_OPTION, say
from services.cli.paths import is_file, read_text
from services.cli.remote.connecting import with_gateway
from services.cli.remote.dagu_flags import (
    PARAMS_ARGUMENT,
    PARAMS_OPTION,
    QUIET,
    RUN_ID,
    dag_name,
    dagu_flags,
    params_text,
)
from services.cli.remote.following import end_with_result, print_id, wait_for_end
from services.cli.remote.gateway import Gateway, path
from services.cli.remote.names import name_on_server
from shared.errors import ConfigInvalid

__all__ = ["enqueue_command", "start_command"]

_START_EXAMPLES = """
dagway start hello -- NAME=Ada             start the DAG hello and wait for its end
dagway start ./hello.yaml                  send a file of this machine, which the server does not keep
dagway start -q hello && echo well done    in a script: the exit code is the result
dagway start --detach hello                do not wait: print the id of the run
"""
_ENQUEUE_EXAMPLES = """
dagway enqueue --run-id=nightly-7 report -- DAY=monday
dagway enqueue --queue heavy report
"""


def request_of(dag: str, name: str, run_id: str, params: str, *, quiet: bool = False) -> tuple[str, dict[str, Any]]:
    """Return the path without its last part, and the body of the request.

    If ``dag`` is a file, its text is sent; else it names a DAG on the server. If it looks like a file that is missing,
    this is said on stderr, unless ``quiet``.

    Raises:
        ConfigInvalid: the file cannot be read, or is missing from another folder. The DAG of the server may be another.
    """
    file = Path(dag)
    if not is_file(file):
        if file.name != str(file):
            raise ConfigInvalid(f"there is no file {dag} here; for a DAG of the server, give only its name")
        if dag_name(dag) != dag and not quiet:
            say(f"there is no file {dag} here: taking the DAG {dag_name(dag)} of the server")
        return path("dags", dag_name(dag)), {"params": params, "dagRunId": run_id, "dagName": name}
    try:
        spec = read_text(file)
    except OSError as error:
        raise ConfigInvalid(f"{file}: cannot read the file: {error.strerror}") from error
    return "/dag-runs", {"spec": spec, "name": name or _name_in(spec, file), "params": params, "dagRunId": run_id}


def _name_in(spec: str, file: Path) -> str:
    """Return the name of the DAG in a file: its field ``name`` or else, also if it has errors, that of the file."""
    from shared.language.load import load  # noqa: PLC0415 - a DAG of the server does not need it

    documents = load(spec, file_name=file.stem).documents
    return documents[0].name if documents else file.stem


@click.command("start", cls=PageCommand, examples=_START_EXAMPLES)
@click.argument("dag", metavar="DAG|FILE")
@PARAMS_ARGUMENT
@PARAMS_OPTION
@RUN_ID
@click.option("-N", "--name", default="", help="name of the run's DAG, instead of that of the file")
@click.option("--from-run-id", default="", help="start again with the spec and parameters of this earlier run")
@click.option("-d", "--detach", is_flag=True, help="do not wait for the end; print the id of the run")
@click.option("--strict", is_flag=True, help="exit with 0 only if the run succeeded, not if it was stopped or waits")
@QUIET
@JSON_OPTION
@dagu_flags
@with_gateway
def start_command(
    gateway: Gateway,
    *,
    dag: str,
    params: tuple[str, ...],
    params_option: str,
    run_id: str,
    name: str,
    from_run_id: str,
    detach: bool,
    strict: bool,
    quiet: bool,
    in_json: bool,
) -> None:
    """Start a run and wait until it ends.

    DAG is the name of a DAG on the server; FILE is a file here, whose text is sent. Its steps run in a new folder on a
    worker, unless it says `workingDir`. If there is no such file, and FILE names no folder, the DAG of that name
    starts, as in Dagu. Parameters come after `--`, as KEY=VALUE or by position. Ctrl-C stops the run.
    """
    if from_run_id:
        if params or params_option:
            raise click.UsageError("a run from --from-run-id has the parameters of that run: leave out parameters")
        earlier = f"{path('dag-runs', name_on_server(gateway, dag), from_run_id)}/reschedule"
        answer = gateway.post(earlier, {"dagRunId": run_id, "dagName": name})
        started = name or name_on_server(gateway, dag)
    else:
        where, body = request_of(dag, name, run_id, params_text(params, params_option), quiet=quiet)
        answer = gateway.post(where if where == "/dag-runs" else f"{where}/start", body)
        started = name or body.get("name") or name_on_server(gateway, dag)
    if detach:
        print_id(answer, started, quiet=quiet, in_json=in_json)
        return
    run = wait_for_end(gateway, started, answer["dagRunId"], quiet=quiet or in_json)
    end_with_result(gateway, run, quiet=quiet, in_json=in_json, strict=strict)


@click.command("enqueue", cls=PageCommand, examples=_ENQUEUE_EXAMPLES)
@click.argument("dag", metavar="DAG|FILE")
@PARAMS_ARGUMENT
@PARAMS_OPTION
@RUN_ID
@click.option("-N", "--name", default="", help="name of the run's DAG, instead of that of the file")
@click.option("-u", "--queue", default="", help="queue, instead of that of the DAG")
@click.option("--priority", type=click.Choice(["low", "high"]), default="low", show_default=True)
@QUIET
@JSON_OPTION
@dagu_flags
@with_gateway
def enqueue_command(
    gateway: Gateway,
    *,
    dag: str,
    params: tuple[str, ...],
    params_option: str,
    run_id: str,
    name: str,
    queue: str,
    priority: str,
    quiet: bool,
    in_json: bool,
) -> None:
    """Queue a run.

    It starts when its queue has room. Prints the id of the run.
    """
    where, body = request_of(dag, name, run_id, params_text(params, params_option), quiet=quiet)
    answer = gateway.post(f"{where}/enqueue", {**body, "queue": queue, "priority": priority})
    print_id(answer, name or body.get("name") or dag_name(dag), quiet=quiet, in_json=in_json)
