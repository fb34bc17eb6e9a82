"""Decides which workers satisfy a worker selector."""

from collections.abc import Mapping

__all__ = ["satisfies"]


def satisfies(labels: Mapping[str, str], selector: Mapping[str, str]) -> bool:
    """Return whether a worker with ``labels`` may run steps with the worker selector ``selector``."""
    return selector.items() <= labels.items()
