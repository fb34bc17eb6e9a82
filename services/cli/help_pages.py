"""Commands: their arguments, and help pages with the text, the options, then examples as they are written."""

from collections.abc import Sequence
from typing import Any

import click

__all__ = ["PageCommand", "PageGroup"]


class PageCommand(click.Command):
    """A command with examples at the end of its help page, which are not wrapped. It takes ``-x=VALUE``, as Dagu."""

    def __init__(self, *args: Any, examples: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        options = (each for each in self.get_params(ctx) if isinstance(each, click.Option) and not each.is_flag)
        return super().parse_args(ctx, _apart(args, {flag for each in options for flag in each.opts}))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples.strip("\n").splitlines():
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")


class PageGroup(PageCommand, click.Group):
    """A group of commands with examples at the end of its help page."""

    command_class = PageCommand


def _apart(arguments: Sequence[str], flags: set[str]) -> list[str]:
    """Return the arguments with each ``-x=VALUE`` as two: Click would take the ``=`` as part of the value.

    ``flags`` are those that take a value.
    """
    apart: list[str] = []
    is_value = False
    for place, each in enumerate(arguments):
        if each == "--" and not is_value:
            return [*apart, *arguments[place:]]
        short = not is_value and each[:2] in flags and each[2:3] == "="
        apart += [each[:2], each[3:]] if short else [each]
        is_value = not is_value and each in flags
    return apart
