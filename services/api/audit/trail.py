"""Decides which requests need an audit entry of the gateway: writes that ended here and sent no command.

A command gets its entry from the scheduler, in the transaction that carries it out. So each write has one entry.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flask import Response
from werkzeug.exceptions import HTTPException

from services.api import problems
from services.api.audit.sender import AuditSender
from services.api.auth.principals import NOBODY, Principal
from services.api.problems import Problem
from shared.contracts.actors import Actor
from shared.contracts.audit import AuditEntry, AuditTarget
from shared.errors import DagwayError
from shared.language.file_names import without_extension
from shared.workspaces import DEFAULT, MARK, name_prefix

__all__ = ["Trail", "actor_of", "audited"]

_MOST_CHARS = 200
_PARAMETERS = {"fileName": "name", "name": "name", "dagRunId": "id", "userId": "id", "keyId": "id", "workerId": "name"}
"""The path parameters that name the target, and whether by name or by id."""
_KINDS: Mapping[str, str] = {
    "dags": "dag",
    "dag-runs": "run",
    "users": "user",
    "api-keys": "api_key",
    "webhooks": "webhook",
    "queues": "queue",
    "pools": "pool",
    "secrets": "secret",
    "workers": "worker",
    "worker-pools": "worker_pool",
    "dead-letters": "dead_letter",
    "workspaces": "workspace",
    "auth": "user",
}
"""The kind of target by the first segment of the path."""


@dataclass(slots=True)
class Trail:
    """What is known about a write while it is answered."""

    target: AuditTarget | None = None
    """What the request is about, if it is not what the path names."""
    address: str = ""
    request_id: str = ""
    principal: Principal = NOBODY
    sent: bool = False
    """Whether a command was sent, which has an entry of its own."""
    workspace: str = DEFAULT
    """The workspace that the request is about."""
    remote_node: str = ""
    """The remote node that the request is sent to."""

    def note(self, principal: Principal) -> None:
        """Note who makes the request."""
        self.principal = principal

    @property
    def actor(self) -> Actor:
        return actor_of(self.principal, address=self.address, request_id=self.request_id)


def actor_of(principal: Principal, *, address: str, request_id: str) -> Actor:
    """Return the actor that a principal is in commands and in the audit log."""
    kind = "anonymous" if principal.kind == "nobody" else principal.kind
    return Actor(
        kind=kind,
        id=principal.row_id or principal.id or principal.by,
        name=principal.by,
        role=principal.role,
        address=address,
        request_id=request_id,
    )


def audited(
    sender: AuditSender,
    operation: str,
    api_path: str,
    begin: Callable[[], Trail],
    answer: Callable[[Trail, Mapping[str, str]], Response],
) -> Callable[..., Response]:
    """Return the view of a write, which sends an audit entry if ``answer`` sends no command.

    ``operation`` and ``api_path`` are the operation's id and path. ``begin`` returns the trail of a request. A response
    5xx of this gateway gets no entry: nothing was decided.
    """

    def watched(**path: str) -> Response:
        trail = begin()

        def entry(code: str) -> AuditEntry:
            return _entry(operation, trail, trail.target or _target(api_path, path), code)

        try:
            response = answer(trail, path)
        except (Problem, DagwayError, HTTPException) as error:
            status, code = _outcome(error)
            if not trail.sent and (status < problems.INTERNAL or trail.remote_node):
                sender.add(entry(code))
            raise
        if not trail.sent:
            sender.add(entry(""))
        return response

    return watched


def _entry(operation: str, trail: Trail, target: AuditTarget, code: str) -> AuditEntry:
    return AuditEntry(
        actor=trail.actor,
        operation=operation,
        target=_in_workspace(target, trail.workspace),
        outcome="refused" if code else "done",
        code=code,
        facts={"remote_node": trail.remote_node} if trail.remote_node else {},
    )


def _in_workspace(target: AuditTarget, workspace: str) -> AuditTarget:
    """Return a target with its stored name, if it has one. A mark that a request has in a name becomes a space."""
    if not target.name or target.kind == "user":
        return target
    prefix = name_prefix(workspace)
    plain = target.name.removeprefix(prefix).replace(MARK, " ")
    return target.model_copy(update={"name": prefix + plain})


def _outcome(error: Problem | DagwayError | HTTPException) -> tuple[int, str]:
    if isinstance(error, HTTPException):
        return error.code or problems.INTERNAL, "bad_request"
    found = problems.from_error(error) if isinstance(error, DagwayError) else error
    return found.status, found.code


def _target(api_path: str, path: Mapping[str, str]) -> AuditTarget:
    """Return the target that the path names. A name in the body is not known before the request is admitted."""
    kind = _KINDS.get(api_path.split("/")[1], "all")
    if api_path.startswith("/dags/{fileName}/webhook"):
        kind = "webhook"
    named = {"name": "", "id": ""}
    for parameter, value in path.items():
        if parameter in _PARAMETERS:
            named[_PARAMETERS[parameter]] = (
                without_extension(value)[:_MOST_CHARS] if parameter == "fileName" else value[:_MOST_CHARS]
            )
    return AuditTarget(kind=kind, **named)
