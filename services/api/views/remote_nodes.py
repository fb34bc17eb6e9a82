"""Which remote node a request names, and the path to send there: a node is another server with the same API.

The node may stand behind a proxy, and proxies differ in what they decode and tidy up before they look at a path. So a
path is forwarded only if it names the same operation, or one that the user may call too, however it is read.
"""

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote

from services.api.operations import Operation
from services.api.problems import bad_request
from services.api.settings import RemoteNode, Settings

__all__ = ["chosen_node", "names_node", "remote_operations", "remote_path"]

_HERE = frozenset({"", "local"})
"""Names of this server."""
_PARAMETER = re.compile(r"\{\w+\}")
_MOST_ENCODINGS = 5


def names_node(names: list[str]) -> bool:
    """Return whether a request names a remote node, known or not."""
    return not _HERE.issuperset(names)


def chosen_node(settings: Settings, names: list[str]) -> RemoteNode | None:
    """Return the remote node that a request names, or ``None`` for this server. Raises a 400 for an unknown name."""
    for name in names:
        if name in _HERE:
            continue
        for node in settings.remote_nodes:
            if node.name == name:
                return node
        raise bad_request(f"remoteNode: {name[:100]!r} is not a node in DAGWAY_REMOTE_NODES", field="remoteNode")
    return None


def remote_path(path: str) -> str:
    """Return the path to send. ``path`` is relative to ``/api/v2``; ``%`` and ``/`` in its segments are escaped.

    Raises a 400 for the segments ``.`` and ``..``, however often they are encoded: clients and proxies remove them, and
    the rest is the path of another operation, for which nobody has checked the user's role.
    """
    if any(part in {".", ".."} for part in re.split(r"[/\\]", _decoded(path))):
        raise bad_request("The path of a request to a remote node must not have the segments . and ..")
    return "/".join(quote(unquote(segment), safe="") for segment in path.split("/"))


def remote_operations(method: str, path: str, operations: Iterable[Operation]) -> list[Operation]:
    """Return the operations of this API that ``path`` names after it was decoded, as the node might do.

    ``dags/a%2Fwebhook`` is a DAG here, but a node's proxy may make the webhook of the DAG ``a`` of it.
    """
    plain = _decoded(path).rstrip("/")
    wanted = "GET" if method == "HEAD" else method
    return [each for each in operations if each.method == wanted and _pattern(each.path).fullmatch(plain)]


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile("[^/]+".join(re.escape(part) for part in _PARAMETER.split(path)))


def _decoded(path: str) -> str:
    for _ in range(_MOST_ENCODINGS):
        decoded = unquote(path, errors="replace")
        if decoded == path:
            return path
        path = decoded
    raise bad_request("The path of a request to a remote node is encoded too often")
