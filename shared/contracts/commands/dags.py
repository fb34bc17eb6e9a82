"""Commands about DAGs: their specs, names, versions and suspension."""

from shared.contracts.commands.base import DagChange

__all__ = ["CreateDag", "DeleteDag", "PutSpec", "RenameDag", "ReplaceSpec", "RestoreSpec", "SuspendDag"]


class CreateDag(DagChange):
    """Store a new DAG. Refused if the file name is taken or the spec is invalid."""

    type = "dag.create"
    spec: str


class PutSpec(DagChange):
    """Replace the spec of an existing DAG. An invalid spec changes nothing; the reply lists its errors."""

    type = "dag.put_spec"
    spec: str


class ReplaceSpec(DagChange):
    """Replace the spec of a DAG if the hash of its current spec is one of ``expected``.

    Else the command is refused with ``precondition_failed``.
    """

    type = "dag.replace_spec"
    spec: str
    expected: tuple[str, ...]
    """SHA-256 hashes (in hex) of the specs that may be replaced. ``*`` allows any spec."""


class RestoreSpec(DagChange):
    """Store the spec of an older version of a DAG as its newest version."""

    type = "dag.restore_spec"
    version: int


class RenameDag(DagChange):
    """Rename the file of a DAG. Refused if the new name is taken or a run of the DAG is running."""

    type = "dag.rename"
    new_file_name: str


class SuspendDag(DagChange):
    """Suspend or resume the schedules of a DAG. Repeating the command changes nothing.

    Unlike a pause, a suspension does not hold back queued runs. See *pause* in docs/glossary.md.
    """

    type = "dag.suspend"
    suspend: bool


class DeleteDag(DagChange):
    """Delete a DAG and keep its runs."""

    type = "dag.delete"
