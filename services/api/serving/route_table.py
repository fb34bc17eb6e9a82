"""The paths of an application: which view answers which method and path.

Werkzeug compiles a hundred paths in 90 ms of CPU time. Applications with the same paths share what was compiled,
so only the first one in a process pays for it.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from flask import Flask
from werkzeug.routing import Map, PathConverter, Rule

from services.api.serving.raw_path import SegmentConverter

__all__ = ["RouteTable"]


class _PageConverter(PathConverter):
    """Matches any path except those of the API and of files: there an unknown path must be a 404."""

    regex = r"(?!(?:api|assets|web)(?:/|$))[^/].*?"


class RouteTable:
    """Collects paths in Werkzeug's notation, with the converters ``segment`` and ``page``."""

    def __init__(self) -> None:
        self._routes: list[tuple[str, str, str]] = []
        self._views: dict[str, Callable[..., Any]] = {}

    def add(self, method: str, path: str, endpoint: str, view: Callable[..., Any]) -> None:
        """Add a path. Metrics and spans name the request by ``endpoint``, so each may be added once."""
        if endpoint in self._views:
            raise ValueError(f"two views are named {endpoint}")
        self._routes.append((method, path, endpoint))
        self._views[endpoint] = view

    def install(self, app: Flask) -> None:
        """Make ``app`` serve these paths and no others."""
        app.url_map = _compiled(tuple(self._routes))
        app.view_functions.update(self._views)


@lru_cache(maxsize=8)
def _compiled(routes: tuple[tuple[str, str, str], ...]) -> Map:
    return Map(
        [Rule(path, endpoint=endpoint, methods=[method]) for method, path, endpoint in routes],
        strict_slashes=False,
        merge_slashes=False,
        converters={"segment": SegmentConverter, "page": _PageConverter},
    )
