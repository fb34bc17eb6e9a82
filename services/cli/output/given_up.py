"""What to do when standard output cannot be written, such as on a full disk."""

import os
import sys

__all__ = ["give_up_output"]


def give_up_output() -> None:
    """Send what is still in the buffer of standard output to nowhere: at its end the interpreter writes it again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
