"""``dagway completion``: the script that makes a shell complete commands and options."""

from pathlib import Path

import click
from click.shell_completion import get_completion_class

from services.cli.help_pages import PageCommand

__all__ = ["completion_command"]

_EXAMPLES = """
dagway completion bash --install      from the next shell on
source <(dagway completion bash)      only this shell
"""
_PLACES = {
    "bash": Path(".local/share/bash-completion/completions/dagway"),
    "fish": Path(".config/fish/completions/dagway.fish"),
    "zsh": Path(".local/share/zsh/site-functions/_dagway"),
}
"""Where each shell looks for completions of a user, relative to the home folder."""
_AFTER = {"zsh": "add to ~/.zshrc, before compinit: fpath+=(~/.local/share/zsh/site-functions)"}


@click.command("completion", cls=PageCommand, examples=_EXAMPLES)
@click.argument("shell", type=click.Choice(sorted(_PLACES)))
@click.option("--install", is_flag=True, help="write the script to where the shell looks for it")
@click.pass_context
def completion_command(ctx: click.Context, shell: str, install: bool) -> None:
    """Print or install shell completion."""
    made = get_completion_class(shell)
    assert made is not None  # noqa: S101 - click has these three
    script = made(ctx.find_root().command, {}, "dagway", "_DAGWAY_COMPLETE").source()
    if not install:
        click.echo(script)
        return
    place = Path.home() / _PLACES[shell]
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(script, encoding="utf-8")
    click.echo(f"written to {place}; it works from the next shell on")
    if shell in _AFTER:
        click.echo(_AFTER[shell])
