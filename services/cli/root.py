"""The root of the command line: finds a command by its name, prints the help page, and turns errors into exit codes."""

import errno
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import IO, Any

import click

from services.cli.catalog import COMMANDS, SECTIONS
from services.cli.errors import GatewayError, GatewayUnreachable, WorkflowInvalid
from services.cli.exit_codes import FAILED, INTERRUPTED, INVALID, UNREACHABLE, text_of
from services.cli.help_pages import PageGroup
from services.cli.output.given_up import give_up_output
from services.cli.output.harmless import harmless
from shared.errors import ConfigInvalid, DagwayError
from shared.garbage import collect_rarely

__all__ = ["cli", "main"]

_ENTRIES = {entry.name: entry for entry in COMMANDS}
_OTHER_NAMES = {
    "coordinator": "not needed: RabbitMQ gives workers their tasks",
    "help": "write dagway --help, or dagway COMMAND --help",
    "server": "dagway up is a complete server, dagway api the gateway of a cluster",
}
"""Commands of Dagu that do not exist here, and what to do instead."""
_EXAMPLES = """
dagway run hello.yaml -- NAME=Ada     run a file here, without a server
dagway up --dags ./dags               start a server for a folder of workflows
dagway start hello -- NAME=Ada        start a run on the server and wait for its end
dagway logs hello --follow            print its output as it is written
"""


_OUTSIDE = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EACCES, errno.EPERM, errno.EROFS}
    | {errno.EEXIST, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG}
)
"""Errors of files whose reason is outside Dagway. Of a closed pipe Click takes care: the command ends silently."""


class _Failure(click.ClickException):
    """An error that ends the command: one line on stderr and an exit code."""

    exit_code = FAILED

    def show(self, file: IO[Any] | None = None) -> None:  # noqa: ARG002 - errors go to stderr
        click.echo(harmless(f"dagway: {self.message}"), err=True)


class _Invalid(_Failure):
    exit_code = INVALID


class _Unreachable(_Failure):
    exit_code = UNREACHABLE


class _Root(PageGroup):
    """Lists commands by section, from the catalog alone. The module of a command is imported when it is looked up."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted(_ENTRIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if (entry := _ENTRIES.get(cmd_name)) is None:
            return None
        command: click.Command = getattr(import_module(f"services.cli.{entry.module}"), entry.attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        for section in SECTIONS:
            with formatter.section(section):
                formatter.write_dl(
                    [
                        (f"{entry.name:12}", entry.help)
                        for entry in COMMANDS
                        if entry.section == section and not entry.hidden
                    ],
                    col_max=14,
                )

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _ENTRIES and not args[0].startswith("-"):
            from shared.language.issues import did_you_mean  # noqa: PLC0415 - needed only after a mistake

            hint = _OTHER_NAMES.get(args[0]) or did_you_mean(args[0], list(_ENTRIES))
            ctx.fail(f"there is no command {args[0]!r}{f' ({hint})' if hint else ''}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigInvalid as error:
            raise _Invalid(str(error)) from error
        except GatewayUnreachable as error:
            raise _Unreachable(str(error)) from error
        except (GatewayError, WorkflowInvalid) as error:
            raise _Failure(str(error)) from error
        except DagwayError as error:
            raise _Failure(text_of(error)) from error
        except UnicodeEncodeError as error:  # Python reads such bytes of an argument as surrogates.
            raise _Invalid(f"not UTF-8 text: {error.object}") from error
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)


@click.group(
    cls=_Root,
    examples=_EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(package_name="dagway", message="%(version)s")
def cli() -> None:
    """Dagway: a workflow orchestrator with YAML workflows.

    Run a workflow file on this machine, start and follow runs on a server, or run the services of a server.
    """


def main() -> None:
    """Run the command line and end the process with its exit code."""
    collect_rarely()
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # the caller has closed it
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - until the end
        # A character that the locale's encoding lacks is printed as "?", and does not end the command.
        getattr(sys, name).reconfigure(errors="replace")
    try:
        cli()
    except OSError as error:
        if error.errno not in _OUTSIDE:
            raise
        give_up_output()
        # Of no file: the program is in a folder that was removed, or cannot print.
        what = error.filename or ("the current folder" if error.errno == errno.ENOENT else "cannot write")
        _Failure(f"{what}: {error.strerror}").show()
        sys.exit(FAILED)
