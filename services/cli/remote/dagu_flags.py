"""Dagu's options and arguments, so that its scripts and crontabs work here."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from services.cli.output.terminal import say
from shared.foreign_json import read_json
from shared.language.file_names import EXTENSIONS

__all__ = ["PARAMS_ARGUMENT", "PARAMS_OPTION", "QUIET", "RUN_ID", "dag_name", "dagu_flags", "params_text"]

F = TypeVar("F", bound=Callable[..., Any])

QUIET: Callable[[F], F] = click.option("-q", "--quiet", is_flag=True, help="print nothing but errors")
RUN_ID: Callable[[F], F] = click.option("-r", "--run-id", default="", help="id of the run")
PARAMS_OPTION: Callable[[F], F] = click.option(
    "-p", "--params", "params_option", default="", help='parameters as one text: "P1=foo P2=bar"'
)
PARAMS_ARGUMENT: Callable[[F], F] = click.argument("params", nargs=-1, type=click.UNPROCESSED)

_WITHOUT_EFFECT = {
    "config": ("-c", "--config"),
    "dagu_home": ("--dagu-home",),
    "default_working_dir": ("--default-working-dir",),
    "worker_id": ("--worker-id",),
}


def dagu_flags(function: F) -> F:
    """Accept Dagu's options that have no meaning for a client of a server; say so on stderr when one is given.

    With ``--quiet`` nothing is said: cron sends a mail with what a command prints.
    """

    @wraps(function)
    def call(*args: Any, cpu_profile: bool, **rest: Any) -> Any:
        given = [flags[-1] for name, flags in _WITHOUT_EFFECT.items() if rest.pop(name) is not None]
        given += ["--cpu-profile"] * cpu_profile
        for flag in () if rest.get("quiet") else given:
            say(f"{flag} has no effect: the server has its own settings")
        return function(*args, **rest)

    decorated: Callable[..., Any] = click.option("--cpu-profile", is_flag=True, hidden=True)(call)
    for name, flags in _WITHOUT_EFFECT.items():
        decorated = click.option(*flags, name, default=None, hidden=True)(decorated)
    return decorated  # type: ignore[return-value]


def dag_name(text: str) -> str:
    """Return the name of a DAG on the server, given its name or the path of its file, as Dagu does."""
    path = Path(text)
    return path.stem if path.suffix in EXTENSIONS else text


def params_text(arguments: Sequence[str], option: str = "") -> str:
    """Return parameters in the form that the API reads. Arguments take precedence over the text of the option.

    An argument is ``KEY=VALUE``, ``POSITION=VALUE`` or a positional value, and arrives with its spaces and quotes. A
    single one may also be a JSON object or list, as in Dagu.
    """
    import json  # noqa: PLC0415 - most calls have no parameters
    import re  # noqa: PLC0415

    if not arguments:
        return option
    "".join(arguments).encode()  # Raises an error here if an argument is not UTF-8 text.
    if len(arguments) == 1 and arguments[0].lstrip()[:1] in ("{", "["):
        with suppress(ValueError):
            read_json(arguments[0])
            return arguments[0]
    pairs = [re.fullmatch(r"([A-Za-z_][A-Za-z0-9_.-]*|[1-9][0-9]*)=(.*)", each, re.DOTALL) for each in arguments]
    if not re.search(r'["\\$`]', "".join(arguments)):
        # As in Dagu. Of JSON, ``DAGU_PARAMS_JSON`` would be that text, and not the values of all params by name.
        return " ".join(
            f'"{each}"' if pair is None else f'{pair[1]}="{pair[2]}"'
            for each, pair in zip(arguments, pairs, strict=True)
        )
    return json.dumps(
        [each if pair is None else {pair[1]: pair[2]} for each, pair in zip(arguments, pairs, strict=True)],
        ensure_ascii=False,
    )
