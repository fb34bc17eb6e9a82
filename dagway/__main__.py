"""Run the command ``dagway``: ``python -m dagway``."""

from services.cli import main

main()
