"""The example workflows that come with Dagway."""

import shutil
from importlib.resources import as_file, files
from pathlib import Path

from shared.errors import ConfigInvalid

__all__ = ["copy_examples"]


def copy_examples(folder: Path) -> Path:
    """Copy the examples to ``folder`` unless it exists, and return it: users may have changed their copy.

    The folder appears when all of them are copied.

    Raises:
        ConfigInvalid: the folder cannot be written.
    """
    if folder.exists():
        return folder
    installed = files("dagway") / "examples"
    checkout = Path(__file__).parents[2] / "examples"
    part = folder.with_name(f"{folder.name}.part")
    try:
        # What an interrupted copy has left is no copy.
        if part.exists():
            shutil.rmtree(part)
        if installed.is_dir():
            with as_file(installed) as source:
                shutil.copytree(source, part)
        else:
            shutil.copytree(checkout, part)
        part.rename(folder)
    except OSError as error:
        raise ConfigInvalid(f"cannot copy the examples to {folder}: {error}") from error
    return folder
