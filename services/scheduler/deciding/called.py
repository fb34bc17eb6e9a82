"""Finds the DAG or file that a ``call`` step names, if that DAG is not defined in the caller's own file.

Source: workflow language, section on sub-DAG steps. As in Dagu, a path is absolute, or relative to the folder of the
DAGs, or else relative to the caller's file.
"""

import posixpath

from services.scheduler.deciding.batch import Batch
from shared.errors import InvalidInput, NotFound

__all__ = ["find_called"]


def find_called(batch: Batch, name: str, caller: str) -> tuple[str, str]:
    """Return spec hash and file name of the called DAG. ``caller``: the file name of the calling run, or empty.

    Raises:
        NotFound: there is no such DAG or file.
        InvalidInput: the DAG has errors.
    """
    path = name.removesuffix(".yaml").removesuffix(".yml")
    root = str(batch.plans.dags_dir or "")
    if root and path.startswith(f"{root}/"):
        path = path[len(root) + 1 :]
    beside = posixpath.join(posixpath.dirname(caller), path)
    for place in dict.fromkeys(posixpath.normpath(each) for each in (path, beside)):
        if "/" in place:
            text_hash = batch.tx.dags.callable_files([place]).get(place)
            if text_hash is not None:
                return text_hash, place
        elif (row := batch.tx.dags.called(place)) is not None:
            if row["errors"]:
                raise InvalidInput(f"DAG {name} is invalid: {'; '.join(row['errors'])}")
            return row["spec_hash"], row["file_name"]
    raise NotFound(f"DAG {name} is not found")
