"""Commands: their arguments, and help pages with the text, the options, then examples as they are written."""

from collections.abc import Sequence
from typing import Any

import click

__all__ = ["PageCommand", "PageGroup"]

_TRUTHS = dict.fromkeys(("1", "t", "T", "true", "True", "TRUE"), True) | dict.fromkeys(
    ("0", "f", "F", "false", "False", "FALSE"), False
)
"""What Go programs take as the value of a flag."""


class PageCommand(click.Command):
    """A command with examples at the end of its help page, which are not wrapped.

    It takes ``-x=VALUE`` and ``--flag=true``, as Dagu.
    """

    def __init__(self, *args: Any, examples: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        options = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        valued = {name for each in options if not each.is_flag for name in each.opts}
        flags = {name for each in options if each.is_flag for name in each.opts}
        return super().parse_args(ctx, _apart(args, valued, flags))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples.strip("\n").splitlines():
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")


class PageGroup(PageCommand, click.Group):
    """A group of commands with examples at the end of its help page."""

    command_class = PageCommand


def _apart(arguments: Sequence[str], valued: set[str], flags: set[str]) -> list[str]:
    """Return the arguments as Click reads them, of the forms that Dagu takes.

    Of ``-x=VALUE`` and ``-qx=VALUE``, Click would take the ``=`` as part of the value. It refuses ``--flag=true``.
    ``valued`` and ``flags`` are the options with and without a value.
    """
    apart: list[str] = []
    is_value = False
    for place, each in enumerate(arguments):
        if each == "--" and not is_value:
            return [*apart, *arguments[place:]]
        name, equals, value = each.partition("=")
        if is_value or not equals:
            apart.append(each)
        elif name in flags and value in _TRUTHS:
            apart += [name] * _TRUTHS[value]
        elif _ends_with_value(name, valued, flags):
            apart += [name, value]
        else:
            apart.append(each)
        is_value = not is_value and (each in valued or _ends_with_value(each, valued, flags))
    return apart


def _ends_with_value(name: str, valued: set[str], flags: set[str]) -> bool:
    """Tell whether these are short options of which the last takes a value, such as ``-r`` or ``-qr``."""
    *before, last = [f"-{letter}" for letter in name[1:]] or [""]
    return name[:1] == "-" and last in valued and all(each in flags for each in before)
