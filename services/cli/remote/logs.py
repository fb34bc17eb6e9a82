"""``dagway logs``: the output of steps, once or as it is written."""

import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import click

from services.cli.errors import GatewayError
from services.cli.help_pages import PageCommand
from services.cli.log_tail import LogLine, LogTail
from services.cli.output.harmless import StepColours
from services.cli.output.run_page import nodes_of
from services.cli.output.terminal import JSON_OPTION, echo_line_json, echo_output
from services.cli.remote.connecting import with_gateway
from services.cli.remote.dagu_flags import RUN_ID
from services.cli.remote.following import details
from services.cli.remote.gateway import Gateway, path
from services.cli.remote.names import DAG_ARGUMENT, LATEST, name_on_server
from services.cli.remote.patience import Patience

__all__ = ["follow_logs", "logs_command"]

_PAGE = 5_000
_POLL_S = 0.4
_NOT_ENDED = frozenset({"running", "queued", "not_started", "waiting"})
_EXAMPLES = """
dagway logs report                    the output of all steps of the newest run
dagway logs report load --tail 50     the last lines of one step
dagway logs report -f                 follow a run until it ends
dagway logs report load --from-line 120 -f    go on where you stopped
"""


class JsonSource(Protocol):
    """What ``follow_logs`` reads from: ``Gateway``."""

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON of a resource."""


def follow_logs(
    gateway: JsonSource,
    run_url: str,
    *,
    step: str,
    streams: tuple[str, ...] = ("stdout", "stderr"),
    from_line: int = 1,
    until_end: bool,
    patience: Patience | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[LogLine]:
    """Yield the lines of a run's steps, or of one step; with ``until_end``, until the run has ended.

    If the gateway goes away meanwhile, it is asked again as long as ``patience`` allows, and no line is lost or comes
    twice.
    """
    tails: dict[tuple[str, str], LogTail] = {}
    patience = patience or Patience()
    while True:
        try:
            run = gateway.get(run_url)["dagRunDetails"]
            silent = True
            ended = not until_end or run["statusLabel"] not in _NOT_ENDED
            for name, stream in _written(run, step, streams):
                if (name, stream) not in tails:
                    pages = _pages(gateway, f"{run_url}{path('steps', name)}/log", stream)
                    tails[name, stream] = LogTail(pages, name, stream, from_line)
                for line in tails[name, stream].read(ended=not until_end):
                    silent = False
                    yield line
            patience.found()
            if ended and (silent or not until_end):
                # Output may arrive after the end of its step, so the last line counts as complete only now.
                for tail in tails.values():
                    yield from tail.read(ended=True)
                return
            pause(_POLL_S)
        except GatewayError as error:
            if not until_end:
                raise
            patience.lost(error)
            pause(1)


def _written(run: dict[str, Any], step: str, streams: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield step and stream of each log that the steps of a run, or one step, have begun to write."""
    for node in nodes_of(run):
        name = node["step"]["name"]
        if step in ("", name) and node["statusLabel"] != "not_started":
            for stream in streams if node["stdout"] != node["stderr"] else streams[:1]:  # both in one file
                yield name, stream


def _pages(gateway: JsonSource, url: str, stream: str) -> Callable[[int], Any]:
    return lambda first: gateway.get(url, stream=stream, offset=first, limit=_PAGE)


@click.command("logs", cls=PageCommand, examples=_EXAMPLES)
@DAG_ARGUMENT
@click.argument("step", default="")
@RUN_ID
@click.option("-f", "--follow", is_flag=True, help="go on until the run has ended, also after a lost connection")
@click.option("--stderr", "only", flag_value="stderr", help="only standard error")
@click.option("--stdout", "only", flag_value="stdout", help="only standard output")
@click.option("--tail", type=click.IntRange(1, 10_000), help="how many lines of each step and stream, from its end")
@click.option("--from-line", type=click.IntRange(1), default=1, help="begin with this line of each step and stream")
@JSON_OPTION
@with_gateway
def logs_command(
    gateway: Gateway,
    *,
    dag: str,
    step: str,
    run_id: str,
    follow: bool,
    only: str | None,
    tail: int | None,
    from_line: int,
    in_json: bool,
) -> None:
    """Print the output of steps.

    Without STEP, of all steps, each line after the name of its step. With --json, each line is one JSON object.
    """
    if tail and (follow or from_line > 1):
        raise click.UsageError("--tail cannot be combined with --follow or --from-line")
    name = name_on_server(gateway, dag)
    run = details(gateway, name, run_id or LATEST)
    names = [node["step"]["name"] for node in nodes_of(run)]
    if step and step not in names:
        raise GatewayError(f"{name}/{run['dagRunId']} has no step {step!r}; its steps: {', '.join(names)}")
    url = path("dag-runs", name, run["dagRunId"])
    streams = (only,) if only else ("stdout", "stderr")
    if tail:
        lines = _tails(gateway, url, [step] if step else names, streams, tail)
    else:
        lines = follow_logs(gateway, url, step=step, streams=streams, from_line=from_line, until_end=follow)
    width, colours = max(map(len, names), default=0), StepColours()
    for line in lines:
        if in_json:
            echo_line_json({"step": line.step, "stream": line.stream, "line": line.number, "text": line.text})
        else:
            head = "" if step else f"{line.step:{width}} | "
            echo_output(line.text, head=head, colours=colours.before(line))


def _tails(gateway: Gateway, url: str, steps: list[str], streams: tuple[str, ...], count: int) -> Iterator[LogLine]:
    for step in steps:
        for stream in streams:
            page = gateway.get(f"{url}{path('steps', step)}/log", stream=stream, tail=count)
            first = page["totalLines"] - page["lineCount"] + 1
            for number, text in enumerate(page["content"].split("\n") if page["lineCount"] else (), start=first):
                yield LogLine(step, stream, number, text)
