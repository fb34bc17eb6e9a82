"""Sends the requests of the audit walk, and notes the entry that each must have."""

from dataclasses import dataclass
from typing import Any

from tests.conformance.rest_live import Live

__all__ = ["Expected", "Walk"]


@dataclass(frozen=True)
class Expected:
    """The one entry that a request must have. ``target`` is empty if a refused request did not name it."""

    operation_id: str
    request_id: str
    actor: str
    target: str
    code: str


class Walk:
    """Sends requests as users of several roles. Every request has an id by which its entry is found."""

    def __init__(self, live: Live, admin: str) -> None:
        self.live = live
        self.tokens = {"admin": admin}
        self.expected: list[Expected] = []

    def send(
        self,
        operation_id: str,
        method: str,
        path: str,
        body: Any = None,
        *,
        by: str = "admin",
        target: str,
        code: str = "",
        token: str | None = None,
    ) -> Any:
        """Send a request that must succeed or, with ``code``, must be refused. Return the JSON of the response."""
        request_id = f"{len(self.expected)}-{operation_id}"
        response = self.live.ask(
            method,
            path,
            body,
            token=token if token is not None else self.tokens.get(by),
            headers={"X-Request-Id": request_id},
        )
        content = response.get_json(silent=True)
        if code:
            assert (content or {}).get("code") == code, (request_id, response.get_data(as_text=True))
        else:
            assert response.status_code < 300, (request_id, response.get_data(as_text=True))
        self.expected.append(Expected(operation_id, request_id, by, target, code))
        return content

    def case(
        self,
        operation_id: str,
        method: str,
        path: str,
        body: Any = None,
        *,
        low: str,
        target: str,
        named: bool = True,
        state: tuple[str, Any, str, str] | None = None,
    ) -> Any:
        """Call an operation as user ``low``, whose role is too low; then as admin; then so that the state refuses it.

        ``named``: whether the path names the target. ``state``: path, body, code and target of the last call.
        """
        self.send(operation_id, method, path, body, by=low, target=target if named else "", code="forbidden")
        done = self.send(operation_id, method, path, body, target=target)
        if state is not None:
            again, again_body, code, other = state
            self.send(operation_id, method, again, again_body, target=other, code=code)
        return done

    def until(self, name: str, run_id: str, status: int) -> dict[str, Any]:
        return self.live.until(name, run_id, status, token=self.tokens["admin"])
