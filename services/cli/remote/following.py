"""Follows one run until it ends, and shows it meanwhile."""

import shlex
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from services.cli.errors import GatewayError
from services.cli.exit_codes import FAILED, INTERRUPTED
from services.cli.interrupts import interruptible
from services.cli.output.run_page import failed_steps, run_lines
from services.cli.output.terminal import echo, echo_json, echo_output, on_terminal, paint, say
from services.cli.remote.event_stream import follow
from services.cli.remote.gateway import Gateway, path
from services.cli.remote.patience import Patience
from services.cli.remote.waiting_steps import waiting_steps

__all__ = [
    "ACTIVE",
    "details",
    "end_with_result",
    "exit_code",
    "follow_run",
    "last_event",
    "last_lines",
    "print_id",
    "print_run",
    "say_change",
    "show_live",
    "wait_for_end",
]

Run = dict[str, Any]
ACTIVE = frozenset({"queued", "running", "waiting"})
"""The statuses of runs that have not ended."""
_GOES_ON = ACTIVE - {"waiting"} | {"not_started"}
_FAILED = frozenset({"failed", "partially_succeeded", "rejected"})
_LAST_LINES = 10
_SHOWN_FAILURES = 5


def exit_code(run: Run, *, strict: bool = False) -> int:
    """Return the exit code for the status of a run.

    As in Dagu, a run that was stopped, whose preconditions are not met or that waits for approval has not failed.
    ``strict``: only ``succeeded`` is a success.
    """
    status = run["statusLabel"]
    return FAILED * (status != "succeeded" if strict else status in _FAILED)


def print_id(answer: dict[str, Any], name: str, *, quiet: bool, in_json: bool) -> None:
    """Print the id of a run whose end nobody waits for: the answer itself if ``in_json``."""
    if in_json:
        echo_json(answer)
    elif not quiet:
        echo(answer["dagRunId"])
        say(f"follow it with: dagway watch {name} {answer['dagRunId']}")


def details(gateway: Gateway, name: str, run_id: str) -> Run:
    """Return the details of a run."""
    found: Run = gateway.get(path("dag-runs", name, run_id))["dagRunDetails"]
    return found


def follow_run(
    gateway: Gateway,
    name: str,
    run_id: str,
    *,
    on_change: Callable[[dict[str, Any]], None] | None = None,
    last_id: str = "",
) -> Iterator[Run]:
    """Yield the details of a run now and after changes, until it has ended or waits for approval.

    With ``on_change``, each change is passed to it instead, after the event ``last_id``, and details are yielded only
    for changes of the run itself: a run may have thousands of steps.
    """
    patience = Patience()
    run = patience.insist(lambda: details(gateway, name, run_id))
    yield run
    if on_change is None and run["statusLabel"] not in _GOES_ON:
        return
    run_id = run["dagRunId"]
    for event in follow(gateway, f"{path('dag-runs', name, run_id)}/events", last_id=last_id, patience=patience):
        if on_change is not None:
            on_change(event.data)
            if event.data.get("stepName"):
                continue
        run = patience.insist(lambda: details(gateway, name, run_id))
        yield run
        # An event may tell of an earlier end, before a retry, or of an earlier wait.
        if run["statusLabel"] not in _GOES_ON and (on_change is None or event.data["became"] == run["statusLabel"]):
            return


def last_event(gateway: Gateway, name: str, run_id: str) -> str:
    """Return the id of the last event of a run that has ended."""
    last = ""
    for event in follow(gateway, f"{path('dag-runs', name, run_id)}/events"):
        last = event.id
    return last


def wait_for_end(gateway: Gateway, name: str, run_id: str, *, quiet: bool, last_id: str = "") -> Run:
    """Wait until a run has ended or waits for approval, and return its details.

    Meanwhile show it, unless ``quiet``: on a terminal as lines that change, else by a line on stderr for each change
    after the event ``last_id``. Ctrl-C or SIGTERM stops the run, waits until it has ended, and ends the process.
    """
    try:
        with interruptible():
            if on_terminal() and not quiet:
                return show_live(follow_run(gateway, name, run_id))
            return _last(follow_run(gateway, name, run_id, on_change=_ignore if quiet else say_change, last_id=last_id))
    except KeyboardInterrupt:
        say(f"stopping {name}, run {run_id}; Ctrl-C again leaves it alone")
        try:
            gateway.post(f"{path('dag-runs', name, run_id)}/stop")
        except GatewayError as error:
            if error.error_code != "not_running":
                raise
        _last(follow_run(gateway, name, run_id))
        sys.exit(INTERRUPTED)


def show_live(runs: Iterator[Run]) -> Run:
    """Draw the states of a run on the terminal, and return the last one."""
    from services.cli.output.live import LiveLines  # noqa: PLC0415 - rich takes 0.1 s to import

    shown = [next(runs)]
    with LiveLines(lambda: run_lines(shown[-1], datetime.now(UTC), paint)):
        for run in runs:
            shown[:] = [run]
    return shown[-1]


def _last(runs: Iterator[Run]) -> Run:
    *_, last = runs
    return last


def _ignore(_change: dict[str, Any]) -> None:
    pass


def say_change(change: dict[str, Any]) -> None:
    """Print a change of a run or a step to stderr."""
    what = f"step {change['stepName']}" if change.get("stepName") else "run"
    why = f": {change['why']}" if change.get("why") else ""
    echo(f"{change['at']} {what} {change['became']}{why}".replace("\n", " "), err=True)


def print_run(run: Run) -> None:
    """Print a run and its steps."""
    for line in run_lines(run, datetime.now(UTC), paint):
        echo(line)


def last_lines(gateway: Gateway, run: Run) -> Iterator[str]:
    """Yield the last lines that the failed steps of a run wrote, stderr if there is any."""
    for node in failed_steps(run)[:_SHOWN_FAILURES]:
        step = node["step"]["name"]
        log = f"{path('dag-runs', run['name'], run['dagRunId'], 'steps', step)}/log"
        for stream in ("stderr", "stdout"):
            content = gateway.get(log, stream=stream, tail=_LAST_LINES)["content"]
            if content:
                yield f"--- {stream} of {step}, its last lines ---"
                yield from content.split("\n")
                break


def end_with_result(gateway: Gateway, run: Run, *, quiet: bool, in_json: bool, strict: bool = False) -> None:
    """Print the result of a run that was shown until now, and exit with its code."""
    if in_json:
        echo_json(run)
    elif not quiet:
        if not on_terminal():  # where its lines are already
            print_run(run)
        patience = Patience()
        for line in patience.insist(lambda: list(last_lines(gateway, run))):
            echo_output(line)
        if any(node["statusLabel"] == "waiting" for node in run["nodes"]):
            steps = patience.insist(lambda: waiting_steps(gateway, run["name"]))
            for each in (step for step in steps if step.run_id == run["dagRunId"]):
                inputs = "" if each.sub_run_id else _required_inputs(run, each.step)
                say(f"to go on: dagway approve {run['name']} {each} --run-id {run['dagRunId']}{inputs}")
    sys.exit(exit_code(run, strict=strict))


def _required_inputs(run: Run, name: str) -> str:
    """Return the options for the inputs that an approval of this step must give, as a shell takes them."""
    steps = (node["step"] for node in run["nodes"])
    config: Run = next((step["executorConfig"]["config"] for step in steps if step["name"] == name), {})
    required = config.get("required") or []
    names = [required] if isinstance(required, str) else required
    return "".join(f" --input {shlex.quote(f'{each}=VALUE')}" for each in names)
