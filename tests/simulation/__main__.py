"""Run simulations: ``python -m tests.simulation FIRST_SEED COUNT``."""

import os
import sys

from tests.simulation import imports

if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of sets of texts must not differ from one process to the next.
        os.execve(  # noqa: S606 - this very program
            sys.executable,
            [sys.executable, "-m", "tests.simulation", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
    imports.install()
    from tests.simulation.command import main

    main(sys.argv[1:])
