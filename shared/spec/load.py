"""Load a workflow file: text in, typed dags and every problem with its line out.

Nothing is executed or expanded and no other file is read: loading is safe for text from anybody.
It never raises. A base configuration, when there is one, has its place between ``read_yaml`` and
``read_dag``: merged under each document's mapping, so that defaults apply afterwards.
"""

from dataclasses import dataclass
from pathlib import PurePosixPath

from shared.spec.document import read_dag
from shared.spec.issues import Issue, Issues
from shared.spec.load_yaml import Document, YamlMap, read_yaml
from shared.spec.model import Dag

__all__ = ["Issue", "Loaded", "load"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a text meant. ``documents`` starts with the main dag; local sub-dags follow."""

    documents: tuple[Dag, ...]
    issues: tuple[Issue, ...]

    @property
    def dag(self) -> Dag | None:
        """The main dag, partial when there are errors; ``None`` when not even a name is known."""
        return self.documents[0] if self.documents else None

    @property
    def errors(self) -> list[Issue]:
        """What keeps the workflow from running."""
        return [issue for issue in self.issues if issue.severity == "error"]

    @property
    def warnings(self) -> list[Issue]:
        """What works but may not be meant."""
        return [issue for issue in self.issues if issue.severity == "warning"]

    @property
    def ok(self) -> bool:
        """Whether a run may start from it."""
        return not any(issue.severity == "error" for issue in self.issues)


def load(text: str, *, file_name: str = "", dag_name: str | None = None) -> Loaded:
    """Load every document of ``text``.

    The main dag is called ``dag_name``, else its own ``name``, else after the file. Without any of
    these its name stays empty, which is for the caller to judge.
    """
    issues = Issues()
    fallback = _stem(file_name)
    documents = read_yaml(text, issues)
    dags: list[Dag] = []
    for document in documents:
        main = not dags
        if isinstance(document.value, YamlMap):
            dag = read_dag(
                issues,
                document.value,
                forced_name=(dag_name or "") if main else "",
                fallback_name=fallback if main else "",
            )
            dags.append(dag)
            _check_local_name(issues, document, dags)
        else:
            issues.error("a workflow must be a map of fields", at=document.at, hint="for instance steps: [echo hi]")
            if main:
                dags.append(Dag(name=dag_name or fallback))
    if not dags:
        if not issues.found:
            issues.error("no DAGs found in file")
        if dag_name or fallback:
            dags.append(Dag(name=dag_name or fallback))
    found = sorted(issues.found, key=lambda issue: (issue.line, issue.column))
    return Loaded(documents=tuple(dags), issues=tuple(found))


def _check_local_name(issues: Issues, document: Document, dags: list[Dag]) -> None:
    """Check the last of ``dags`` against those before it."""
    name = dags[-1].name
    at = document.value.key_at.get("name", document.at)
    if len(dags) > 1 and not name:
        issues.error(f"DAG at index {document.index} must have a name in multi-DAG file", at=at)
    elif any(dag.name == name for dag in dags[:-1]):
        issues.error(f'duplicate DAG name "{name}" found', "name", at)


def _stem(file_name: str) -> str:
    name = PurePosixPath(file_name).name
    return name.removesuffix(".yaml").removesuffix(".yml") if name.endswith((".yaml", ".yml")) else name
