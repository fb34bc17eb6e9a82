"""The gateway's reads of runs and their history."""

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Engine, event

from shared.errors import StoreUnavailable
from shared.status import NodeStatus, RunStatus
from shared.store import tables as t
from shared.store.engine import has_own_session, is_postgres, one_statement, open_engine
from shared.store.reads.reader import ListedRunRow, Reads, RunName, RunRow, TransitionRow
from shared.store.reads.runs import LATEST
from tests.conformance.store_rows import NOW, add, add_dag, add_node, add_run, after
from tests.harness.eventually import free_port


def _ids(runs: Sequence[RunRow | ListedRunRow]) -> list[str]:
    return [run.dag_run_id for run in runs]


def test_a_run_comes_with_nodes_and_names_the_text_it_was_made_from(engine: Engine, reads: Reads) -> None:
    run_key = add_run(
        engine, "etl", "r1", spec="steps: [a]", status="running", params=[["KEY", "värde"]], params_json='{"KEY":1}',
        given="KEY=värde", queued_at=after(1), started_at=after(2), worker_id="w", file_name="etl-file",
    )  # fmt: skip
    add_node(engine, run_key, 1, "second")
    add_node(engine, run_key, 0, "first", status="failed", exit_code=3, outputs={"OUT": "x"}, started_at=after(3))

    run = reads.run("etl", "r1")

    assert run is not None
    assert (run.status, run.params) == (RunStatus.RUNNING, (("KEY", "värde"),))
    assert reads.specs([run.spec_hash]) == {run.spec_hash: "steps: [a]"}
    assert (run.root, run.root_key, run.parent) == (RunName("etl", "r1"), run_key, None)
    assert (run.created_at, run.queued_at, run.started_at, run.finished_at) == (NOW, after(1), after(2), None)
    assert (run.given, run.params_json, run.worker_id, run.file_name) == ("KEY=värde", '{"KEY":1}', "w", "etl-file")
    assert run.nodes is not None
    assert [(node.name, node.status, node.exit_code) for node in run.nodes] == [
        ("first", NodeStatus.FAILED, 3),
        ("second", NodeStatus.NOT_STARTED, None),
    ]
    assert (run.nodes[0].outputs, run.nodes[0].started_at) == ({"OUT": "x"}, after(3))


def test_a_node_comes_with_the_progress_of_its_last_attempt(engine: Engine, reader: Engine, reads: Reads) -> None:
    run_key = add_run(engine, "etl", "r1", run_attempt=2)
    for idx, number in enumerate((1, 2, 1)):
        add_node(engine, run_key, idx, f"n{idx}", number=number)
    for node, run_attempt, number in ((0, 2, 1), (1, 2, 1), (2, 1, 1)):
        said = {"remarks": [{"level": "notice", "text": f"{node}"}]}
        row = {"run_attempt": run_attempt, "number": number, "seq": 1, "said": said, "at": NOW}
        add(engine, t.progress, {"run_key": run_key, "node": node, **row})
    asked: list[str] = []
    event.listen(reader, "before_cursor_execute", lambda *seen: asked.append(seen[2]))

    run = reads.run("etl", "r1")

    assert run is not None
    assert run.nodes is not None
    assert [node.said for node in run.nodes] == [{"remarks": [{"level": "notice", "text": "0"}]}, None, None]
    with one_statement(reader) as connection:
        direct = has_own_session(connection) or not is_postgres(connection)
    # Of a statement that goes to the driver, SQLAlchemy hears nothing.
    assert len([statement for statement in asked if statement.startswith("SELECT")]) == (0 if direct else 1)


def test_latest_is_the_newest_root_run(engine: Engine, reads: Reads) -> None:
    add_run(engine, "etl", "old", created_at=after(1))
    add_run(engine, "etl", "new", created_at=after(2))
    add_run(engine, "etl", "sub", created_at=after(3), root_key="etl/new", parent_key="etl/new")
    add_run(engine, "other", "newer", created_at=after(4))

    found = reads.run("etl", LATEST)

    assert found is not None
    assert found.dag_run_id == "new"


@pytest.mark.parametrize(("dag_name", "run_id"), [("etl", "none"), ("none", LATEST), ("ETL", "r1"), ("etl", "sub")])
def test_a_missing_run_is_none(engine: Engine, reads: Reads, dag_name: str, run_id: str) -> None:
    add_run(engine, "etl", "r1")
    add_run(engine, "etl", "sub", root_key="etl/r1", parent_key="etl/r1")

    assert reads.run(dag_name, run_id) is None


