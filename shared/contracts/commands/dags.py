"""Commands about a definition's versions."""

from shared.contracts.commands import Command

__all__ = ["DagCommand", "ReplaceSpec", "RestoreSpec"]


class DagCommand(Command):
    """What these have in common: they change one definition, by its file name."""

    file_name: str


class ReplaceSpec(DagCommand):
    """As ``PutSpec``, but refused (``precondition_failed``) unless the text is still the one expected."""

    type = "dag.replace_spec"
    spec: str
    expected: tuple[str, ...]
    """Hashes (SHA-256 in hex) of texts, one of which must be the present one; ``*``: any."""


class RestoreSpec(DagCommand):
    """Make an older version's text the present one, as a new version."""

    type = "dag.restore_spec"
    version: int
