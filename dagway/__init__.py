"""Dagway, a workflow orchestrator.

This package is the public Python API: ``dagway.executors`` for plugins, and ``python -m dagway``, which is the command
``dagway``. The packages ``services`` and ``shared`` are internal and may change in any release.
"""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("dagway")
