"""``dagway run --dry`` and ``dagway dry``: what a run would do."""

from collections.abc import Iterator
from pathlib import Path

import click

from services.cli.help_pages import PageCommand
from services.cli.output.tables import table
from services.cli.remote.dagu_flags import PARAMS_ARGUMENT, PARAMS_OPTION, QUIET, dagu_flags, params_text
from shared.language.expansion.params_syntax import params_text as shown_params
from shared.language.expansion.resolve import resolve_params
from shared.language.model import Dag, Step

__all__ = ["dry_command", "plan_lines", "print_plan"]


@click.command("dry", cls=PageCommand, examples="\ndagway dry hello.yaml -- NAME=Ada\n")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@PARAMS_ARGUMENT
@PARAMS_OPTION
@click.option("-N", "--name", default="", help="name of the DAG, instead of that of the file")
@QUIET
@dagu_flags
def dry_command(*, file: Path, params: tuple[str, ...], params_option: str, name: str, quiet: bool) -> None:
    """Show what a run of a workflow file would do.

    Lists the steps by stages: steps of one stage may run at the same time. Runs nothing. Exits with 1 if the file has
    errors.
    """
    print_plan(file, params_text(params, params_option), name=name, quiet=quiet)


def print_plan(file: Path, params: str, *, name: str = "", quiet: bool = False) -> None:
    """Print the plan of a workflow file. Raises ``WorkflowInvalid``."""
    from services.cli.local.bundle import read_bundle  # noqa: PLC0415 - not for the help page

    bundle = read_bundle(file, name=name)
    for line in () if quiet else plan_lines(bundle.dags, params):
        click.echo(line)


def plan_lines(dags: tuple[Dag, ...], params: str) -> Iterator[str]:
    """Yield the plan of the first DAG with these parameters, then of those that its steps call."""
    for position, dag in enumerate(dags):
        yield f"{dag.name}{f': {dag.description}' if dag.description else ''}"
        given = params if position == 0 else ""
        if pairs := resolve_params(dag, given)[0]:
            yield f"  params: {shown_params(pairs)}"
        if conditions := ", ".join(each.condition for each in dag.preconditions):
            yield f"  only if: {conditions}"
        stages = stages_of(dag)
        rows = [
            (str(stages[step.name]), step.name, ", ".join(step.depends), _what(step), _how(step))
            for step in sorted(dag.steps, key=lambda step: stages[step.name])
        ]
        rows += [("end", str(handler), "", _what(step), _how(step)) for handler, step in dag.handlers.items()]
        yield from (f"  {line}" for line in table(("STAGE", "STEP", "AFTER", "DOES", "NOTES"), rows))


def stages_of(dag: Dag) -> dict[str, int]:
    """Return for each step the length of the longest way to it, from 1. The steps of a checked DAG have no cycle."""
    names = {key: step.name for step in dag.steps for key in (step.name, step.id) if key}
    after = {step.name: [names.get(each, each) for each in step.depends] for step in dag.steps}
    stages: dict[str, int] = {}
    while len(stages) < len(after):
        ready = [
            name for name, before in after.items() if name not in stages and all(each in stages for each in before)
        ]
        for name in ready:
            stages[name] = 1 + max((stages[each] for each in after[name]), default=0)
    return stages


def _what(step: Step) -> str:
    if step.call:
        fan_out = " for each item" if step.parallel else ""
        return f"calls {step.call}{fan_out}{f' with {step.params}' if step.params else ''}"
    text = "; ".join(each.text for each in step.commands) or step.script.strip()
    first, *rest = text.split("\n")
    kind = f"[{step.type}] " if step.type and step.type not in ("command", "shell") else ""
    return f"{kind}{first}{' …' if rest else ''}"


def _how(step: Step) -> str:
    notes = []
    if step.preconditions:
        notes.append(f"only if {', '.join(each.condition for each in step.preconditions)}")
    if step.retry_policy is not None:
        notes.append(f"up to {step.retry_policy.limit} retries")
    if step.repeat_policy is not None:
        notes.append("repeats")
    if step.timeout_sec:
        notes.append(f"at most {step.timeout_sec:g} s")
    if step.output is not None:
        notes.append(f"output {step.output.name}")
    return "; ".join(notes)
