"""``dagway import``: brings what other programs keep into Dagway's database, without a gateway."""

import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from services.cli.exit_codes import FAILED
from services.cli.output.terminal import echo
from services.cli.settings import configure, options_of

if TYPE_CHECKING:
    from services.importing.report import Report
    from shared.settings.config import Config

__all__ = ["import_command"]

F = TypeVar("F", bound=Callable[..., Any])
_DRY_RUN: Callable[[F], F] = click.option("--dry-run", is_flag=True, help="store nothing; only report")
_JSON: Callable[[F], F] = click.option("--json", "in_json", is_flag=True, help="print the report as one JSON object")
_SETTINGS = options_of("data_dir", "database_url", "dags_dir", "log_level", "log_format")


@click.group("import")
def import_command() -> None:
    """Bring workflows and history of other programs here.

    Writes to the database of a server or, without a database URL, to that of `dagway up` in the data directory. Nothing
    that is there already is changed, so an import can be repeated, also after an interruption. The report says what was
    loaded, what differs and what was refused, each with the reason.
    """


@import_command.command("dagu")
@click.argument("home", type=click.Path(exists=True, file_okay=False, path_type=Path))
@_SETTINGS
@click.option("--no-history", is_flag=True, help="leave out the runs")
@_DRY_RUN
@_JSON
def import_dagu(*, home: Path, no_history: bool, dry_run: bool, in_json: bool, **given: Any) -> None:
    """Import a Dagu home folder: what DAGU_HOME names, else ~/.dagu or ~/.config/dagu.

    Brings workflows, suspend flags, users, API keys, webhooks, and runs with their logs and outputs. Passwords, keys
    and tokens stay valid. Stop Dagu first. With `--dags`, files that this folder lacks are copied to it. Exits with 1
    if something was refused.
    """
    config = _configured(given)
    from services.importing.dagu import import_dagu as run_import  # noqa: PLC0415

    report = run_import(config, home, installed_version("dagway"), dry_run=dry_run, history=not no_history)
    _print(report, in_json=in_json)


@import_command.command("crontab")
@click.argument("file", type=click.File(encoding="utf-8", errors="replace"), metavar="FILE|-")
@_SETTINGS
@click.option("--system", is_flag=True, help="each line has a user before its command, as in /etc/crontab")
@_DRY_RUN
@_JSON
def import_crontab(*, file: IO[str], system: bool, dry_run: bool, in_json: bool, **given: Any) -> None:
    """Import a crontab: a workflow for each line, with its schedule and variables.

    `crontab -l | dagway import crontab -` imports your own. With `--dags`, the workflows are written to this folder
    too. A line that is here already, with the same schedule and command, stays as it is. Exits with 1 if a line was
    refused.
    """
    config = _configured(given)
    from services.importing.crontab import import_crontab as run_import  # noqa: PLC0415

    report = run_import(config, file.read(), installed_version("dagway"), system=system, dry_run=dry_run)
    _print(report, in_json=in_json)


def _configured(given: dict[str, Any]) -> "Config":
    """Return the configuration. The folder of ``--dags`` need not exist: the import makes it when it writes a file."""
    folder = given.pop("dags_dir", None)
    config = configure("import", given)
    if not folder:
        return config
    path = Path(folder).expanduser().absolute()
    if path.exists() and not path.is_dir():
        raise click.BadParameter(f"{folder} is not a folder", param_hint="--dags")
    return replace(config, dags_dir=path)


def _print(report: "Report", *, in_json: bool) -> None:
    for line in [report.as_json()] if in_json else report.as_text():
        echo(line)
    sys.exit(FAILED if report.refused else 0)
