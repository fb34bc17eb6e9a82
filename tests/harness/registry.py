"""A container registry with one image that requires a password. Serves the pull part of the distribution API."""

import base64
import gzip
import hashlib
import json

from tests.harness.loopback import Loopback, QuietHandler

__all__ = ["Registry"]

_KINDS = {
    "manifest": "application/vnd.docker.distribution.manifest.v2+json",
    "config": "application/vnd.docker.container.image.v1+json",
    "layer": "application/vnd.docker.image.rootfs.diff.tar.gzip",
}


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Registry(Loopback):
    """Serves ``image``, made of one layer. ``pulled`` counts the requests for the manifest of tag ``1``."""

    user, password = "robot", "let me pull"

    def __init__(self, layer: bytes) -> None:
        self.pulled = 0
        self.refused = 0
        packed = gzip.compress(layer, 1, mtime=0)
        config = json.dumps(
            {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]}}
        ).encode()
        parts = {"config": config, "layer": packed}
        described = {
            name: {"mediaType": _KINDS[name], "size": len(part), "digest": _digest(part)}
            for name, part in parts.items()
        }
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": _KINDS["manifest"],
                "config": described["config"],
                "layers": [described["layer"]],
            }
        ).encode()
        self._blobs = {_digest(data): data for data in parts.values()}
        self._manifest = manifest
        super().__init__(type("Handler", (_Handler,), {"registry": self}))
        self.host = f"127.0.0.1:{self.port}"
        self.image = f"{self.host}/small:1"

    def find(self, path: str) -> tuple[bytes, str] | None:
        """Return the content at a path and its media type."""
        name = path.rsplit("/", 1)[-1]
        if "/manifests/" in path and name in ("1", _digest(self._manifest)):
            self.pulled += name == "1"
            return self._manifest, _KINDS["manifest"]
        if "/blobs/" in path and name in self._blobs:
            return self._blobs[name], "application/octet-stream"
        return (b"{}", "application/json") if path.rstrip("/") == "/v2" else None


class _Handler(QuietHandler):
    protocol_version = "HTTP/1.1"
    registry: Registry

    def do_GET(self) -> None:
        """Answer requests that have the password."""
        registry = self.registry
        word = base64.b64encode(f"{registry.user}:{registry.password}".encode()).decode()
        if self.headers.get("Authorization") != f"Basic {word}":
            registry.refused += 1
            self._answer(401, b"{}", {"WWW-Authenticate": 'Basic realm="tests"'})
        elif (found := registry.find(self.path)) is None:
            self._answer(404, b"{}", {})
        else:
            self._answer(200, found[0], {"Content-Type": found[1], "Docker-Content-Digest": _digest(found[0])})

    do_HEAD = do_GET

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Docker-Distribution-Api-Version": "registry/2.0"}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
