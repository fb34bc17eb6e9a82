"""``dagway run --dry`` and ``dagway dry``: what a run would do."""

from pathlib import Path

import click

from services.cli.help_pages import PageCommand
from services.cli.output.plan_page import plan_json, plan_lines
from services.cli.output.terminal import echo_json
from services.cli.paths import WorkflowFile
from services.cli.remote.dagu_flags import PARAMS_ARGUMENT, PARAMS_OPTION, QUIET, dagu_flags, params_text

__all__ = ["dry_command", "print_plan"]


@click.command("dry", cls=PageCommand, examples="\ndagway dry hello.yaml -- NAME=Ada\n")
@click.argument("file", type=WorkflowFile(on_server="plan"))
@PARAMS_ARGUMENT
@PARAMS_OPTION
@click.option("-N", "--name", default="", help="name of the DAG, instead of that of the file")
@QUIET
@click.option("--json", "in_json", is_flag=True, help="print JSON")
@dagu_flags
def dry_command(
    *, file: Path, params: tuple[str, ...], params_option: str, name: str, quiet: bool, in_json: bool
) -> None:
    """Show what a run of a workflow file would do.

    Lists the steps by stages: steps of one stage may run at the same time. Runs nothing. Exits with 1 if the file has
    errors.
    """
    print_plan(file, params_text(params, params_option), name=name, quiet=quiet, in_json=in_json)


def print_plan(file: Path, params: str, *, name: str, quiet: bool, in_json: bool) -> None:
    """Print the plan of a workflow file. Raises ``WorkflowInvalid``."""
    from services.cli.local.bundle import read_bundle  # noqa: PLC0415 - not for the help page

    bundle = read_bundle(file, name=name)
    if in_json:
        echo_json(plan_json(bundle.dags, params))
        return
    for line in () if quiet else plan_lines(bundle.dags, params):
        click.echo(line)
