"""A Kubernetes API of two requests: it lists pods by label, in pages, and patches the status of one.

It checks what a real one checks of these: token, path, media type and uid. Its certificate has no key identifiers.
"""

import json
import ssl
import threading
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.harness.authority import Authority
from tests.harness.loopback import Loopback, QuietHandler

__all__ = ["SELECTOR", "SmallCluster", "pod"]

SELECTOR = "app.kubernetes.io/name=dagway,app.kubernetes.io/component=worker"
_ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"
_PODS = "/api/v1/namespaces/flows/pods"
Answer = tuple[int, dict[str, Any]]


def pod(name: str, port: int, *, cost: str | None = None, owner: str = "ReplicaSet", **about: str) -> dict[str, Any]:
    """Return a running pod on 127.0.0.1 that serves its metrics on ``port``. ``about`` is more of its metadata."""
    labels = dict(part.split("=") for part in SELECTOR.split(","))
    metadata: dict[str, Any] = {"name": name, "uid": f"uid-of-{name}", "labels": labels, **about}
    metadata["ownerReferences"] = [{"kind": owner, "name": "workers", "controller": True}]
    if cost is not None:
        metadata["annotations"] = {_ANNOTATION: cost}
    container = {"name": "worker", "ports": [{"name": "metrics", "containerPort": port}]}
    return {
        "metadata": metadata,
        "spec": {"containers": [container]},
        "status": {"phase": "Running", "podIP": "127.0.0.1"},
    }


class SmallCluster(Loopback):
    """Serves HTTPS on loopback between ``__enter__`` and ``__exit__``. ``account``: a folder as a pod has it."""

    def __init__(self, folder: Path) -> None:
        self.account = folder / "account"
        self.account.mkdir(parents=True)
        authority = Authority("cluster", folder, identified=False)
        (self.account / "ca.crt").write_bytes(authority.file.read_bytes())
        (self.account / "namespace").write_text("flows")
        self.pods: dict[str, dict[str, Any]] = {}
        self.patches: list[tuple[str, str]] = []
        """The name of each pod that was patched, and its new cost."""
        self.lists = 0
        """How many lists were answered to their end."""
        self.page = 2
        self.list_status = 200
        self.patch_statuses: list[int] = []
        """Statuses of the next patches, instead of an answer."""
        self.refused: list[str] = []
        """What was wrong with a request."""
        self._lock = threading.Lock()
        self.rotate("token-1")
        cluster = self

        class Handler(QuietHandler):
            protocol_version = "HTTP/1.1"
            # Headers and body together: apart, each response waits 40 ms for the client's kernel.
            wbufsize = -1

            def _serve(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with cluster._lock:
                    status, content = cluster._answer(self.command, self.path, dict(self.headers.items()), raw)
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_PATCH = _serve

        super().__init__(Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authority.certify("127.0.0.1"))
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def add(self, *pods: dict[str, Any]) -> None:
        self.pods |= {each["metadata"]["name"]: each for each in pods}

    def costs(self) -> dict[str, str]:
        """Return the annotation of each pod that has one."""
        with self._lock:
            found = {name: each["metadata"].get("annotations", {}).get(_ANNOTATION) for name, each in self.pods.items()}
        return {name: cost for name, cost in found.items() if cost is not None}

    def rotate(self, token: str) -> None:
        """Replace the token, as Kubernetes does; the one before is not valid any more."""
        with self._lock:
            self._token = token
            (self.account / "token").write_text(f"{token}\n")

    def _answer(self, method: str, target: str, headers: dict[str, str], raw: bytes) -> Answer:
        url = urlsplit(target)
        if headers.get("Authorization") != f"Bearer {self._token}":
            return self._refuse(401, "Unauthorized")
        if method == "GET" and url.path == _PODS:
            return self._list({key: value for key, (value,) in parse_qs(url.query).items()})
        name = url.path.removeprefix(f"{_PODS}/").removesuffix("/status")
        if method != "PATCH" or url.path != f"{_PODS}/{name}/status":
            return self._refuse(403, f"{method} {url.path} is forbidden")
        if headers.get("Content-Type") != "application/merge-patch+json":
            return self._refuse(415, "not a merge patch")
        if self.patch_statuses:
            return self.patch_statuses.pop(0), {"message": "not now"}
        return self._patch(name, json.loads(raw))

    def _refuse(self, status: int, why: str) -> Answer:
        self.refused.append(why)
        return status, {"kind": "Status", "message": why}

    def _list(self, query: dict[str, str]) -> Answer:
        if self.list_status != 200:
            return self.list_status, {"kind": "Status", "message": "etcd is away"}
        if query["labelSelector"] != SELECTOR:
            return self._refuse(400, f"unexpected selector {query['labelSelector']}")
        first = int(query.get("continue", "0"))
        following = first + min(self.page, int(query["limit"]))
        more = {"continue": str(following)} if following < len(self.pods) else {}
        self.lists += not more
        return 200, {"metadata": more, "items": list(self.pods.values())[first:following]}

    def _patch(self, name: str, body: dict[str, Any]) -> Answer:
        metadata = self.pods.get(name, {}).get("metadata")
        if metadata is None:
            return 404, {"message": f"pods {name!r} not found"}
        changed = body["metadata"]
        if set(body) != {"metadata"} or set(changed) != {"uid", "annotations"}:
            return self._refuse(422, f"changes more than annotations: {body}")
        if changed["uid"] != metadata["uid"]:
            cause = {"field": "metadata.uid", "reason": "FieldValueInvalid", "message": "field is immutable"}
            return 422, {"message": f"Pod {name!r} is invalid", "reason": "Invalid", "details": {"causes": [cause]}}
        metadata.setdefault("annotations", {}).update(changed["annotations"])
        self.patches.append((name, changed["annotations"][_ANNOTATION]))
        return 200, {"metadata": metadata}
