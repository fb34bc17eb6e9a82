"""The build of the wheel bundles the web pages and their editor first, where npm is installed (ADR 42)."""

import sys
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

__all__ = ["EditorHook"]


class EditorHook(BuildHookInterface[Any]):
    """Called by hatchling before it gathers the files of a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Bundle both. A wheel that was built without npm has a plain editor, and pages of single modules."""
        if version == "editable":  # uses the folder itself, for which `make` bundles it
            return
        sys.path.insert(0, self.root)
        try:
            from scripts.build_editor import build_editor  # noqa: PLC0415 - hatchling does not add the root to the path
        finally:
            sys.path.remove(self.root)
        build_editor()
