"""Servers for the provider ``vault``: a small one on loopback, and a real OpenBao or Vault as a process.

The small one has what a worker uses of KV version 2 and of the Kubernetes auth, as their API pages describe it. The
tests of ``tests/integration/test_vault.py`` run against both: against the real one if ``DAGWAY_TEST_VAULT`` names the
program (``make vault BAO=...``).
"""

import json
import secrets
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

import jwt
import urllib3
from cryptography.hazmat.primitives.asymmetric import ec

from tests.harness.authority import Authority
from tests.harness.eventually import eventually
from tests.harness.loopback import Loopback, QuietHandler
from tests.harness.servers.base import Server

__all__ = ["JWT", "ROLE", "JsonServer", "RealVault", "SmallVault"]

ROLE = "dagway-worker"
_CLAIM = "kubernetes.io/serviceaccount"
JWT = jwt.encode(
    {
        "iss": "kubernetes/serviceaccount",
        "sub": "system:serviceaccount:dagway:worker",
        f"{_CLAIM}/namespace": "dagway",
        f"{_CLAIM}/service-account.name": "worker",
        f"{_CLAIM}/service-account.uid": "1",
    },
    ec.generate_private_key(ec.SECP256R1()),
    "ES256",
)
"""The token of a service account, as Kubernetes makes it."""
Answer = tuple[int, dict[str, Any]]


class JsonServer(Loopback):
    """Serves JSON on loopback between ``__enter__`` and ``__exit__``."""

    def __init__(self, answer: Callable[[str, str, dict[str, str], dict[str, Any]], Answer]) -> None:
        class Handler(QuietHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                status, content = answer(self.command, self.path, headers, json.loads(raw or b"{}"))
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Content-Type", "application/json")
                if "location" in content:
                    self.send_header("Location", content["location"])
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = _serve

        super().__init__(Handler)
        self.address = f"http://127.0.0.1:{self.port}"


class SmallVault(JsonServer):
    """A server with one engine, at ``secret``. Its tokens read all but what is below ``forbidden``."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.token = "s.root"
        self.logins = 0
        self.failures: list[int] = []
        """HTTP statuses of the next requests, instead of an answer."""
        self._versions: dict[str, list[dict[str, Any] | None]] = {}
        self._tokens = {self.token}

    def put(self, path: str, values: dict[str, Any]) -> None:
        self._versions.setdefault(path, []).append(values)

    def delete(self, path: str) -> None:
        """Delete the newest version."""
        self._versions[path][-1] = None

    def end_logins(self) -> None:
        self._tokens = {self.token}

    def _answer(self, method: str, target: str, headers: dict[str, str], body: dict[str, Any]) -> Answer:
        if self.failures:
            return self.failures.pop(0), {"errors": ["Vault is sealed"]}
        url = urlsplit(target)
        path = unquote(url.path).removeprefix("/v1/")
        if path == "auth/kubernetes/login" and method == "POST":
            return self._log_in(body)
        if headers.get("x-vault-token") not in self._tokens or path.startswith("secret/data/forbidden"):
            return 403, {"errors": ["1 error occurred:\n\t* permission denied\n\n"]}
        versions = self._versions.get(path.removeprefix("secret/data/"), [])
        (number,) = parse_qs(url.query).get("version", [str(len(versions))])
        if not versions or not 1 <= int(number) <= len(versions):
            return 404, {"errors": []}
        values = versions[int(number) - 1]
        facts = {"version": int(number), "deletion_time": "" if values is not None else "2026-01-01T00:00:00Z"}
        return 200 if values is not None else 404, {"data": {"data": values, "metadata": facts}}

    def _log_in(self, body: dict[str, Any]) -> Answer:
        if body.get("role") != ROLE:
            return 400, {"errors": [f'invalid role name "{body.get("role")}"']}
        if body.get("jwt") != JWT:
            return 403, {"errors": ["permission denied"]}
        self.logins += 1
        token = f"s.{secrets.token_hex(8)}"
        self._tokens.add(token)
        return 200, {"auth": {"client_token": token, "lease_duration": 3600, "renewable": True}}


class RealVault(Server):
    """A development server of ``program``. A server of ours stands in for Kubernetes, which vouches for ``JWT``."""

    token = "root-of-the-tests"

    def __init__(self, program: Path) -> None:
        super().__init__("vault")
        self._program = program
        self.address = f"http://127.0.0.1:{self.port}"
        self._cluster = JsonServer(self._review)
        self._pool = urllib3.PoolManager(retries=False, timeout=30)

    def __enter__(self) -> Self:
        self._cluster.__enter__()
        argv = [str(self._program), "server", "-dev", "-dev-no-store-token", f"-dev-root-token-id={self.token}"]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*argv, f"-dev-listen-address=127.0.0.1:{self.port}"],
                stdout=log,
                stderr=log,
                env={"HOME": str(self.dir), "PATH": "/usr/bin:/bin"},
                start_new_session=True,
            )
        try:
            eventually(self._answers)
            self._set_up()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _answers(self) -> bool:
        try:
            self._ask("GET", "sys/health")
        except urllib3.exceptions.HTTPError:
            return False
        return True

    def _set_up(self) -> None:
        self._ask("POST", "sys/auth/kubernetes", {"type": "kubernetes"})
        # The server wants a certificate, also for a cluster without TLS.
        cluster = {"kubernetes_ca_cert": Authority("cluster", self.dir).file.read_text()}
        cluster |= {"kubernetes_host": self._cluster.address, "token_reviewer_jwt": "of-the-reviewer"}
        self._ask("POST", "auth/kubernetes/config", cluster)
        policy = 'path "secret/data/*" { capabilities = ["read"] }\npath "secret/data/forbidden/*" '
        self._ask("PUT", "sys/policies/acl/dagway", {"policy": policy + '{ capabilities = ["deny"] }'})
        accounts = {"bound_service_account_names": "worker", "bound_service_account_namespaces": "dagway"}
        self._ask("POST", f"auth/kubernetes/role/{ROLE}", accounts | {"token_policies": "dagway", "token_ttl": "1h"})

    def __exit__(self, *_: object) -> None:
        self._signal_and_wait(signal.SIGTERM)
        self._cluster.__exit__(None, None, None)

    def put(self, path: str, values: dict[str, Any]) -> None:
        self._ask("POST", f"secret/data/{path}", {"data": values})

    def delete(self, path: str) -> None:
        """Delete the newest version."""
        self._ask("DELETE", f"secret/data/{path}")

    def end_logins(self) -> None:
        self._ask("PUT", "sys/leases/revoke-prefix/auth/kubernetes/login")

    def _review(self, _method: str, _target: str, _headers: dict[str, str], body: dict[str, Any]) -> Answer:
        """Answer a TokenReview, which https://kubernetes.io/docs/reference/access-authn-authz/ describes."""
        known = body["spec"]["token"] == JWT
        user = {"username": "system:serviceaccount:dagway:worker", "uid": "1", "groups": ["system:serviceaccounts"]}
        return 201, {**body, "status": {"authenticated": known, "user": user if known else {}}}

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        url = f"{self.address}/v1/{path}"
        answer = self._pool.request(method, url, headers={"X-Vault-Token": self.token}, json=body)
        assert answer.status in (200, 204), (path, answer.status, answer.data)
