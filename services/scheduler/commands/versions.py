"""A definition's versions: replaced only if nobody else did meanwhile, and restored."""

from typing import Any

from services.scheduler.commands.dags import Definitions
from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.plans import Plans
from shared.contracts.commands import PutSpec
from shared.contracts.commands.dags import DagCommand, ReplaceSpec, RestoreSpec
from shared.errors import Conflict, InvalidInput, NotFound

__all__ = ["carry_out_version"]


class _PreconditionFailed(Conflict):
    code = "precondition_failed"


def carry_out_version(batch: Batch, plans: Plans, command: DagCommand) -> dict[str, Any]:
    """Carry out one of these commands within ``batch``'s transaction."""
    row = batch.tx.dags.lock(command.file_name)
    if row is None:
        raise NotFound(f"DAG {command.file_name} not found")
    match command:
        case ReplaceSpec():
            if "*" not in command.expected and row["spec_hash"] not in command.expected:
                raise _PreconditionFailed(f"DAG {command.file_name} was changed meanwhile: read it again")
            text = command.spec
        case RestoreSpec():
            text_hash = batch.tx.dags.version_hash(command.file_name, command.version)
            if text_hash is None:
                raise NotFound(f"DAG {command.file_name} has no version {command.version}")
            text = batch.tx.dags.spec_texts([text_hash])[text_hash]
        case _:
            raise InvalidInput(f"{type(command).__name__} is not a command about a definition")
    put = PutSpec(by=command.by, file_name=command.file_name, spec=text)
    result = Definitions(batch.tx, plans, batch.now).put_spec(put)
    return {**result, "version": row["version"] + (not result["errors"])}
