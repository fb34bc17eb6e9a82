"""The ``dagway`` command line: one command for each service, and commands for operators and authors of workflows."""

import logging
import signal
import sys
import threading
from collections.abc import Callable
from importlib.metadata import version as installed_version
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import click

from shared.config import OPTIONS, Config, environment, load_config, secret_variables
from shared.errors import ConfigInvalid, DagwayError

__all__ = ["main"]

_log = logging.getLogger(__name__)


def _service_options(service: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the options of all settings of a service to its command. All are optional."""
    return _options(*(option.field for option in OPTIONS if service in option.services))


def _options(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the options of these ``Config`` fields to a command. All options are optional."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        for option in reversed([option for option in OPTIONS if option.field in names]):
            hidden = option.field == "faults"
            text = f"{option.help}  [{option.env}]"
            function = click.option(option.flag, option.field, default=None, help=text, hidden=hidden)(function)
        return function

    return decorate


def _configure(service: str, given: dict[str, Any]) -> Config:
    from services.worker.process.hardening import harden  # noqa: PLC0415
    from shared.faults import arm  # noqa: PLC0415
    from shared.log import set_up_logging  # noqa: PLC0415

    config = load_config(given, environment(), terminal=sys.stderr.isatty())
    harden(secret_variables())
    set_up_logging(config.log_level, config.log_format, service)
    for line in config.from_dagu:
        _log.info("config.from_dagu", extra={"setting": line})
    arm(config.faults)
    return config


class _StopSignal:
    """Wraps an event that SIGINT, SIGTERM or the death of an essential thread sets."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.exit_code = 0
        # A signal handler interrupts the main thread anywhere. Setting an event there would deadlock if the main
        # thread, or the handler of an earlier signal, holds the event's lock. A SimpleQueue takes no lock.
        self._signals: SimpleQueue[int] = SimpleQueue()
        threading.Thread(target=self._wait_for_signal, name="signals", daemon=True).start()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _frame: self._signals.put(number))

    def _wait_for_signal(self) -> None:
        self._signals.get()
        self.event.set()

    def on_death(self) -> None:
        self.exit_code = 1
        self.event.set()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="dagway", message="%(version)s")
def cli() -> None:
    """Dagway: a workflow orchestrator with YAML workflows, on RabbitMQ and Postgres.

    Every option can also be set by the environment variable in brackets.
    """


@cli.command()
@_service_options("up")
def up(**given: Any) -> None:
    """Run all services in one process, on SQLite by default."""
    from services.processes.up import run_up  # noqa: PLC0415
    from services.worker.process.privileges import start_guardian  # noqa: PLC0415

    config = _configure("dagway", given)
    guardian = start_guardian(config)
    stop = _StopSignal()
    run_up(config, installed_version("dagway"), stop.event, stop.on_death, guardian=guardian, echo=click.echo)
    sys.exit(stop.exit_code)


@cli.command()
@_service_options("api")
def api(**given: Any) -> None:
    """Run an API gateway. It needs RabbitMQ and Postgres."""
    from services.api.serving.greenlets import become_green  # noqa: PLC0415

    become_green()
    from services.processes.api import run_api_process  # noqa: PLC0415

    run_api_process(_configure("api", given), installed_version("dagway"))


@cli.command()
@_service_options("scheduler")
def scheduler(**given: Any) -> None:
    """Run a scheduler. It needs RabbitMQ and Postgres."""
    from services.processes.scheduler import run_scheduler_process  # noqa: PLC0415

    config = _configure("scheduler", given)
    stop = _StopSignal()
    run_scheduler_process(config, installed_version("dagway"), stop.event, stop.on_death)
    sys.exit(stop.exit_code)


@cli.command()
@_service_options("worker")
def worker(**given: Any) -> None:
    """Run a worker. It needs RabbitMQ only, and refuses to start with a database URL."""
    from services.processes.worker import check_worker, run_worker_process  # noqa: PLC0415
    from services.worker.process.privileges import start_guardian  # noqa: PLC0415

    config = _configure("worker", given)
    check_worker(config)
    guardian = start_guardian(config)
    stop = _StopSignal()
    run_worker_process(config, installed_version("dagway"), stop.event, stop.on_death, guardian)
    sys.exit(stop.exit_code)


@cli.command()
@_options("data_dir", "database_url", "log_level", "log_format")
def migrate(**given: Any) -> None:
    """Create or upgrade the database schema."""
    from shared.store.migrate import migrate as migrate_database  # noqa: PLC0415

    config = _configure("migrate", given)
    click.echo(f"schema is at revision {migrate_database(config.need('database_url'))}")


