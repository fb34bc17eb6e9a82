"""The names of workflow files."""

__all__ = ["EXTENSIONS", "without_extension"]

EXTENSIONS = (".yaml", ".yml")
"""The extensions of workflow files. A new file gets the first."""


def without_extension(name: str) -> str:
    """Return the name or path of a workflow file without its extension. One without an extension stays as it is."""
    return name.rpartition(".")[0] if name.endswith(EXTENSIONS) else name