def test_sub_runs_are_found_under_their_root_with_both_names(engine: Engine, reads: Reads) -> None:
    root = add_run(engine, "top", "r")
    child = add_run(engine, "mid", "c2", root_key=root, parent_key=root, created_at=after(2))
    add_run(engine, "mid", "c1", root_key=root, parent_key=root, created_at=after(1))
    add_run(engine, "low", "g", root_key=root, parent_key=child)

    grandchild = reads.sub_run(root, "g")

    assert grandchild is not None
    assert (grandchild.root, grandchild.parent) == (RunName("top", "r"), RunName("mid", "c2"))
    assert (grandchild.root_key, grandchild.nodes) == (root, ())
    assert _ids(reads.sub_runs(root, root)) == ["c1", "c2"]
    assert _ids(reads.sub_runs(root, child)) == ["g"]
    assert reads.sub_run(root, "r") is None
    assert reads.sub_run("top/x", "g") is None


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        ({}, ["r-5", "a.4", "b_4", "r-3", "R-2", "r-1"]),
        ({"dag_name": "etl"}, ["r-5", "a.4", "b_4", "r-1"]),
        ({"dag_name": "ET"}, []),
        ({"id_part": "r-"}, ["r-5", "r-3", "r-1"]),
        ({"id_part": "_"}, ["b_4"]),
        ({"id_part": "latest"}, []),
        ({"status": RunStatus.RUNNING}, ["r-5", "r-3"]),
        ({"status": RunStatus.REJECTED}, []),
        ({"created_from": after(2), "created_before": after(4)}, ["r-3", "R-2"]),
        ({"created_from": after(4)}, ["r-5", "a.4", "b_4"]),
        ({"created_before": after(2)}, ["r-1"]),
        ({"created_from": after(4), "created_before": after(2)}, []),
        ({"dag_name": "etl", "status": RunStatus.RUNNING, "id_part": "5"}, ["r-5"]),
        ({"limit": 2}, ["r-5", "a.4"]),
        ({"behind": ListedRunRow("etl/a.4", 0, after(4), "a.4")}, ["b_4", "r-3", "R-2", "r-1"]),
        ({"behind": ListedRunRow("etl/a.9", 0, after(4), "a.9"), "limit": 1}, ["b_4"]),
        ({"behind": ListedRunRow("etl/r-1", 0, after(1), "r-1")}, []),
        ({"down_to": ListedRunRow("etl/a.4", 0, after(4), "a.4")}, ["r-5", "a.4"]),
        ({"down_to": ListedRunRow("etl/b_4", 0, after(4), "b_4"), "search": "R"}, ["r-5"]),
        ({"run_id": "r-3"}, ["r-3"]),
        ({"run_id": "r-6"}, []),
    ],
)
def test_runs_are_filtered_and_newest_first(
    engine: Engine, reads: Reads, filters: dict[str, Any], ids: list[str]
) -> None:
    add_run(engine, "etl", "r-1", created_at=after(1))
    add_run(engine, "Etl", "R-2", created_at=after(2))
    add_run(engine, "other", "r-3", created_at=after(3), status="running")
    add_run(engine, "etl", "b_4", created_at=after(4), status="failed")
    add_run(engine, "etl", "a.4", created_at=after(4))
    add_run(engine, "etl", "r-5", created_at=after(5), status="running")
    add_run(engine, "sub", "r-6", created_at=after(6), root_key="etl/r-5", parent_key="etl/r-5")

    assert _ids(reads.runs(**filters)) == ids


def test_pages_have_all_runs_that_were_created_at_once_under_one_id(engine: Engine, reads: Reads) -> None:
    for name in ("c", "a", "d", "b"):
        add_run(engine, name, "build-7", created_at=after(1))
    add_run(engine, "a", "build-8", created_at=after(1))
    order = ["a/build-7", "b/build-7", "c/build-7", "d/build-7", "a/build-8"]

    for limit in (1, 2, 3):
        found: list[ListedRunRow] = []
        while page := reads.runs(behind=found[-1] if found else None, limit=limit):
            found += page
        assert [each.run_key for each in found] == order
    end = reads.search_end(most=2)
    assert end is not None
    assert [each.run_key for each in reads.runs(down_to=end)] == order[:2]
    assert [each.run_key for each in reads.runs(behind=end)] == order[2:]
    assert [each.run_key for each in reads.runs(oldest_first=True)] == order[::-1]


def test_a_part_of_an_id_is_found_in_longer_ids_whatever_its_length(engine: Engine, reads: Reads) -> None:
    whole = "0194F3A1-0000-7000-8000-123456789abc"
    ids = [whole, f"x{whole}", f"{whole}-of-monday", whole.lower(), "b" * 40]
    for number, run_id in enumerate(ids):
        add_run(engine, f"dag-{number}", run_id, run_key=f"k{number}", created_at=after(number))
    add_run(engine, "sub", f"y{whole}", run_key="sub", root_key="k0", parent_key="k0")

    assert _ids(reads.runs(id_part=whole)) == _ids(reads.runs(id_part=whole[:-1])) == [ids[2], ids[1], ids[0]]
    assert _ids(reads.runs(id_part=ids[1])) == [ids[1]]
    assert _ids(reads.runs(id_part="b" * 36)) == ["b" * 40]
    assert _ids(reads.runs(id_part="b" * 36, dag_name="dag-0")) == []
    assert _ids(reads.runs(id_part="c" * 36)) == []


