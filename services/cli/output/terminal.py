"""Prints for people or for programs: colours only on a terminal, tables, JSON."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click

from services.cli.output.harmless import ACTS, harmless, line_as_shown
from services.cli.output.tables import table
from shared.settings.config import environment

__all__ = [
    "JSON_OPTION",
    "echo",
    "echo_answer",
    "echo_json",
    "echo_line_json",
    "echo_list",
    "echo_output",
    "echo_table",
    "on_terminal",
    "paint",
    "say",
    "status_text",
]

JSON_OPTION: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--json", "in_json", is_flag=True, help="print JSON, as the API returns it"
)

_COLOURS = {
    "succeeded": "green",
    "fired": "green",
    "live": "green",
    "partially_succeeded": "yellow",
    "running": "blue",
    "queued": "cyan",
    "waiting": "magenta",
    "failed": "red",
    "rejected": "red",
    "missed": "red",
    "lost": "red",
    "aborted": "yellow",
    "skipped": "yellow",
    "draining": "yellow",
}


def on_terminal() -> bool:
    """Return whether standard output is a terminal that knows colours and can be drawn on, as that of Emacs cannot."""
    return sys.stdout.isatty() and environment().get("TERM") != "dumb"


def _colourful() -> bool:
    """Return whether to print colours: on a terminal, if the variable ``NO_COLOR`` is not set."""
    return on_terminal() and not environment().get("NO_COLOR")


def paint(text: str, status: str) -> str:
    """Return a text in the colour of a status."""
    return click.style(text, fg=_COLOURS.get(status)) if _colourful() else text


def status_text(label: str) -> str:
    """Return a status in its colour."""
    return paint(label, label)


def echo(text: str, *, err: bool = False) -> None:
    """Print a text for people. What it has of requests, runs and workers does nothing to their terminal."""
    click.echo(harmless(text), err=err)


def say(text: str) -> None:
    """Print a remark of the command itself to stderr, as its errors are."""
    echo(f"dagway: {text}", err=True)


def echo_output(line: str, *, head: str = "", colours: str = "", err: bool = False) -> None:
    """Print a line that a step wrote, after ``head``. ``colours`` are on before it.

    A terminal gets it as ``line_as_shown``; a file or another program gets all of it but the colours.
    """
    shown = (sys.stderr if err else sys.stdout).isatty()
    click.echo(harmless(head) + line_as_shown(line, colours) if shown else head + line, err=err)


def echo_json(content: Any) -> None:
    """Print JSON for people to read and programs to parse."""
    click.echo(_json(content, indent=2))


def echo_line_json(content: Any) -> None:
    """Print JSON as one line: an item of a stream."""
    click.echo(_json(content))


def _json(content: Any, *, indent: int | None = None) -> str:
    """Return JSON with escapes for what a terminal acts on. JSON itself demands them only below U+0020."""
    text = json.dumps(content, indent=indent, ensure_ascii=False)
    return ACTS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def echo_answer(answer: Any, text: str, *, in_json: bool, quiet: bool = False) -> None:
    """Print the answer to a request as JSON, or else what it means, unless ``quiet``."""
    if in_json:
        echo_json(answer)
    elif not quiet:
        echo(text)


def echo_list(answer: Any, head: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str, in_json: bool) -> None:
    """Print the answer to a request as JSON, or else its rows as ``echo_table`` does."""
    if in_json:
        echo_json(answer)
    else:
        echo_table(head, rows, empty=empty)


def echo_table(head: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> None:
    """Print a table; without rows, print ``empty`` to standard error, so that a program sees no row."""
    rows = list(rows)
    if not rows:
        echo(empty, err=True)
        return
    for line in table(head, rows):
        echo(line)
