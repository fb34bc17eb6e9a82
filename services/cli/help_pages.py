"""Help pages: the text, the options, then examples as they are written."""

from typing import Any

import click

__all__ = ["PageCommand", "PageGroup"]


class PageCommand(click.Command):
    """A command with examples at the end of its help page, which are not wrapped."""

    def __init__(self, *args: Any, examples: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples.strip("\n").splitlines():
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")


class PageGroup(PageCommand, click.Group):
    """A group of commands with examples at the end of its help page."""

    command_class = PageCommand
