"""Load a workflow file: turn its text into typed dags, and report every problem with its line.

Loading is safe for untrusted text: it never raises an exception, runs no command, expands no variable and reads no
other file. The base configuration is merged into each document before the defaults of the language apply.
"""

from dataclasses import dataclass
from pathlib import PurePosixPath

from shared.language.dagu2.document import translated
from shared.language.dagu2.recognise import is_dagu2
from shared.language.document import read_dag
from shared.language.file_names import without_extension
from shared.language.issues import Issue, Issues, TooManyIssues
from shared.language.model import Dag
from shared.language.snapshot import parse_snapshot
from shared.language.yaml.inheritance import inherit, read_base
from shared.language.yaml.reader import Document, YamlMap, read_yaml

__all__ = ["Issue", "LoadResult", "load", "merged_documents"]


@dataclass(frozen=True, slots=True)
class LoadResult:
    """The result of ``load``. ``documents`` holds the main dag, followed by the file's local dags."""

    documents: tuple[Dag, ...]
    issues: tuple[Issue, ...]

    @property
    def dag(self) -> Dag | None:
        """The main dag; if it has errors, the part that could be read. ``None`` if there is no document and no name."""
        return self.documents[0] if self.documents else None

    @property
    def errors(self) -> list[Issue]:
        """Problems that keep the workflow from running."""
        return [issue for issue in self.issues if issue.severity == "error"]

    @property
    def warnings(self) -> list[Issue]:
        """Problems with which the workflow can run, but which are probably mistakes."""
        return [issue for issue in self.issues if issue.severity == "warning"]

    @property
    def ok(self) -> bool:
        """Whether a run may start: there are no errors."""
        return not any(issue.severity == "error" for issue in self.issues)


def load(text: str, *, file_name: str = "", dag_name: str | None = None, base: str = "") -> LoadResult:
    """Load every document of ``text``, which is a spec or a snapshot (see ``shared.language.snapshot``).

    The name of the main dag is ``dag_name``, else the ``name`` in its document, else the file name without extension.
    If all three are missing, the name is empty, and the caller must handle that. ``base`` is the text of the base
    configuration. It is not used for a snapshot that has its own.
    """
    issues = Issues()
    frozen = parse_snapshot(text)
    main_name, fallback = dag_name or "", without_extension(PurePosixPath(file_name).name)
    dags: list[Dag] = []
    names: set[str] = set()
    try:
        for document in merged_documents(frozen.text, issues, base=frozen.base or base, handlers=frozen.handlers):
            _read_document(issues, document, dags, main_name, fallback, names=names)
        if not dags and not issues.found:
            issues.error("no DAGs found in file")
    except TooManyIssues:
        issues.found.append(Issue(f"stopped after {Issues.limit} problems: fix these first"))
    if not dags and (main_name or fallback):
        dags.append(Dag(name=main_name or fallback))
    if frozen.selector and dags:
        dags[0] = dags[0].model_copy(update={"worker_selector": dict(frozen.selector)})
    found = sorted(issues.found, key=lambda issue: (issue.source, issue.line or 1 << 30, issue.column))
    return LoadResult(documents=tuple(dags), issues=tuple(found))


def merged_documents(text: str, issues: Issues, *, base: str, handlers: bool = True) -> list[Document]:
    """Return the documents of ``text``, each with the base configuration under it.

    ``handlers``: whether the handlers of ``base`` apply to the main dag; to local dags they never do.
    """
    base_map = read_base(base, issues) if base else None
    if base_map is not None and is_dagu2(base_map):
        base_map = translated(issues, base_map, base=True)
    found = _documents(text, issues)
    if base_map is None:
        return found
    return [
        Document(each.index, inherit(base_map, each.value, handlers=handlers and not position), each.at, base_map)
        if isinstance(each.value, YamlMap)
        else each
        for position, each in enumerate(found)
    ]


def _documents(text: str, issues: Issues) -> list[Document]:
    """Return the documents of ``text``. If one of them is written for Dagu 2, all of them are."""
    found = read_yaml(text, issues)
    if not any(isinstance(each.value, YamlMap) and is_dagu2(each.value) for each in found):
        return found
    return [
        Document(each.index, translated(issues, each.value), each.at) if isinstance(each.value, YamlMap) else each
        for each in found
    ]


def _read_document(
    issues: Issues, document: Document, dags: list[Dag], main_name: str, fallback: str, *, names: set[str]
) -> None:
    """Add the dag of ``document`` to ``dags``, and its name to ``names``; the first one is the main dag."""
    if dags:
        main_name = fallback = ""
    if isinstance(document.value, YamlMap):
        own, base = document.value, document.base
        dags.append(read_dag(issues, own, forced_name=main_name, fallback_name=fallback, base=base))
        _check_local_name(issues, document, dags, names)
        names.add(dags[-1].name)
        return
    if not dags:
        dags.append(Dag(name=main_name or fallback))
    issues.error("a workflow must be a map of fields", at=document.at, hint="for instance steps: [echo hi]")


def _check_local_name(issues: Issues, document: Document, dags: list[Dag], names: set[str]) -> None:
    """Check the name of the last of ``dags`` against the ``names`` of those before it."""
    name = dags[-1].name
    at = document.value.key_at.get("name", document.at)
    if len(dags) > 1 and not name:
        message = f"DAG at index {document.index} must have a name in multi-DAG file"
        issues.error(message, at=at, hint="give it a name, and use that name in call")
    elif name in names:
        issues.error(f'duplicate DAG name "{name}" found', "name", at)