@cli.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--elsewhere", is_flag=True, help="do not check whether the steps can run on this machine")
def validate(file: Path, elsewhere: bool) -> None:
    """Check the workflow in FILE and print all its errors."""
    from services.worker.executors.capabilities import available_types  # noqa: PLC0415
    from shared.language.load import load  # noqa: PLC0415
    from shared.language.steps.requirements import Capabilities, steps_with_requirements, unsatisfied  # noqa: PLC0415

    loaded = load(file.read_text(errors="replace"), file_name=file.stem)
    for issue in loaded.issues:
        click.echo(f"{file}: {issue}", err=True)
    here = [] if elsewhere else [Capabilities({}, available_types())]
    missing = unsatisfied(steps_with_requirements(loaded.documents), here, no_worker="no worker on this machine")
    for problem in missing:
        click.echo(f"{file}: {problem}", err=True)
    if missing or not loaded.ok:
        sys.exit(1)
    steps = sum(len(dag.steps) for dag in loaded.documents)
    click.echo(f"{file}: valid ({len(loaded.documents)} dag{'s' * (len(loaded.documents) > 1)}, {steps} steps)")


@cli.command()
@click.argument("dag")
@click.argument("run", default="")
@click.option("--url", default="http://127.0.0.1:8080", show_default=True, help="URL of the gateway")
@click.option("--token", help="API key or token, if the gateway requires authentication  [DAGWAY_AUTH_TOKEN]")
@_options("auth_basic_username", "auth_basic_password")
def why(dag: str, run: str, url: str, token: str | None, **basic: Any) -> None:
    """Show what a run and its steps wait for. RUN is its id or "latest".

    Without RUN, show what the schedule of DAG and all its queued and running runs wait for.
    """
    from services.why import authorization, why_waiting  # noqa: PLC0415

    config = load_config({"auth_token": token, **basic}, environment())
    by = authorization(config.auth_token, config.auth_basic_username, config.auth_basic_password)
    for line in why_waiting(url, by, dag, run):
        click.echo(line)


@cli.command()
@_options("data_dir", "database_url", "lease_s", "log_level", "log_format")
@click.option("--check", "only", multiple=True, help="run only this check; may be repeated")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="violations shown of each check")
@click.option("--json", "in_json", is_flag=True, help="print one JSON object")
def verify(only: tuple[str, ...], limit: int, in_json: bool, **given: Any) -> None:
    """Check the database against the guarantees, on a live or a stopped system.

    Reads only. Exits with 0 if there is no violation, 1 if there is one, 2 if the database could not be checked.
    """
    from services.verify import as_json, as_text, check_database  # noqa: PLC0415
    from shared.clock import utc_now  # noqa: PLC0415

    try:
        results = check_database(_configure("verify", given), utc_now(), only, limit=limit)
    except DagwayError as error:
        click.echo(f"dagway: {type(error).__name__}: {error}", err=True)
        sys.exit(2)
    for line in [as_json(results)] if in_json else as_text(results):
        click.echo(line)
    sys.exit(1 if any(result.count for result in results) else 0)


@cli.group("dead-letters")
def dead_letters() -> None:
    """List or return dead letters: messages that could not be handled.

    Reads them from the broker or, without a broker URL, from the data directory of a `dagway up` that is not running.
    """


_LIMIT = click.option(
    "--limit", default=1000, show_default=True, type=click.IntRange(1), help="maximum number of dead letters"
)


@dead_letters.command("list")
@_options("data_dir", "amqp_url", "log_level", "log_format")
@_LIMIT
@click.option("--bodies", is_flag=True, help="print the bodies too, which may contain parameters of runs")
def list_dead_letters(limit: int, bodies: bool, **given: Any) -> None:
    """List dead letters, each with its id, broker queue and reason."""
    from services.dead_letters import describe_dead_letters  # noqa: PLC0415

    for line in describe_dead_letters(_configure("dead-letters", given), limit, bodies=bodies):
        click.echo(line)


@dead_letters.command("return")
@_options("data_dir", "amqp_url", "log_level", "log_format")
@_LIMIT
def return_dead_letters(limit: int, **given: Any) -> None:
    """Return dead letters to their broker queues, to be handled again."""
    from services.dead_letters import redrive_dead_letters  # noqa: PLC0415

    click.echo(f"{redrive_dead_letters(_configure('dead-letters', given), limit)} returned")


@cli.group()
def audit() -> None:
    """Check the audit log."""


@audit.command("verify")
@_options("data_dir", "database_url", "log_level", "log_format")
@click.option("--contains", metavar="POSITION:HASH", help="end of an earlier verification, which must be in the chain")
def verify_audit(contains: str | None, **given: Any) -> None:
    """Recompute the hash chain of the audit log, and print its end or the first entry at which it is broken.

    Exits with 1 if the chain is broken. Needs a database user who may read. Without a database URL, checks the SQLite
    file in the data directory.
    """
    from services.audit import read_point, summary, verify_audit  # noqa: PLC0415

    found = verify_audit(_configure("audit", given), read_point(contains) if contains else None)
    click.echo(summary(found))
    sys.exit(0 if found.broken is None else 1)


@cli.command()
def version() -> None:
    """Print the version."""
    click.echo(installed_version("dagway"))


def main() -> None:
    """Run the command line. For a known error, print one line to stderr and exit with 1, or 2 for invalid settings."""
    try:
        cli()
    except ConfigInvalid as error:
        click.echo(f"dagway: {error}", err=True)
        sys.exit(2)
    except DagwayError as error:
        click.echo(f"dagway: {type(error).__name__}: {error}", err=True)
        sys.exit(1)
