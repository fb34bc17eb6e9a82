"""The workflow file that a local command reads, with the files that it calls, as one spec."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from services.cli.errors import WorkflowInvalid
from services.cli.paths import read_text
from shared.language.file_names import EXTENSIONS, without_extension
from shared.language.issues import Issues
from shared.language.load import load
from shared.language.model import Dag
from shared.language.snapshot import make_snapshot
from shared.language.yaml.reader import YamlMap, read_yaml

__all__ = ["Bundle", "read_bundle", "with_working_dir"]


@dataclass(frozen=True, slots=True)
class Bundle:
    """``spec`` is the text of all files. ``dags`` are its DAGs, the one to run first."""

    spec: str
    dags: tuple[Dag, ...]
    files: tuple[Path, ...]
    warnings: tuple[str, ...]

    @property
    def dag(self) -> Dag:
        """The DAG to run."""
        return self.dags[0]

    @property
    def labels(self) -> dict[str, str]:
        """The labels that DAGs and steps ask of workers: this machine counts as having them.

        Raises:
            WorkflowInvalid: two of them ask for different values of a label.
        """
        found: dict[str, str] = {}
        for dag in self.dags:
            for selector in (dag.worker_selector, *(step.worker_selector for step in dag.steps)):
                for name, value in selector.items():
                    if found.setdefault(name, value) != value:
                        raise WorkflowInvalid(
                            f"the steps need workers with {name}={found[name]} and with {name}={value}: "
                            "one machine cannot be both; start the run on a server"
                        )
        return found


def read_bundle(file: Path, *, name: str = "", base: str = "") -> Bundle:
    """Read a workflow file and, from the same folder, the files that its steps call.

    Raises:
        WorkflowInvalid: a file cannot be read, or has errors; the text lists them all.
    """
    dags: list[Dag] = []
    texts: list[str] = []
    files: list[Path] = []
    warnings: list[str] = []
    wanted = [file]
    while wanted:
        path = wanted.pop(0)
        text = _read(path)
        frozen = make_snapshot(text, base, handlers=path == file)
        loaded = load(frozen, file_name=path.stem, dag_name=name or None if path == file else None)
        if not loaded.ok:
            raise WorkflowInvalid("\n".join(f"{path}: {issue}" for issue in loaded.issues))
        warnings += [f"{path}: {issue}" for issue in loaded.issues]
        dags += loaded.documents
        texts.append(text if path == file else _named(text, path.stem))
        files.append(path)
        wanted += [each for each in _called(dags, file.parent) if each not in (*files, *wanted)]
    return Bundle("\n---\n".join(texts), tuple(dags), tuple(files), tuple(warnings))


def _read(path: Path) -> str:
    try:
        return read_text(path)
    except OSError as error:
        raise WorkflowInvalid(f"{path}: cannot read the file: {error.strerror}") from error


def _called(dags: list[Dag], folder: Path) -> Iterator[Path]:
    """Yield the files of called DAGs that are not documents of the files read so far."""
    known = {dag.name for dag in dags}
    for dag in dags:
        for step in (*dag.steps, *dag.handlers.values()):
            called = without_extension(step.call)
            if not called or called in known or step.call in known:
                continue
            for path in [folder / f"{called}{extension}" for extension in EXTENSIONS]:
                if path.is_file():
                    yield path
                    break


def _named(text: str, name: str) -> str:
    """Return the text of a called file; its first document has the name by which steps call it."""
    documents = read_yaml(text, Issues())
    if documents and isinstance(documents[0].value, YamlMap) and "name" in documents[0].value:
        return text
    return f"name: {json.dumps(name)}\n{text}"


def with_working_dir(base: str, folder: Path) -> str:
    """Return the base configuration, in which steps run in ``folder`` unless it or the DAG says otherwise."""
    documents = read_yaml(base, Issues()) if base.strip() else []
    if documents and isinstance(documents[0].value, YamlMap) and "workingDir" in documents[0].value:
        return base
    return f"workingDir: {json.dumps(str(folder))}\n{base}"