def test_a_search_pauses_at_a_run_and_goes_on_behind_it(engine: Engine, reads: Reads) -> None:
    for number in range(5):
        add_run(engine, "etl", f"r{number}", created_at=after(number // 2), status="failed" if number % 2 else "queued")
    add_run(engine, "etl", "sub", created_at=after(9), root_key="etl/r0", parent_key="etl/r0")

    end = reads.search_end(most=3)
    assert end is not None
    assert _ids([end]) == ["r3"]
    assert _ids(reads.runs(down_to=end)) == ["r4", "r2", "r3"]
    assert _ids(reads.runs(behind=end)) == ["r0", "r1"]
    assert reads.search_end(behind=end, most=3) is None
    failed = reads.search_end(status=RunStatus.FAILED, most=1)
    assert failed is not None
    assert _ids([failed]) == ["r3"]


def test_recent_runs_bring_their_nodes_with_two_queries(engine: Engine, reader: Engine, reads: Reads) -> None:
    for number in range(4):
        run_key = add_run(engine, "etl", f"r{number}", created_at=after(number))
        add_node(engine, run_key, 0, f"step of {number}")
    asked: list[str] = []
    event.listen(reader, "before_cursor_execute", lambda *seen: asked.append(seen[2]))

    runs = reads.recent_runs("etl", limit=3)

    assert _ids(runs) == ["r3", "r2", "r1"]
    assert [node.name for run in runs for node in run.nodes or ()] == ["step of 3", "step of 2", "step of 1"]
    assert len([statement for statement in asked if statement.startswith("SELECT")]) == 2
    assert reads.recent_runs("none") == ()


def test_the_latest_run_of_each_dag_is_a_running_one_if_there_is_one(
    engine: Engine, reader: Engine, reads: Reads
) -> None:
    for name in ("busy", "idle", "never", "twins"):
        add_dag(engine, name)
    add_dag(engine, "twins-too", dag_name="twins")
    add_run(engine, "busy", "old", status="running", created_at=after(1))
    add_run(engine, "busy", "running", status="running", created_at=after(2))
    add_run(engine, "busy", "done", created_at=after(3))
    add_run(engine, "idle", "old", created_at=after(1))
    add_run(engine, "idle", "b", created_at=after(2), status="queued")
    add_run(engine, "idle", "a", created_at=after(2))
    add_run(engine, "idle", "sub", created_at=after(9), status="running", root_key="busy/old", parent_key="busy/old")
    add_run(engine, "twins", "one")
    taken: list[object] = []
    event.listen(reader, "checkout", lambda *seen: taken.append(seen))

    latest = reads.latest_runs(["busy", "idle", "never", "twins", "unknown", "busy"])

    assert {name: run.dag_run_id for name, run in latest.items()} == {"busy": "running", "idle": "a", "twins": "one"}
    assert len(taken) == 1  # for one statement
    assert reads.latest_runs([]) == {}


def test_the_running_runs_of_a_dag(engine: Engine, reads: Reads) -> None:
    add_run(engine, "etl", "one", status="running", created_at=after(1))
    add_run(engine, "etl", "two", status="running", created_at=after(2))
    add_run(engine, "etl", "queued", status="queued")
    add_run(engine, "etl", "sub", status="running", root_key="etl/one", parent_key="etl/one")

    assert reads.running_run_ids("etl") == ("two", "one")
    assert reads.running_run_ids("none") == ()


def test_transitions_come_in_order_with_the_names_of_nodes(engine: Engine, reads: Reads) -> None:
    run_key = add_run(engine, "etl", "r")
    add_node(engine, run_key, 0, "extract")
    row = {"run_key": run_key, "at": NOW, "by": "core", "why": "asked"}
    add(
        engine,
        t.transitions,
        row | {"seq": 2, "node": 0, "was": "not_started", "became": "running"},
        row | {"seq": 1, "node": None, "was": "queued", "became": "running"},
        row | {"seq": 3, "node": 0, "was": "running", "became": "succeeded"},
    )

    assert reads.transitions(run_key)[:2] == (
        TransitionRow(1, NOW, None, None, "queued", "running", "asked", "core"),
        TransitionRow(2, NOW, 0, "extract", "not_started", "running", "asked", "core"),
    )
    assert [each.seq for each in reads.transitions(run_key)] == [1, 2, 3]
    assert reads.transitions("none") == ()


def test_the_schema_revisions_are_read_if_the_database_is_there(reads: Reads) -> None:
    assert reads.schema().serves

    with pytest.raises(StoreUnavailable):
        Reads(open_engine(f"postgresql://x@127.0.0.1:{free_port()}/x", read_only=True)).schema()
