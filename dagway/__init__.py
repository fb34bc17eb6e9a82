"""Dagway, a workflow orchestrator.

This package is the public Python API: ``dagway.client`` uses a server, ``dagway.executors`` is for plugins, and
``python -m dagway`` runs the command ``dagway``. The packages ``services`` and ``shared`` are internal: any release may
change them.
"""

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    """Return ``__version__``. It is looked up on first use, because that takes longer than to print the help."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version  # noqa: PLC0415

    return version("dagway")
