"""Commands for operators that read the database or the broker themselves, without a gateway."""

import sys
from typing import Any

import click

from services.cli.exit_codes import text_of
from services.cli.output.terminal import echo, echo_answer, echo_json, say
from services.cli.settings import configure, options_of
from shared.errors import DagwayError

__all__ = ["audit_command", "dead_letters_command", "verify_command"]

_JSON = click.option("--json", "in_json", is_flag=True, help="print JSON")


@click.command("verify")
@options_of("data_dir", "database_url", "lease_s", "log_level", "log_format")
@click.option("--check", "only", multiple=True, help="run only this check; may be repeated")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="violations shown of each check")
@click.option("--json", "in_json", is_flag=True, help="print one JSON object")
def verify_command(only: tuple[str, ...], limit: int, in_json: bool, **given: Any) -> None:
    """Check the database against the guarantees.

    The system may be running or stopped. Reads only. Exits with 0 if there is no violation, 1 if there is one, 2 if the
    database could not be checked.
    """
    from services.verify import as_json, as_text, check_database  # noqa: PLC0415
    from shared.clock import utc_now  # noqa: PLC0415

    try:
        results = check_database(configure("verify", given), utc_now(), only, limit=limit)
    except DagwayError as error:
        say(text_of(error))
        sys.exit(2)
    for line in [as_json(results)] if in_json else as_text(results):
        echo(line)
    sys.exit(1 if any(result.count for result in results) else 0)


@click.group("dead-letters")
def dead_letters_command() -> None:
    """List or return messages that could not be handled.

    Reads them from the broker or, without a broker URL, from the data directory of a `dagway up` that is not running.
    """


_LIMIT = click.option(
    "--limit", default=1000, show_default=True, type=click.IntRange(1), help="maximum number of dead letters"
)


@dead_letters_command.command("list")
@options_of("data_dir", "amqp_url", "log_level", "log_format")
@_LIMIT
@click.option("--bodies", is_flag=True, help="print the bodies too, which may contain parameters of runs")
@_JSON
def list_dead_letters(*, limit: int, bodies: bool, in_json: bool, **given: Any) -> None:
    """List dead letters, each with its id, broker queue and reason."""
    from services.dead_letters import read_dead_letters  # noqa: PLC0415

    letters = read_dead_letters(configure("dead-letters", given), limit)
    texts = [each.body.decode(errors="replace") if bodies else "" for each in letters]
    if in_json:
        shown = [
            {"id": each.id, "queue": each.queue, "reason": each.reason, **({"body": text} if bodies else {})}
            for each, text in zip(letters, texts, strict=True)
        ]
        echo_json({"deadLetters": shown})
        return
    for each, text in zip(letters, texts, strict=True):
        echo(f"{each.id} {each.queue}: {each.reason} {text}".rstrip())
    if not letters:
        echo("there is no dead letter", err=True)


@dead_letters_command.command("return")
@options_of("data_dir", "amqp_url", "log_level", "log_format")
@_LIMIT
@_JSON
def return_dead_letters(*, limit: int, in_json: bool, **given: Any) -> None:
    """Return dead letters to their broker queues, to be handled again."""
    from services.dead_letters import return_dead_letters  # noqa: PLC0415

    returned = return_dead_letters(configure("dead-letters", given), limit)
    echo_answer({"returned": returned}, f"{returned} returned", in_json=in_json)


@click.group("audit")
def audit_command() -> None:
    """Check the audit log."""


@audit_command.command("verify")
@options_of("data_dir", "database_url", "log_level", "log_format")
@click.option("--contains", metavar="POSITION:HASH", help="end of an earlier verification, which must be in the chain")
@_JSON
def verify_audit(*, contains: str | None, in_json: bool, **given: Any) -> None:
    """Recompute the hash chain of the audit log, and print its end or the first entry at which it is broken.

    Exits with 1 if the chain is broken. Needs a database user who may read. Without a database URL, checks the SQLite
    file in the data directory.
    """
    from services.audit import as_json, read_point, summary, verify_audit  # noqa: PLC0415

    found = verify_audit(configure("audit", given), read_point(contains) if contains else None)
    echo_answer(as_json(found), summary(found), in_json=in_json)
    sys.exit(0 if found.broken is None else 1)
