"""Remove containers, or end commands in them, after the worker died. Standard library only, since the guardian runs it.

``python -I -S engine_cleanup.py ORDER`` takes one of these orders as JSON:

    {"url": URL, "mark": MARK, "remove": NAME}       remove the container NAME if its label ``dagway.attempt`` is MARK
    {"url": URL, "mark": MARK, "container": NAME}    kill the processes with the mark MARK in the container NAME
    {"url": URL, "prefix": PREFIX}                   remove containers, volumes and networks whose names begin so

It cannot reach an engine behind TLS: there, an operator has to find leftover containers by their labels.
"""

import http.client
import json
import socket
import sys
import time
from urllib.parse import quote, urlsplit

__all__ = ["DEFAULT_ENGINE", "KILL", "cleanup_argv", "main", "remove_named"]

DEFAULT_ENGINE = "unix:///var/run/docker.sock"
KILL = (
    'n=1; for f in /proc/[0-9]*/environ; do if grep -qs "DAGWAY_EXEC=$1" "$f"; then '
    'p=${f#/proc/}; kill -s "$2" "${p%/environ}" 2>/dev/null && n=0; fi; done; exit $n'
)
"""A script for ``sh``, with the arguments mark and signal: send the signal to every process with the mark.

The exit code is 0 if there was any.
"""

_TRIES_S = 4.0
_PAUSE_S = 0.25
_TIMEOUT_S = 10
_REMOVE = "/containers/{}?force=1&v=1&timeout=0"
"""``timeout=0``: Podman would otherwise send TERM first and wait; Docker ignores the parameter."""
_OK = 200
_NOT_FOUND = 404


class _Engine(http.client.HTTPConnection):
    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        super().__init__(parts.hostname or "localhost", parts.port, timeout=_TIMEOUT_S)
        self._path = parts.path if parts.scheme == "unix" else ""

    def connect(self) -> None:
        if not self._path:
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_TIMEOUT_S)
        self.sock.connect(self._path)


def _ask(url: str, method: str, path: str, body: object = None) -> tuple[int, bytes]:
    engine = _Engine(url)
    try:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        engine.request(method, path, None if body is None else json.dumps(body), headers)
        answer = engine.getresponse()
        return answer.status, answer.read()
    finally:
        engine.close()


def remove_named(url: str, prefix: str) -> int:
    """Remove containers, volumes and networks whose names begin with ``prefix``; return how many were found."""
    found = 0
    names = quote(json.dumps({"name": [prefix]}))
    for listing, key, path in (
        (f"/containers/json?all=1&filters={names}", "Id", _REMOVE),
        (f"/volumes?filters={names}", "Name", "/volumes/{}?force=1"),
        (f"/networks?filters={names}", "Id", "/networks/{}"),
    ):
        status, body = _ask(url, "GET", listing)
        rows = json.loads(body) if status == _OK else []
        for row in (rows.get("Volumes") or []) if isinstance(rows, dict) else rows:
            found += 1
            _ask(url, "DELETE", path.format(quote(row[key])))
    return found


def cleanup_argv(order: dict[str, str]) -> list[str]:
    """Return the command line with which the guardian carries out an order."""
    return [sys.executable, "-I", "-S", __file__, json.dumps(order)]


def main(order: dict[str, str]) -> None:
    """Run the order repeatedly for a few seconds, since the worker's last request may take effect late."""
    give_up = time.monotonic() + _TRIES_S
    gone = 0
    while time.monotonic() < give_up:
        if "prefix" in order:
            gone = 0 if remove_named(order["url"], order["prefix"]) else gone + 1
        elif "remove" in order:
            path = f"/containers/{quote(order['remove'])}"
            status, found = _ask(order["url"], "GET", f"{path}/json")
            if status == _OK and (json.loads(found)["Config"]["Labels"] or {}).get("dagway.attempt") == order["mark"]:
                _ask(order["url"], "DELETE", _REMOVE.format(quote(order["remove"])))
            gone = gone + 1 if status == _NOT_FOUND else 0
        else:
            # AttachStdout, since Podman starts a command only if a client reads its output.
            command = {"Cmd": ["sh", "-c", KILL, "dagway", order["mark"], "KILL"], "AttachStdout": True}
            status, created = _ask(order["url"], "POST", f"/containers/{quote(order['container'])}/exec", command)
            if status == _NOT_FOUND:
                return
            path = f"/exec/{json.loads(created)['Id']}"
            _ask(order["url"], "POST", f"{path}/start", {"Detach": False})
            code = json.loads(_ask(order["url"], "GET", f"{path}/json")[1]).get("ExitCode")
            gone = gone + 1 if code else 0
        if gone * _PAUSE_S >= 1:
            return
        time.sleep(_PAUSE_S)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
