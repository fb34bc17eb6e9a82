"""The provider ``vault``: the KV version 2 engine of HashiCorp Vault, or of OpenBao, which has the same API.

Sources: https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2 (read) and
https://developer.hashicorp.com/vault/api-docs/auth/kubernetes (login).
"""

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import urllib3

from services.worker.inputs.secret_provider import SecretMissing
from shared.foreign_json import read_json
from shared.outbound_http import ClosingRetry, outbound_pool

__all__ = ["Vault", "VaultSettings"]

_OPTIONS = frozenset({"field", "mount", "version"})
_WAIT = urllib3.Timeout(connect=3, read=5)
# 412: a standby has not seen a write yet. 429, 472, 473: a standby that does not serve. 503: sealed, or in maintenance.
_RETRIES = ClosingRetry(
    total=3, redirect=0, backoff_factor=0.2, status_forcelist=(412, 429, 472, 473, 500, 502, 503), allowed_methods=None,
    raise_on_status=False, raise_on_redirect=False, respect_retry_after_header=False,
)  # fmt: skip
_MOST_BYTES = 8 << 20
"""The largest answer. It is held in memory; Vault itself stores no secret of more than 1 MiB by default."""
_USED = 2 / 3
"""The part of a login's lease after which the worker logs in anew."""
_YOUNG_S = 60.0
"""A login younger than this is not replaced when Vault forbids a request: then the policy forbids it."""


@dataclass(frozen=True, slots=True)
class VaultSettings:
    """How a worker reaches Vault: with ``token``, or with a login by its Kubernetes service account as ``role``."""

    address: str
    token: str = field(default="", repr=False)
    role: str = ""
    auth_path: str = "kubernetes"
    jwt_file: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
    namespace: str = ""
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class _Login:
    token: str = field(repr=False)
    at: float
    until: float
    """Both by the monotonic clock."""


class Vault:
    """Reads secrets from Vault. Thread-safe. Keeps the login, and never a value."""

    def __init__(self, settings: VaultSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._login: _Login | None = None
        ca = None if settings.ca_file is None else str(settings.ca_file)
        self._pool = outbound_pool(
            "any", timeout=_WAIT, retries=_RETRIES, maxsize=8, cert_reqs="CERT_REQUIRED", ca_certs=ca
        )

    def read(self, key: str, options: Mapping[str, str]) -> str:
        """Return one field of the secret at the path ``key``.

        ``options``: ``field`` (default ``value``), ``mount`` of the engine (``secret``), ``version`` (the newest).

        Raises:
            SecretMissing: there is no such secret or field, the worker may not read it, or Vault cannot be reached.
        """
        if unknown := sorted(options.keys() - _OPTIONS):
            raise SecretMissing(f"vault has no option {unknown[0]!r}; it has {', '.join(sorted(_OPTIONS))}")
        name = options.get("field", "value")
        mount, version = options.get("mount", "secret"), options.get("version", "")
        if version and not (version.isascii() and version.isdigit()):
            raise SecretMissing(f"vault: the option version must be a whole number, not {version[:40]!r}")
        path = f"{_path(mount, 'mount')}/data/{_path(key, 'key')}" + (f"?version={version}" if version else "")
        shown = f"{mount}/{key}"
        status, answer = self._get(path)
        if status == 403:
            raise SecretMissing(f'vault: the worker may not read "{shown}"')
        content = answer.get("data")
        values = content.get("data") if isinstance(content, dict) else None
        if status == 404 or (status == 200 and values is None):
            raise SecretMissing(f'vault: there is no secret at "{shown}"' + (f", version {version}" if version else ""))
        if status != 200 or not isinstance(values, dict):
            raise SecretMissing(f'vault: reading "{shown}" failed with HTTP status {status}{_errors(answer)}')
        if name not in values:
            raise SecretMissing(f'vault: "{shown}" has no field {name!r}')
        value = values[name]
        return value if isinstance(value, str) else json.dumps(value)

    def _get(self, path: str) -> tuple[int, dict[str, Any]]:
        token = self._token()
        status, answer = self._request("GET", path, token)
        if status == 403 and (newer := self._token(instead_of=token)) != token:
            status, answer = self._request("GET", path, newer)
        return status, answer

    def _token(self, instead_of: str = "") -> str:
        """Return a token to read with: a new one if the login is old, or if it is ``instead_of`` and not young."""
        if self._settings.token:
            return self._settings.token
        with self._lock:
            now, login = time.monotonic(), self._login
            refused = login is not None and login.token == instead_of and now - login.at >= _YOUNG_S
            if login is None or refused or now >= login.until:
                login = self._login = self._log_in(now)
            return login.token

    def _log_in(self, now: float) -> _Login:
        settings = self._settings
        try:
            jwt = settings.jwt_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SecretMissing(f"vault: the service account's token cannot be read: {settings.jwt_file}") from error
        body = {"role": settings.role, "jwt": jwt}
        status, answer = self._request("POST", f"auth/{_path(settings.auth_path, 'auth path')}/login", "", body)
        auth = answer.get("auth")
        if status != 200 or not isinstance(auth, dict) or not isinstance(auth.get("client_token"), str):
            raise SecretMissing(
                f"vault: the login as role {settings.role!r} failed with HTTP status {status}{_errors(answer)}"
            )
        lease_s = auth.get("lease_duration") or float("inf")
        return _Login(auth["client_token"], now, now + lease_s * _USED)

    def _request(
        self, method: str, path: str, token: str, body: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Return the status and the JSON object of a response."""
        settings = self._settings
        headers = {"X-Vault-Request": "true"}
        headers |= {"X-Vault-Token": token} if token else {}
        headers |= {"X-Vault-Namespace": settings.namespace} if settings.namespace else {}
        try:
            response = self._pool.request(
                method, f"{settings.address}/v1/{path}", headers=headers, json=body, preload_content=False
            )
            data = response.read(_MOST_BYTES + 1)
            response.close() if len(data) > _MOST_BYTES else response.release_conn()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            # The error's own text can be long, and names the whole URL.
            reason = getattr(error, "reason", error)
            raise SecretMissing(
                f"vault: {settings.address} does not answer as it should: {type(reason).__name__}"
            ) from error
        if response.get_redirect_location():
            raise SecretMissing(f"vault: {settings.address} redirects requests: set the address of a node that answers")
        if len(data) > _MOST_BYTES:
            raise SecretMissing(f"vault: the answer of {settings.address} is larger than {_MOST_BYTES} bytes")
        try:
            answer = read_json(data)
        except ValueError:
            answer = None
        return response.status, answer if isinstance(answer, dict) else {}


def _path(text: str, what: str) -> str:
    """Return a path for a URL. Dot segments would lead to another engine of Vault."""
    parts = text.strip("/").split("/")
    if any(part in ("", ".", "..") or not part.isprintable() for part in parts):
        raise SecretMissing(f"vault: the {what} {text[:80]!r} is not a path of names with / between them")
    return "/".join(quote(part, safe="") for part in parts)


def _errors(answer: Mapping[str, Any]) -> str:
    found = answer.get("errors")
    texts = [text for text in found if isinstance(text, str)] if isinstance(found, list) else []
    return f": {'; '.join(texts)[:200]}" if texts else ""
