"""Find the program of a step. Standard library only: the guardian uses it."""

import errno
import os

__all__ = ["find_program"]


def find_program(program: str, search: str) -> str:
    """Find a program as a shell does: in the directories of the step's PATH, relative to the step's directory."""
    if "/" in program:
        return program
    candidates = [f"{folder or '.'}/{program}" for folder in search.split(":")]
    for path in candidates:
        # access() first: most folders do not have the program, and access() is the fastest test to fail.
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    denied = any(map(os.path.isfile, candidates))
    raise OSError(errno.EACCES if denied else errno.ENOENT, "executable file not found", program)
