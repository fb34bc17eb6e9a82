"""``dagway move``: from the folder of ``dagway up`` to a system on RabbitMQ and Postgres."""

from typing import Any

import click

from services.cli.help_pages import PageCommand
from services.cli.output.terminal import echo_json
from services.cli.settings import configure, options_of

__all__ = ["move_command"]

_EXAMPLES = """
dagway move --to postgresql://owner:…@postgres/dagway --dry-run
dagway move --to postgresql://owner:…@postgres/dagway
dagway move --data-dir ~/.dagway --to postgresql://owner:…@postgres/dagway
"""
_SHOWN = {
    "dags": "workflows",
    "dag_runs": "runs",
    "log_chunks": "pieces of logs",
    "cron_slots": "scheduled times in the ledger",
    "users": "users",
    "api_keys": "API keys",
    "webhooks": "webhooks",
    "audit": "entries of the audit log",
}


@click.command("move", cls=PageCommand, examples=_EXAMPLES)
@click.option("--to", required=True, help="URL of the Postgres database, with the user of dagway migrate")
@options_of("data_dir", "log_level", "log_format")
@click.option("--dry-run", is_flag=True, help="store nothing; only count")
@click.option("--json", "in_json", is_flag=True, help="print the number of rows of each table as JSON")
def move_command(*, to: str, dry_run: bool, in_json: bool, **given: Any) -> None:
    """Move the data of dagway up to a system on RabbitMQ and Postgres.

    Moves workflows, flags, runs with logs, users, keys, webhooks, the ledger of schedules and the audit log. First stop
    `dagway up`, and create the schema with `dagway migrate`. All of it arrives, or none; it can be repeated. Afterwards
    `dagway up` refuses the folder, and the schedulers of the new system go on where it stopped.
    """
    config = configure("move", given)
    from services.importing.moving import move  # noqa: PLC0415 - not for the help page

    moved = move(config, to, dry_run=dry_run)
    if in_json:
        echo_json({"before": moved.before, "dryRun": dry_run, "rows": dict(moved.rows)})
        return
    done = "would be moved" if dry_run else "had been moved before" if moved.before else "moved"
    for table, what in _SHOWN.items():
        click.echo(f"{moved.rows[table]:>10} {what}")
    click.echo(f"{sum(moved.rows.values()):>10} rows in all {done}")
