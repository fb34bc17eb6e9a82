"""Audit entries of logins and logouts at an OpenID Connect provider, which are not operations of the API."""

from flask import request

from services.api.audit.sender import AuditSender
from services.api.audit.trail import actor_of
from services.api.auth.principals import Principal
from services.api.client_address import address_of
from shared.contracts.audit import AuditEntry, AuditTarget
from shared.log import current

__all__ = ["note_oidc"]


def note_oidc(sender: AuditSender, proxies: int, operation: str, principal: Principal, code: str = "") -> None:
    """Send the entry of a login or logout. ``proxies``: how many are trusted. ``code``: of the error, if refused."""
    sender.add(
        AuditEntry(
            actor=actor_of(principal, address=address_of(request, proxies), request_id=current("request_id") or ""),
            operation=operation,
            target=AuditTarget(kind="user", name=principal.username, id=principal.id),
            outcome="refused" if code else "done",
            code=code,
        )
    )
