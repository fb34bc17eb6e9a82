"""The exit codes of all commands, and the errors of commands that send requests to a gateway."""

from typing import ClassVar

from shared.errors import DagwayError, InvariantBroken, StoreUnavailable

__all__ = [
    "EXIT_CODES",
    "FAILED",
    "INTERRUPTED",
    "INVALID",
    "UNREACHABLE",
    "GatewayError",
    "GatewayUnreachable",
    "WorkflowInvalid",
    "text_of",
]

FAILED, INVALID, UNREACHABLE, INTERRUPTED = 1, 2, 3, 130

EXIT_CODES = {
    0: "done; of a command that waits for a run: the run did not fail",
    FAILED: "the run failed, or the server refused the request",
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


class GatewayError(DagwayError):
    """The gateway refused a request. ``status`` is the HTTP status, ``error_code`` the code of the API."""

    code: ClassVar[str] = "gateway"

    def __init__(self, text: str, *, status: int = 0, error_code: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.error_code = error_code


class GatewayUnreachable(GatewayError):
    """No gateway answers. ``what`` is the text without the advice, for a command that tries again."""

    def __init__(self, what: str, *, advice: str = "") -> None:
        super().__init__(f"{what}; {advice}" if advice else what)
        self.what = what


class WorkflowInvalid(DagwayError):
    """A workflow file or a file with test cases has errors. The text has a line for each."""
