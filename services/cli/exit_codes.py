"""The exit codes of all commands, and the text of an error that ends one."""

from shared.errors import DagwayError, InvariantBroken, StoreUnavailable

__all__ = [
    "EXIT_CODES",
    "FAILED",
    "INTERRUPTED",
    "INVALID",
    "UNREACHABLE",
    "text_of",
]

FAILED, INVALID, UNREACHABLE, INTERRUPTED = 1, 2, 3, 130

EXIT_CODES = {
    0: "done; of a command that waits for a run: the run did not fail",
    FAILED: "the run failed, the server refused the request, or the output cannot be written",
    INVALID: "the command line or a setting is invalid",
    UNREACHABLE: "no gateway answers at the URL",
    INTERRUPTED: "interrupted by Ctrl-C",
}
"""What each exit code means, for docs/cli.md."""
_SUBJECTS = {StoreUnavailable: "the database is unavailable: ", InvariantBroken: "a bug in Dagway: "}
"""What the text of an error is about, if the text does not say it."""


def text_of(error: DagwayError) -> str:
    """Return the text of an error for people at a terminal."""
    return f"{_SUBJECTS.get(type(error), '')}{error}"
