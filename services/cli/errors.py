"""The errors of commands: a gateway refuses a request or does not answer, or a file is invalid."""

from collections.abc import Mapping
from typing import Any, ClassVar

from shared.errors import DagwayError
from shared.unknown_outcome import UNAVAILABLE

__all__ = ["GatewayError", "GatewayUnreachable", "WorkflowInvalid"]


class GatewayError(DagwayError):
    """The gateway refused a request.

    ``status`` is the HTTP status, ``error_code`` the code of the API, ``body`` the answer.
    """

    code: ClassVar[str] = "gateway"

    def __init__(
        self, text: str, *, status: int = 0, error_code: str = "", body: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(text)
        self.status = status
        self.error_code = error_code
        self.body = body or {}

    @property
    def passes(self) -> bool:
        """Whether the same request may succeed later, although nobody changes anything."""
        return self.status in UNAVAILABLE


class GatewayUnreachable(GatewayError):
    """No gateway answers. ``what`` is the text without the advice, for a command that tries again."""

    def __init__(self, what: str, *, advice: str = "") -> None:
        super().__init__(f"{what}; {advice}" if advice else what)
        self.what = what

    @property
    def passes(self) -> bool:
        return True


class WorkflowInvalid(DagwayError):
    """A workflow file or a file with test cases has errors. The text has a line for each."""
