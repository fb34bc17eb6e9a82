"""The workflow that ``dagway dry`` and ``dagway validate`` are asked for: a file or, as in Dagu, a DAG by its name."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from services.cli.paths import is_file
from shared.ids import valid_dag_name
from shared.language.file_names import EXTENSIONS

if TYPE_CHECKING:
    from services.cli.remote.gateway import Gateway

__all__ = ["file_of", "gateway_with_dags", "is_dag_name"]


def is_dag_name(text: str) -> bool:
    """Return whether an argument that is no file here can be the name of a DAG of the server."""
    return valid_dag_name(text) and Path(text).suffix not in EXTENSIONS


def file_of(text: str) -> Path | None:
    """Return the file with this path or else, for a name without a folder, the one in the DAG folder of the settings.

    Raises:
        ConfigInvalid: there is no file with this path, and a setting is invalid.
    """
    if is_file(Path(text)):
        return Path(text)
    if Path(text).name != text:
        return None
    from shared.settings.config import environment, load_config  # noqa: PLC0415 - most calls name a file

    folder = load_config({}, environment()).dags_dir
    named = (text, *(f"{text}{suffix}" for suffix in EXTENSIONS)) if is_dag_name(text) else (text,)
    return next((folder / each for each in named if is_file(folder / each)), None) if folder else None


def gateway_with_dags() -> "Gateway":
    """Return the gateway of the environment or of the profile in use: these commands have no options that name one."""
    from services.cli.remote.connecting import find_connection  # noqa: PLC0415 - a file needs no server
    from services.cli.remote.gateway import Gateway  # noqa: PLC0415

    advice = "start one with `dagway up`, or name another by DAGWAY_URL or `dagway config use`"
    return Gateway(replace(find_connection({}), to_reach=advice))
