"""When Python collects garbage: rarely while modules are loaded, and not among what is loaded then."""

import gc

__all__ = ["collect_rarely", "freeze_loaded"]

_USUAL = gc.get_threshold()
_LOADING = 300_000
"""After how many new objects a collection follows while modules are loaded. ``dagway up`` loads 120,000."""


def collect_rarely() -> None:
    """Collect garbage rarely from now on, until ``freeze_loaded``. Call it before modules are loaded.

    Loading leaves only some hundred objects to collect, and a tenth of its CPU time went into the search for
    them. A slightly higher threshold would save little: each new object would still be visited at least once.
    """
    gc.set_threshold(_LOADING, *_USUAL[1:])


def freeze_loaded() -> None:
    """Exclude all present objects from garbage collection. Call it after start-up and before work begins.

    A full collection visits all objects while every thread waits: 75 ms with a gateway's modules loaded. There is none
    before the freeze either, because it would free less than a megabyte.
    """
    gc.freeze()
    gc.set_threshold(*_USUAL)
