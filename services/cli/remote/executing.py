"""``dagway exec``: one command as a DAG run."""

import json
import re
import shlex
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from services.cli.help_pages import PageCommand
from services.cli.output.harmless import StepColours
from services.cli.output.terminal import JSON_OPTION, echo_output
from services.cli.paths import read_text
from services.cli.remote.connecting import with_gateway
from services.cli.remote.dagu_flags import QUIET, RUN_ID, dagu_flags
from services.cli.remote.following import end_with_result, wait_for_end
from services.cli.remote.gateway import Gateway, path
from services.cli.remote.logs import follow_logs

__all__ = ["exec_command", "name_for"]

_EXAMPLES = """
dagway exec -- echo "hello world"
dagway exec --env FOO=bar -- sh -c 'echo $FOO'
dagway exec --worker-label role=batch -- python remote_script.py
"""


def spec_of(
    command: tuple[str, ...],
    *,
    base: Mapping[str, Any],
    env: tuple[str, ...],
    dotenv: tuple[str, ...],
    shell: str,
    workdir: str,
    labels: tuple[str, ...],
) -> str:
    """Return the spec of a DAG with one step, ``main``. JSON is YAML too.

    ``base``: fields of the DAG for what is not given; its ``env`` comes before the other variables.
    """
    line = command[0] if len(command) == 1 else shlex.join(command)
    step: dict[str, Any] = {"name": "main", "command": line}
    if shell:
        step["shell"] = shell
    spec: dict[str, Any] = {**base, "steps": [step]}
    if env:
        spec["env"] = [*_as_list(spec.get("env")), *(dict([each.split("=", 1)]) for each in env)]
    if dotenv:
        spec["dotenv"] = list(dotenv)
    if workdir:
        spec["workingDir"] = workdir
    if labels:
        spec["workerSelector"] = dict(each.split("=", 1) for each in labels)
    return json.dumps(spec, ensure_ascii=False)


def name_for(command: str) -> str:
    """Return the name that Dagu gives to a run of ``command``, with which scripts ask for its status."""
    return f"exec-{re.sub(r'[^A-Za-z0-9_-]', '_', Path(command).name or '/')}"[:40]


def _as_list(env: Any) -> list[Any]:
    """Return variables, which may be a map or a list, as a list."""
    return [{name: value} for name, value in env.items()] if isinstance(env, dict) else list(env or ())


def _base(_context: click.Context, _option: click.Parameter, value: str) -> dict[str, Any]:
    if not value:
        return {}
    try:
        text = read_text(Path(value))
    except OSError as error:
        raise click.BadParameter(f"{value}: cannot read the file: {error.strerror}") from error
    # Not for the help page: the reader of YAML takes a tenth of a second.
    from shared.language.issues import Issues, TooManyIssues  # noqa: PLC0415
    from shared.language.yaml.reader import read_yaml  # noqa: PLC0415

    issues, documents = Issues(), []
    with suppress(TooManyIssues):
        documents = read_yaml(text, issues)
    if errors := [str(issue) for issue in issues.found if issue.severity == "error"]:
        raise click.BadParameter(f"{value}: {'; '.join(errors)}")
    if not documents:
        return {}
    found = documents[0].value
    if len(documents) > 1 or not isinstance(found, dict):
        raise click.BadParameter(f"{value}: must be one map of the fields of a workflow")
    if not isinstance(found.get("env"), dict | list | None):
        raise click.BadParameter(f"{value}: env: must be a map or a list")
    return found


def _pairs(_context: click.Context, _option: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    for each in value:
        if "=" not in each.lstrip("="):
            raise click.BadParameter(f"{each!r} is not KEY=VALUE")
    return value


@click.command("exec", cls=PageCommand, examples=_EXAMPLES)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("-E", "--env", multiple=True, metavar="KEY=VALUE", callback=_pairs, help="variable; may be repeated")
@click.option("--dotenv", multiple=True, help="dotenv file on the worker; may be repeated")
@click.option("--base", metavar="FILE", default="", callback=_base, help="file on this machine with fields for the DAG")
@click.option("-N", "--name", default="", help="name of the DAG  [exec-COMMAND]")
@RUN_ID
@click.option("--shell", default="", help="shell that runs the command")
@click.option(
    "--workdir", default="", help="working directory on the worker, made if missing  [a new folder of the run]"
)
@click.option(
    "--worker-label",
    "labels",
    multiple=True,
    metavar="KEY=VALUE",
    callback=_pairs,
    help="run on a worker with this label",
)
@QUIET
@JSON_OPTION
@dagu_flags
@with_gateway
def exec_command(
    gateway: Gateway,
    *,
    command: tuple[str, ...],
    env: tuple[str, ...],
    dotenv: tuple[str, ...],
    base: dict[str, Any],
    name: str,
    run_id: str,
    shell: str,
    workdir: str,
    labels: tuple[str, ...],
    quiet: bool,
    in_json: bool,
) -> None:
    """Run one command as a DAG run.

    The command runs on a worker of the server. Its output is kept as that of the step `main`. A single argument is a
    line for the shell, as in Dagu: `dagway exec -- 'ls | wc -l'`.
    """
    name = name or name_for(command[0])
    spec = spec_of(command, base=base, env=env, dotenv=dotenv, shell=shell, workdir=workdir, labels=labels)
    answer = gateway.post("/dag-runs", {"spec": spec, "name": name, "dagRunId": run_id})
    run = wait_for_end(gateway, name, answer["dagRunId"], quiet=quiet or in_json)
    if not in_json and not quiet:
        colours = StepColours()
        for line in follow_logs(gateway, path("dag-runs", name, run["dagRunId"]), step="main", until_end=True):
            echo_output(line.text, colours=colours.before(line), err=line.stream == "stderr")
    end_with_result(gateway, run, quiet=True, in_json=in_json)
