"""Where the home folder of Dagu 1.30 or 2 keeps its files."""

import re
import struct
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from shared.errors import ConfigInvalid
from shared.language.issues import Issues
from shared.language.yaml.reader import YamlMap, read_yaml
from shared.settings.dagu import plain_key, read_dagu_settings, state_folder, with_variables

__all__ = ["DaguHome", "attempts_of", "open_home", "read_optional", "sub_runs_of"]

_ALIVE_S = 60.0
"""A running run writes its heartbeat every few seconds."""
_HEARTBEAT = struct.Struct(">q")
_LEFT_BEHIND: Mapping[str, str] = {
    "artifacts": "files that runs have kept are not imported",
    "dag-state": "there is no state between runs here: actions state.* are errors",
    "workspaces": "they are not imported: all workflows are in the default workspace here, see dagway workspaces",
    "contexts": "make profiles of servers with dagway config",
}
"""Folders in ``data`` of Dagu 2, by its documentation, and what becomes of them."""
_LOG_FOLDERS = re.compile(r"dag-run_[^/]+/run_[^/]+")


@dataclass(frozen=True, slots=True)
class DaguHome:
    """The folders of a home. ``settings``: a line for each setting of its ``config.yaml``.

    ``suspend``: the folders of suspend flags. Dagu 2 moved them into ``data``, and may have left the old ones.
    """

    root: Path
    dags: Path
    base: Path
    suspend: tuple[Path, ...]
    data: Path
    runs: Path
    users: Path
    proc: Path
    logs: Path
    settings: Mapping[str, str]

    def workflows(self) -> Iterator[tuple[str, list[Path]]]:
        """Yield each folder of a workflow by name, and the folders of its root runs, oldest first."""
        for workflow in _folders(self.runs):
            days = sorted((workflow / "dag-runs").glob("[0-9]*/[0-9]*/[0-9]*"))
            yield workflow.name, [run for day in days for run in _folders(day) if run.name.startswith("dag-run_")]

    def accounts(self, kind: str) -> Iterator[Path]:
        """Yield the files of all accounts of a kind: ``users``, ``apikeys`` or ``webhooks``."""
        folder = self.users if kind == "users" else self.data / kind
        yield from sorted(folder.glob("*.json"))

    def left_behind(self) -> Iterator[tuple[str, str]]:
        """Yield the folders of Dagu 2 that have something which is not imported, and why."""
        for name, why in _LEFT_BEHIND.items():
            if _has_files(self.data / name):
                yield name, why

    def log(self, path: str) -> Path | None:
        """Return the log file at ``path`` as a run has recorded it, even if the home was moved since.

        ``None`` if there is none, or if it is not where Dagu writes logs. Whoever could write a step could write its
        record and links too, but must not read the files of the administrator who imports it.
        """
        moved = self.logs.joinpath(*Path(path).parts[-4:])
        for found in (Path(path).resolve(), moved.resolve()):
            # .../logs/WORKFLOW/dag-run_.../run_.../FILE
            in_place = _LOG_FOLDERS.fullmatch("/".join(found.parts[-3:-1]))
            if in_place and found.is_file():
                return found
        return None

    def alive(self, now_s: float) -> str:
        """Return the name of a run that is running now; empty if there is none."""
        for path in sorted(self.proc.rglob("*.proc")):
            data = path.read_bytes()
            if len(data) >= _HEARTBEAT.size and now_s - _HEARTBEAT.unpack_from(data)[0] < _ALIVE_S:
                return path.stem
        return ""


def open_home(root: Path) -> DaguHome:
    """Return the folders of a home, as its ``config.yaml`` names them.

    Raises:
        ConfigInvalid: there is no such home, its configuration is not YAML, or Dagu is running a run in it.
    """
    if not (root / "dags").is_dir() and not (root / "data").is_dir() and not (root / "config.yaml").is_file():
        raise ConfigInvalid(f"{root}: not a Dagu home folder (it has neither dags nor data nor config.yaml)")
    try:
        found = read_dagu_settings({"DAGU_HOME": str(root)}, read_optional)
    except ValueError as error:
        raise ConfigInvalid(str(error)) from error
    paths = _paths(root)
    lines = {source: f"read from here if DAGU_HOME={root} is set" for _, source in found.texts.values()}
    ignored = {line.partition(" has no meaning")[0]: line.partition(" has ")[2] for line in found.ignored}
    state = state_folder(root)
    data = paths.get("datadir", state / "data")
    flags = paths.get("suspendflagsdir")
    home = DaguHome(
        root=root,
        dags=paths.get("dagsdir", root / "dags"),
        base=paths.get("baseconfig", root / "base.yaml"),
        suspend=(flags,) if flags else (state / "suspend", data / "suspend"),
        data=data,
        runs=paths.get("dagrunsdir", data / "dag-runs"),
        users=paths.get("usersdir", data / "users"),
        proc=paths.get("procdir", data / "proc"),
        logs=paths.get("logdir", state / "logs"),
        settings={
            **{source: line for source, line in lines.items() if source.startswith("config.yaml")},
            **{source: f"has {line}" for source, line in ignored.items()},
        },
    )
    if alive := home.alive(time.time()):
        raise ConfigInvalid(f"{root}: Dagu is running {alive}: stop Dagu first, so that nothing changes meanwhile")
    return home


def read_optional(path: Path) -> str | None:
    """Return the text of a file, or ``None`` if there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def attempts_of(run: Path) -> list[Path]:
    """Return the folders of the attempts of a run, oldest first. Hidden ones were deleted."""
    return [each for each in _folders(run) if each.name.startswith("attempt_")]


def sub_runs_of(run: Path) -> list[Path]:
    """Return the folders of all sub-runs of a root run."""
    return [each for each in _folders(run / "children") if each.name.startswith("child_")]


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(each for each in path.iterdir() if each.is_dir() and not each.name.startswith("."))
    except FileNotFoundError:
        return []


def _has_files(folder: Path) -> bool:
    return any(each.is_file() for each in folder.rglob("*"))


def _paths(root: Path) -> dict[str, Path]:
    """Return the folders that the configuration names, by ``plain_key``. Of variables they may have these two."""
    path, environ = root / "config.yaml", {"DAGU_HOME": str(root), "HOME": str(Path.home())}
    documents = list(read_yaml(read_optional(path) or "", Issues()))
    value = documents[0].value if documents else None
    if not isinstance(value, YamlMap):
        return {}
    inner = next((value[key] for key in value if key.lower() == "paths"), None)
    if not isinstance(inner, YamlMap):
        return {}
    named = {plain_key(key): with_variables(str(inner[key]), environ) for key in inner if inner[key]}
    return {key: Path(text).expanduser() for key, text in named.items()}
