"""Help pages: the text, the options, then examples as they are written."""

from typing import Any

import click

__all__ = ["PageCommand", "PageGroup"]


def _write_examples(formatter: click.HelpFormatter, examples: str) -> None:
    """Write lines of examples without wrapping them."""
    if examples:
        with formatter.section("Examples"):
            for line in examples.strip("\n").splitlines():
                formatter.write(f"{'':{formatter.current_indent}}{line}\n")


class PageCommand(click.Command):
    """A command with examples at the end of its help page."""

    def __init__(self, *args: Any, examples: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        _write_examples(formatter, self.examples)


class PageGroup(click.Group):
    """A group of commands with examples at the end of its help page."""

    command_class = PageCommand

    def __init__(self, *args: Any, examples: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        _write_examples(formatter, self.examples)
