"""Named points in the code at which a test can kill the process.

``DAGWAY_FAULTS=relay.before_publish:kill`` kills the process by SIGKILL when it first reaches that point, and
``relay.before_publish:kill@3`` when it reaches the point for the third time. Production leaves the variable unset: a
point then costs one dict lookup.
"""

import os
import signal

from shared.errors import ConfigInvalid

__all__ = ["arm", "point"]


_armed: dict[str, int] = {}
"""By point: at which of its next passes the process is killed."""


def arm(text: str) -> None:
    """Set the faults of this process. ``text`` is a list of ``point:kill[@count]``, separated by commas.

    Raises:
        ConfigInvalid: an item of the list is invalid.
    """
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, action = item.partition(":")
        verb, _, count = action.partition("@")
        if verb != "kill" or not (count or "1").isdigit():
            raise ConfigInvalid(f"DAGWAY_FAULTS: {item!r} is invalid: expected point:kill or point:kill@count")
        _armed[name] = int(count or 1)


def point(name: str) -> None:
    """Kill the process if a fault is set for the point ``name`` and this call is call number ``count`` of the point."""
    if name not in _armed:
        return
    _armed[name] -= 1
    if _armed[name] <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
