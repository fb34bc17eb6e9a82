"""``dagway fmt``: format workflow files."""

import difflib
import errno
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click

from services.cli.exit_codes import FAILED
from services.cli.help_pages import PageCommand
from services.cli.local.validating import STDIN, workflow_files
from services.cli.output.terminal import echo

__all__ = ["fmt_command"]

_EXAMPLES = """
dagway fmt dags/                 format all .yaml and .yml files in a folder
dagway fmt --check --diff dags/  change nothing; show what would change
dagway fmt - < a.yaml > b.yaml
"""


@click.command("fmt", cls=PageCommand, examples=_EXAMPLES)
@click.argument("paths", nargs=-1, required=True, metavar="FILE|DIR|-...")
@click.option("--check", is_flag=True, help="change nothing, and exit with 1 if a file is not formatted")
@click.option("--diff", is_flag=True, help="change nothing, and print the differences")
def fmt_command(*, paths: tuple[str, ...], check: bool, diff: bool) -> None:
    """Format workflow files.

    Indents each level by two spaces, also lists in maps, and reduces several blank lines to one. Comments, quotes, the
    order of keys, line breaks and the meaning of the file do not change. With `-`, formats standard input to standard
    output. Prints the names of the files that change. Exits with 1 if a file cannot be formatted.
    """
    failed = False
    for file in workflow_files(paths):
        try:
            if file != STDIN and not (check or diff):
                _require_replaceable(file)
            text, made = _formatted(file)
        except (OSError, ValueError) as error:
            reason = f"cannot read or write the file: {error.strerror}" if isinstance(error, OSError) else error
            if isinstance(error, UnicodeDecodeError):
                line = error.object.count(b"\n", 0, error.start) + 1
                reason = f"line {line}: this is not UTF-8 (save the file as UTF-8 text)"
            echo(f"{file}: {reason}", err=True)
            failed = True
            continue
        if diff:
            click.echo("".join(_difference(file, text, made)), nl=False)
        if file == STDIN and not (check or diff):
            click.echo(made, nl=False)
        elif text != made:
            failed = failed or check
            if check or diff:
                if file != STDIN:
                    echo(f"{file}: is not formatted", err=True)
            elif _write(file, made):
                echo(f"{file}: formatted", err=True)
            else:
                failed = True
    sys.exit(FAILED if failed else 0)


def _formatted(file: str) -> tuple[str, str]:
    """Return the text of a file before and after. Raises ``OSError`` or ``ValueError``."""
    from shared.language.formatting import formatted  # noqa: PLC0415 - not for the help page

    text = sys.stdin.read() if file == STDIN else Path(file).read_bytes().decode("utf-8").replace("\r\n", "\n")
    return text, formatted(text)


def _require_replaceable(file: str) -> None:
    """Raise ``ValueError`` if a path names a pipe or a device: what is read from it is gone, and it must stay."""
    path = Path(file)
    if path.exists() and not path.is_file():
        raise ValueError("not a regular file (for standard input: -)")


def _write(file: str, text: str) -> bool:
    """Replace a file; it has its old or its new text at any moment. Return whether that worked."""
    path = Path(file).resolve()
    beside = path.with_name(f".{path.name}.fmt")
    try:
        if not os.access(path, os.W_OK):  # a replacement would not ask
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        newline = "\r\n" if b"\r\n" in path.read_bytes() else "\n"
        beside.write_text(text, encoding="utf-8", newline=newline)
        before = path.stat()
        if before.st_uid != os.geteuid():
            with suppress(OSError):
                os.chown(beside, before.st_uid, before.st_gid)
        beside.chmod(before.st_mode & 0o777)
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        echo(f"{file}: cannot read or write the file: {error.strerror}", err=True)
        return False
    return True


def _difference(file: str, text: str, made: str) -> Iterator[str]:
    for line in difflib.unified_diff(text.splitlines(keepends=True), made.splitlines(keepends=True), file, file):
        yield line if line.endswith("\n") else f"{line}\n"
