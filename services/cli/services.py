"""The commands that run services: ``dagway up``, ``api``, ``scheduler``, ``worker`` and others; and ``migrate``."""

import sys
from dataclasses import replace
from importlib.metadata import version as installed_version
from typing import Any

import click

from services.cli.help_pages import PageCommand
from services.cli.output.given_up import give_up_output
from services.cli.settings import configure, options_of, service_options
from shared.settings.config import SettingOrigin

__all__ = [
    "api_command",
    "deletion_costs_command",
    "migrate_command",
    "scheduler_command",
    "start_all_command",
    "up_command",
    "version_command",
    "worker_command",
]

_UP_EXAMPLES = """
dagway up --examples                     with a copy of the examples to try
dagway up --dags ./dags                  follow the workflows in a folder
dagway up --data-dir ~/.dagway --port 0  keep the state elsewhere; listen on any free port
"""


@click.command("up", cls=PageCommand, examples=_UP_EXAMPLES)
@service_options("up")
@click.option("--examples", is_flag=True, help="follow a copy of the examples, which is made in the data folder")
def up_command(*, examples: bool, **given: Any) -> None:
    """Run all services on this machine, on SQLite by default."""
    from services.cli.examples import copy_examples  # noqa: PLC0415
    from services.cli.stop_signal import StopSignal  # noqa: PLC0415

    config, version = configure("dagway", given), installed_version("dagway")
    from services.processes.worker_process import start_worker_process  # noqa: PLC0415
    from services.worker.process.privileges import start_guardian  # noqa: PLC0415

    if examples:
        if config.dags_dir is not None:
            raise click.UsageError("--examples and --dags (or DAGWAY_DAGS_DIR) cannot be combined")
        config.make_data_dir()
        folder = copy_examples(config.data_dir / "examples")
        origins = {**config.origins, "dags_dir": SettingOrigin("--examples", str(folder))}
        config = replace(config, dags_dir=folder, origins=origins)
    worker = start_worker_process(config, version, start_guardian(config))
    stop = StopSignal()
    # After the fork of the worker's process, which does not need it.
    from services.processes.up import run_up  # noqa: PLC0415

    run_up(config, version, stop.event, stop.on_death, worker=worker, echo=_say)
    sys.exit(stop.exit_code)


def _say(text: str) -> None:
    try:
        click.echo(text)
    except OSError:
        # Such as a log file on a full disk: the server works without a welcome.
        give_up_output()


_SHORT = {"host": "-s", "port": "-p", "dags_dir": "-d"}
"""Dagu's short names of options."""


def _start_all(*, quiet: bool, **given: Any) -> None:
    if quiet and given.get("log_level") is None:
        given["log_level"] = "error"
    up_command.callback(**given)  # type: ignore[misc]


def _with_short_name(option: click.Parameter) -> click.Parameter:
    if not isinstance(option, click.Option) or option.name not in _SHORT:
        return option
    return click.Option([_SHORT[option.name], *option.opts, option.name], default=None, help=option.help)


start_all_command = PageCommand(
    "start-all",
    params=[
        *map(_with_short_name, up_command.params),
        click.Option(["-q", "--quiet"], is_flag=True, help="log errors only"),
    ],
    callback=_start_all,
    help="Run all services on this machine, as dagway up does. Dagu's name for it.",
    hidden=True,
)


@click.command("api")
@service_options("api")
def api_command(**given: Any) -> None:
    """Run an API gateway. It needs RabbitMQ and Postgres."""
    from services.api.serving.greenlets import become_green  # noqa: PLC0415

    become_green()
    config = configure("api", given)
    from services.processes.api import run_api_process  # noqa: PLC0415

    run_api_process(config, installed_version("dagway"))


@click.command("scheduler")
@service_options("scheduler")
def scheduler_command(**given: Any) -> None:
    """Run a scheduler. It needs RabbitMQ and Postgres."""
    from services.cli.stop_signal import StopSignal  # noqa: PLC0415

    config = configure("scheduler", given)
    from services.processes.scheduler import run_scheduler_process  # noqa: PLC0415

    stop = StopSignal()
    run_scheduler_process(config, installed_version("dagway"), stop.event, stop.on_death)
    sys.exit(stop.exit_code)


@click.command("worker")
@service_options("worker")
def worker_command(**given: Any) -> None:
    """Run a worker. It needs RabbitMQ only, and refuses to start with a database URL."""
    from services.cli.stop_signal import StopSignal  # noqa: PLC0415

    config = configure("worker", given)
    from services.processes.worker import check_worker, run_worker_process  # noqa: PLC0415
    from services.worker.process.privileges import start_guardian  # noqa: PLC0415

    check_worker(config)
    guardian = start_guardian(config)
    stop = StopSignal()
    run_worker_process(config, installed_version("dagway"), stop.event, stop.on_death, guardian)
    sys.exit(stop.exit_code)


@click.command("deletion-costs")
@service_options("deletion-costs")
def deletion_costs_command(**given: Any) -> None:
    """Tell Kubernetes which workers are idle, so that a scale-in ends those first.

    It runs in a pod and annotates each worker's pod with its deletion cost. It needs no broker and no database.
    """
    from services.cli.stop_signal import StopSignal  # noqa: PLC0415

    config = configure("deletion-costs", given)
    from services.processes.deletion_costs import run_deletion_costs_process  # noqa: PLC0415

    stop = StopSignal()
    run_deletion_costs_process(config, installed_version("dagway"), stop.event)
    sys.exit(stop.exit_code)


@click.command("migrate")
@options_of("data_dir", "database_url", "log_level", "log_format")
def migrate_command(**given: Any) -> None:
    """Create or upgrade the database schema."""
    from shared.store.migrate import migrate as migrate_database  # noqa: PLC0415

    config = configure("migrate", given)
    click.echo(f"schema is at revision {migrate_database(config.need('database_url'))}")


@click.command("version")
def version_command() -> None:
    """Print the version."""
    click.echo(installed_version("dagway"))
