"""``python -m services`` is ``dagway``."""

from services.cli import main

main()
