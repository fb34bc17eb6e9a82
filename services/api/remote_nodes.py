"""Which remote node a request names: another server with the same API (as in Dagu's REST API v2)."""

from services.api.problems import bad_request
from services.api.settings import RemoteNode, Settings

__all__ = ["chosen_node", "names_node"]

_HERE = frozenset({"", "local"})
"""Names of this server."""


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
