"""Finds the DAG or file that a ``call`` step names, if that DAG is not defined in the caller's own file.

As in Dagu, a path is absolute, or relative to the folder of the DAGs, or else relative to the caller's file.
Source: docs/workflow-reference.md#calls-of-other-workflows.
"""

import posixpath

from services.scheduler.deciding.batch import Batch
from shared.errors import InvalidInput, NotFound
from shared.language.file_names import without_extension
from shared.workspaces import stored_name

__all__ = ["find_called"]


def find_called(batch: Batch, name: str, caller: str, workspace: str) -> tuple[str, str]:
    """Return spec hash and file name of the called DAG. ``caller``: the file name of the calling run, or empty.

    A DAG of a workspace calls DAGs of the same one. Files in folders belong to the default workspace.

    Raises:
        NotFound: there is no such DAG or file.
        InvalidInput: the DAG has errors, or its name could be one of another workspace.
    """
    path = stored_name(workspace, without_extension(name))
    places = [path]
    if not workspace:
        if batch.plans.dags_dir is not None:
            path = path.removeprefix(f"{batch.plans.dags_dir}/")
        places = [posixpath.normpath(each) for each in (path, posixpath.join(posixpath.dirname(caller), path))]
    for place in dict.fromkeys(places):
        if "/" in place:
            text_hash = batch.tx.dags.callable_files([place]).get(place)
            if text_hash is not None:
                return text_hash, place
        elif (found := _called(batch, name, place)) is not None:
            return found
    raise NotFound(f"there is no DAG {name!r}")


def _called(batch: Batch, name: str, stored: str) -> tuple[str, str] | None:
    row = batch.tx.dags.called(stored)
    if row is None:
        return None
    if row["errors"]:
        raise InvalidInput(f"DAG {name} is invalid: {'; '.join(row['errors'])}")
    return row["spec_hash"], row["file_name"]
