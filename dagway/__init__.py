"""Dagway, a workflow orchestrator.

This package is the public Python API: ``dagway.executors`` is for plugins, and ``python -m dagway`` runs the command
``dagway``. The packages ``services`` and ``shared`` are internal: any release may change them.
"""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("dagway")
