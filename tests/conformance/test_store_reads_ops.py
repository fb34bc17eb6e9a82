"""The gateway's reads of DAGs, workers, queues and totals."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from shared.admission.runs import AGING, HIGH, LOW, RESUMED
from shared.status import AttemptState
from shared.store import tables as t
from shared.store.engine import open_engine
from shared.store.reads.backlog import BacklogReads, OpenAttempts
from shared.store.reads.reader import DagRow, Place, QueuePlace, Reads, RunName, ServiceRow
from shared.store.reads.rows import CommandRow
from tests.conformance.store_rows import NOW, add, add_dag, add_node, add_run, after, hash_of
from tests.harness.databases import migrated_sqlite
from tests.harness.statements import statements


def test_a_dag_comes_with_its_text(engine: Engine, reads: Reads) -> None:
    add_dag(engine, "etl", spec="steps: [ä]", dag_name="Etl", errors=["line 3: no"])

    assert reads.dag("etl") == DagRow(
        file_name="etl",
        dag_name="Etl",
        version=1,
        errors=("line 3: no",),
        suspended=False,
        spec_hash=hash_of("steps: [ä]"),
        created_at=NOW,
        updated_at=NOW,
        spec="steps: [ä]",
    )
    assert reads.dag("Etl") is None


def test_the_name_of_a_dag_is_read_without_its_text(engine: Engine, reader: Engine, reads: Reads) -> None:
    add_dag(engine, "etl", dag_name="Etl")
    sent: list[str] = []
    event.listen(reader, "before_cursor_execute", lambda *facts: sent.append(facts[2]))

    assert reads.dag_name("etl") == "Etl"
    assert reads.dag_name("Etl") is None
    assert sent
    assert not any("yaml" in statement for statement in sent)


@pytest.mark.parametrize(
    ("asked", "names", "total"),
    [
        ({}, ["a-first", "B-second", "c_third", "d-fourth"], 4),
        ({"order": "desc"}, ["d-fourth", "c_third", "B-second", "a-first"], 4),
        ({"page": 2, "per_page": 3}, ["d-fourth"], 4),
        ({"page": 9, "per_page": 3}, [], 4),
        ({"name": "b-SEC"}, ["B-second"], 1),
        ({"name": "_"}, ["c_third"], 1),
        ({"name": "%"}, [], 0),
        ({"tag": "NIGHTLY"}, ["B-second", "d-fourth"], 2),
        ({"tag": "night"}, [], 0),
        ({"tag": "nightly", "name": "fourth"}, ["d-fourth"], 1),
        ({"faulty": True}, ["a-first", "d-fourth"], 2),
        ({"faulty": True, "tag": "x"}, ["d-fourth"], 1),
    ],
)
def test_a_page_of_dags(engine: Engine, reads: Reads, asked: dict[str, Any], names: list[str], total: int) -> None:
    add_dag(engine, "d-fourth", tags=["nightly", "x"], errors=["line 1: no"])
    add_dag(engine, "a-first", errors=["line 1: no", "line 2: no"])
    add_dag(engine, "c_third", tags=["x"])
    add_dag(engine, "B-second", tags=["nightly"])

    page = reads.dag_page(**asked)

    assert ([dag.file_name for dag in page.dags], page.total) == (names, total)


def test_dags_are_sorted_by_the_name_of_the_dag_then_of_the_file(engine: Engine, reads: Reads) -> None:
    add_dag(engine, "f1", dag_name="zeta")
    add_dag(engine, "f3", dag_name="Alpha")
    add_dag(engine, "f2", dag_name="alpha")

    assert [dag.file_name for dag in reads.dag_page().dags] == ["f2", "f3", "f1"]


@pytest.mark.parametrize(
    ("order", "names"),
    [("asc", ["soon", "later", "a-never", "b-never"]), ("desc", ["later", "soon", "b-never", "a-never"])],
)
def test_dags_are_sorted_by_their_next_start(engine: Engine, reads: Reads, order: Any, names: list[str]) -> None:
    for name, start in {"later": after(9), "b-never": None, "soon": after(1), "a-never": None}.items():
        add_dag(engine, name)
        if name != "b-never":
            # A row without a start is a dag that is only stopped by its schedule, or paused.
            row = {"file_name": name, "dag_version": 1, "zone": "UTC", "decided_until": NOW, "next_fire_at": after(1)}
            add(engine, t.schedules, row | {"next_start_at": start})

    page = reads.dag_page(sort="next_start", order=order)

    assert [dag.file_name for dag in page.dags] == names
    assert {dag.file_name: dag.next_start_at for dag in page.dags}["soon"] == after(1)
    assert [dag.file_name for dag in reads.dag_page(sort="next_start", order=order, page=2, per_page=3).dags] == names[
        3:
    ]


def test_tags_and_texts_of_all_dags(engine: Engine, reads: Reads) -> None:
    add_dag(engine, "b", spec="b: 1", tags=["y", "x"])
    add_dag(engine, "a", spec="a: 1", tags=["x"])

    assert reads.tags() == ("x", "y")
    assert [(dag.file_name, dag.spec_hash) for dag in reads.dag_specs()] == [
        ("a", hash_of("a: 1")),
        ("b", hash_of("b: 1")),
    ]
    assert reads.specs([hash_of("a: 1"), "none", hash_of("a: 1")]) == {hash_of("a: 1"): "a: 1"}
    assert reads.specs([]) == {}


def test_open_attempts_are_counted_by_worker_or_by_the_spec_whose_selector_they_wait_for(
    engine: Engine, reader: Engine
) -> None:
    for number in range(3):
        key = add_run(engine, "etl", f"r{number}", spec="steps: [a]", status="running")
        add_node(engine, key, 0, "a", token=f"{key}/0", token_state="dispatched")
        add_node(engine, key, 1, "b", token=f"{key}/1", token_state="running", token_worker=f"w{number % 2}")
        add_node(engine, key, 2, "c")
    add_node(engine, add_run(engine, "other", "r0", spec="steps: [b]"), 0, "b", token="x", token_state="dispatched")

    found = BacklogReads(reader).backlog(NOW).open_attempts

    assert set(found) == {
        OpenAttempts("running", 2, "w0"),
        OpenAttempts("running", 1, "w1"),
        OpenAttempts("dispatched", 3, None, hash_of("steps: [a]")),
        OpenAttempts("dispatched", 1, None, hash_of("steps: [b]")),
    }
    assert len(found) == 4


def test_workers_come_with_their_open_attempts(engine: Engine, reads: Reads) -> None:
    for name in ("w2", "w1"):
        add(
            engine,
            t.workers,
            {
                "worker_id": name, "incarnation": "i", "host": "h", "version": "1", "labels": {"gpu": "true"},
                "slots": 4, "busy": 1, "state": "live", "started_at": NOW, "heartbeat_at": after(1),
                "lease_until": after(11),
            },
        )  # fmt: skip
    root = add_run(engine, "top", "r", status="running")
    sub = add_run(engine, "mid", "s", status="running", root_key=root, parent_key=root)
    held: dict[str, Any] = {"status": "running", "token_worker": "w1", "token_state": "running", "started_at": after(3)}
    add_node(engine, sub, 0, "held", token="t1", dispatched_at=after(2), **held)
    add_node(engine, root, 0, "on its way", token="t2", token_state="dispatched", dispatched_at=after(1))
    add_node(engine, root, 1, "done", status="succeeded")

    first, second = reads.workers()

    assert (first.worker_id, first.labels, first.lease_until, second.tasks) == ("w1", {"gpu": "true"}, after(11), ())
    [task] = first.tasks
    assert (task.run, task.root, task.parent) == (RunName("mid", "s"), RunName("top", "r"), RunName("top", "r"))
    assert (task.node_name, task.state, task.started_at) == ("held", AttemptState.RUNNING, after(3))


def test_schedulers_with_a_recent_heartbeat(engine: Engine, reads: Reads) -> None:
    row = {"host": "h", "version": "1", "started_at": NOW}
    add(
        engine,
        t.services,
        row | {"kind": "scheduler", "instance_id": "b", "heartbeat_at": after(30)},
        row | {"kind": "scheduler", "instance_id": "a", "heartbeat_at": after(31)},
        row | {"kind": "scheduler", "instance_id": "gone", "heartbeat_at": after(29)},
        row | {"kind": "coordinator", "instance_id": "c", "heartbeat_at": after(31)},
    )

    found = reads.schedulers(since=after(30))

    assert [each.instance_id for each in found] == ["a", "b"]
    assert found[0] == ServiceRow("scheduler", "a", "h", "1", NOW, after(31))


def test_queues_list_what_runs_and_what_waits_in_the_order_of_admission(
    engine: Engine, reader: Engine, reads: Reads
) -> None:
    add(engine, t.queues, {"name": "global", "kind": "global", "max_concurrency": 2})
    add(engine, t.queues, {"name": "a", "kind": "global"})
    for run_id, priority, second in (("late", 0, 3), ("early", 0, 1), ("urgent", HIGH, 9)):
        add_run(engine, "etl", run_id, status="queued", queue="global", priority=priority, queued_at=after(second))
    add_run(engine, "etl", "runs", status="running", queue="global", started_at=NOW)
    add_run(engine, "etl", "sub", status="running", queue="global", root_key="etl/runs", parent_key="etl/runs")
    add_run(engine, "solo", "x", status="running", queue="solo")
    add_run(engine, "etl", "done", queue="global")

    empty, busy, solo = reads.queues()

    assert (empty.name, empty.running, empty.queued, empty.running_count) == ("a", (), (), 0)
    assert (busy.kind, busy.max_concurrency, busy.running_count, busy.queued_count) == ("global", 2, 1, 3)
    assert [run.dag_run_id for run in busy.running] == ["runs"]
    assert [run.dag_run_id for run in busy.queued] == ["urgent", "early", "late"]
    assert (solo.name, solo.kind, solo.max_concurrency, solo.running_count) == ("solo", "dag-based", None, 1)
    assert reads.queues(name="global") == (busy,)
    assert reads.queues(name="none") == ()
    cut = reads.queues(limit=1)[1]
    assert ([run.dag_run_id for run in cut.queued], cut.queued_count) == (["urgent"], 3)
    with statements(reader) as sent:
        counted = reads.queues(limit=0)[1]
    assert (counted.running, counted.queued, counted.running_count, counted.queued_count) == ((), (), 1, 3)
    assert len([each for each in sent if "FROM dag_runs" in each]) == 2, "the runs are counted, and not read"


def test_a_queue_is_read_page_by_page_in_the_order_of_admission(engine: Engine, reads: Reads) -> None:
    aged = AGING.total_seconds()
    rows = (
        *(("c", LOW, 2), ("a", LOW, 1), ("b", LOW, 1), ("urgent", HIGH, aged + 1), ("urgent too", HIGH, aged + 3)),
        *(("goes on", RESUMED, 9), ("goes on, urgent", RESUMED + HIGH, aged + 8), ("least", LOW, aged)),
    )
    for run_id, priority, second in rows:
        add_run(engine, "etl", run_id, status="queued", queue="line", priority=priority, queued_at=after(second))
    add_run(engine, "etl", "runs", status="running", queue="line", started_at=NOW)
    add_run(engine, "etl", "elsewhere", status="queued", queue="other", queued_at=NOW)

    found: list[str] = []
    place = None
    while page := reads.queued_runs("line", after=place, limit=1):
        [run] = page
        assert run.queued_at is not None
        found.append(run.dag_run_id)
        place = QueuePlace.of(run)

    assert found == ["goes on, urgent", "goes on", "a", "b", "urgent", "c", "urgent too", "least"]
    assert [run.dag_run_id for run in reads.queued_runs("line", limit=9)] == found
    assert [run.dag_run_id for run in reads.queues(name="line")[0].queued] == found
    assert [run.dag_run_id for run in reads.queues(name="line", limit=5)[0].queued] == found[:5]


def test_the_root_runs_tell_when_all_runs_that_a_pause_covers_will_have_ended(engine: Engine, reads: Reads) -> None:
    add_run(engine, "top", "past", started_at=NOW, finished_at=after(10))
    root = add_run(engine, "top", "r", status="running", file_name="top", started_at=after(20))
    below = {"root_key": root, "parent_key": root, "file_name": "sub"}
    add_run(engine, "sub", "past", started_at=NOW, finished_at=after(500), **below)
    add_run(engine, "sub", "s", status="running", started_at=after(21), **below)
    for scope, name in (("global", ""), ("dag", "top"), ("dag", "sub"), ("dag", "other")):
        pause = {"scope": scope, "name": name, "paused_at": NOW, "paused_by": "ann", "reason": ""}
        add(engine, t.pauses, pause)

    found = {each.name: (each.in_flight, each.estimate_s) for each in reads.pauses(after(24))}

    # When a sub-run will have ended, nobody estimates.
    assert found == {"": (2, 6), "top": (1, 6), "sub": (1, None), "other": (0, 0)}


def test_counts_for_metrics(engine: Engine, reads: Reads) -> None:
    add_dag(engine, "etl", errors=["line 1: no"])
    add_run(engine, "etl", "1", status="running")
    add_run(engine, "etl", "2", status="queued")
    add_run(engine, "etl", "3", status="queued")
    add_run(engine, "etl", "4", status="failed")
    add_run(engine, "inline", "5")
    add_run(engine, "etl", "sub", root_key="etl/1", parent_key="etl/1")

    active = reads.active_counts()

    assert (active.dags, active.faulty_dags, active.running, active.queued) == (1, 1, {"etl": 1}, {"etl": 2})


def test_the_outcome_of_a_command(engine: Engine, reads: Reads) -> None:
    row = {"command_id": "c", "type": "run.start", "body_hash": "h", "outcome": "done", "reply": {"n": [1]}, "at": NOW}
    add(engine, t.inbox, row)

    assert reads.command("c") == CommandRow("c", "run.start", "h", "done", {"n": [1]}, NOW)
    assert reads.command("none") is None


def test_what_is_running_or_queued_is_found_without_walking_the_history(tmp_path: Path) -> None:
    url = migrated_sqlite(tmp_path / "store.db")
    engine = open_engine(url, read_only=True)
    reads = Reads(engine)
    sent: list[str] = []
    # The driver's own trace, because a prepared read goes around SQLAlchemy's events.
    event.listen(engine, "connect", lambda connection, _record: connection.set_trace_callback(sent.append))
    reads.active_counts()
    reads.queues()
    reads.latest_runs(["etl"])
    reads.workers()
    reads.runs(id_part="7" * 36)

    asked = [statement for statement in sent if "dag_runs" in statement]
    assert any("json_each" in statement for statement in asked)
    with engine.connect() as connection:
        explained = [connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}").all() for statement in asked]
    plans = [row[3] for plan in explained for row in plan]
    walked = {plan for plan in plans if plan.startswith("SCAN dag_runs")}
    assert walked == {
        "SCAN dag_runs USING INDEX ix_dag_runs_running",
        "SCAN dag_runs USING INDEX ix_dag_runs_queued",
        "SCAN dag_runs USING INDEX ix_dag_runs_long_id",
    }
    engine.dispose()


def test_a_reader_of_a_workspace_passes_the_transitions_of_others(engine: Engine, reads: Reads) -> None:
    run_key = add_run(engine, "beta␟etl", "r")
    row = {"run_key": run_key, "at": NOW, "node": None, "was": "queued", "became": "running", "why": "", "by": "x"}
    add(engine, t.transitions, *({**row, "seq": seq, "txid": 3, "pos": seq} for seq in (1, 2)))

    begin = Place(0, 0)
    assert reads.within("acme").seen_to(begin) == Place(3, 2)
    # What it has not read yet is not passed.
    assert reads.within("beta").seen_to(begin) == begin
    assert reads.within("beta").seen_to(Place(3, 2)) == Place(3, 2)
