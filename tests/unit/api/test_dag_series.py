"""Which DAGs have metric series of their own, and how old their figures may be."""

from services.api.caches.run_totals import RunTotals
from shared.metrics import DagNames, fold
from shared.run_totals import StatusChange
from shared.store.reads.totals import History


def labels(names: DagNames, *dags: str) -> list[str]:
    return [names.label(dag) for dag in dags]


def test_a_stored_dag_takes_the_place_of_a_deleted_one() -> None:
    names = DagNames(2)
    sizes = {"old": 9, "kept": 1}
    assert names.admit(sizes) == 0
    sizes |= {"new": 5, "newer": 4}
    assert names.short(sizes)

    assert names.admit(sizes, {"kept", "new", "newer"}) == 1, "only one place was free"

    assert labels(names, "old", "kept", "new", "newer") == ["", "kept", "new", "other"]
    assert fold(names, sizes) == {"kept": 1, "new": 5, "other": 4}, "other does not jump by the past of the deleted one"
    assert names.admit(sizes, {"old", "kept", "new", "newer"}) == 2, "it is stored again"
    assert labels(names, "old", "new") == ["other", "new"], "a stored DAG keeps its place"


def test_without_stored_names_no_dag_loses_its_place() -> None:
    names = DagNames(1)
    names.admit({"a": 1})
    assert names.admit({"a": 1, "b": 9}) == 1
    assert labels(names, "a", "b") == ["a", "other"]
    assert DagNames(0).admit({"a": 1}, {"a"}) == 1


class Reads:
    """Stands for the reads of runs that end one by one."""

    def __init__(self) -> None:
        self.asked = 0

    def history(self) -> History:
        return History("", {})

    def changes_since(self, mark: str) -> tuple[str, tuple[StatusChange, ...]]:
        self.asked += 1
        return mark, (StatusChange(f"d{self.asked}", "running", "succeeded", None, None, None, 1),)

    def dag_names(self) -> frozenset[str]:
        return frozenset({"d2"})


def test_figures_are_at_most_a_second_old_and_the_folded_names_are_counted() -> None:
    now = [1e6]
    reads, totals = Reads(), RunTotals(max_dags=1, clock_s=lambda: now[0])
    seen = []
    for step_s in (0.0, 0.9, 0.2, 1.0):
        now[0] += step_s
        seen.append((len(totals.get(reads)[0]), totals.folded))  # type: ignore[arg-type]

    assert seen == [(1, 0), (1, 0), (2, 0), (3, 1)]
    assert labels(totals.names, "d1", "d2", "d3") == ["", "d2", "other"]
