"""Which spec a ``call`` means, if none in the caller's own file is meant.

Source: the workflow language, section on sub-DAG steps, and what Dagu does with paths: they start at
the folder of the dags, else at the caller's file, and may be absolute.
"""

import posixpath

from services.scheduler.deciding.batch import Batch
from shared.errors import InvalidInput, NotFound

__all__ = ["find_called"]


def find_called(batch: Batch, name: str, caller: str) -> tuple[str, str]:
    """Return hash and file name of the spec called ``name``; ``caller`` is the calling run's file name or empty.

    Raises:
        NotFound: there is no such dag or file.
        InvalidInput: the dag has errors.
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
