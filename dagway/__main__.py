"""``python -m dagway`` is the command ``dagway``."""

from services.cli import main

main()
