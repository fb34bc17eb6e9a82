"""The command line ``dagway``. ``root`` lists all commands; the module of a command is imported when it is used."""

from services.cli.root import cli, main

__all__ = ["cli", "main"]
