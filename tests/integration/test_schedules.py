"""Fires of schedules on both deployments. The test sets the clock."""

import random
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select, update

from services.scheduler.commands.carry_out import handle
from shared.contracts import commands as c
from shared.store import tables as t
from tests.harness.eventually import eventually
from tests.integration.schedule_rig import STEPS, T0, Rig
from tests.integration.scheduler_stack import Stack


@pytest.fixture
def rig(stack: Stack) -> Rig:
    return Rig(stack)


def test_a_scheduled_time_fires_once_and_the_next_is_known(rig: Rig) -> None:
    rig.dag("a", 'schedule: "*/5 * * * *"\n')

    assert rig.at("11:59:59") == 0
    assert rig.at("12:00") == 1
    assert rig.at("12:00:01", by=rig.two) == 0

    assert rig.ledger() == [("12:00", "start", "fired")]
    [(run_id, status)] = rig.runs()
    assert run_id.startswith("sched-20261124T120000Z-")
    assert status == "running"
    [row] = rig.stack.rows(t.schedules)
    assert row["next_fire_at"] == T0.replace(hour=12, minute=5, second=0)
    assert row["next_start_at"] == row["next_fire_at"]


def test_a_stored_spec_that_has_become_unreadable_holds_up_no_other_dag(rig: Rig) -> None:
    rig.dag("a", 'schedule: "0 12 * * *"\n')
    rig.dag("b", 'schedule: "0 12 * * *"\ndescription: "other"\n')
    [broken] = rig.stack.rows(t.dags, file_name="a")
    with rig.stack.engine.begin() as connection:
        spec = t.specs.c.hash == broken["spec_hash"]
        connection.execute(update(t.specs).where(spec).values(yaml="steps: {what: is this"))

    # As after an upgrade: nothing is known but what is stored.
    assert rig.at("12:00", by=rig.another()) == 2

    assert (rig.ledger("a"), rig.ledger("b")) == ([], [("12:00", "start", "fired")])
    [row] = rig.stack.rows(t.schedules, file_name="a")
    assert row["decided_until"] < T0.replace(hour=12, minute=0, second=0) < row["next_fire_at"], (
        "asked again, undecided"
    )


@pytest.mark.parametrize("base", ["env: [STAGE: prod]\nenvv: x\n", "env: [STAGE: prod\n"])
def test_nothing_fires_with_what_could_be_read_of_a_faulty_base_configuration(rig: Rig, base: str) -> None:
    rig.dag("a", 'schedule: "0 12 * * *"\n')

    assert rig.at("12:00", by=rig.another(base=base)) == 1

    assert (rig.ledger(), rig.runs()) == ([("12:00", "start", "skipped")], [])
    [reason] = rig.reasons()
    assert reason.startswith("base configuration: line ")


def test_the_next_start_is_not_the_next_stop(rig: Rig) -> None:
    rig.dag("a", "schedule:\n  start: '0 13 * * *'\n  stop: '30 12 * * *'\n")
    later = T0.replace(hour=13, minute=0, second=0)

    rig.at("12:00")
    [row] = rig.stack.rows(t.schedules)
    assert (row["next_fire_at"], row["next_start_at"]) == (T0.replace(hour=12, minute=30, second=0), later)
    rig.at("12:30")
    [row] = rig.stack.rows(t.schedules)
    assert (row["next_fire_at"], row["next_start_at"]) == (later, later)


def test_a_scheduled_time_of_this_minute_fires_after_a_restart_and_never_twice(rig: Rig) -> None:
    rig.dag("a", 'schedule: "* * * * *"\n')
    rig.at("12:00:59")
    with rig.stack.engine.begin() as connection:  # as if the schedule row had been lost: the ledger stands
        connection.execute(update(t.schedules).values(decided_until=T0, next_fire_at=T0))

    rig.at("12:00:59", by=rig.two)

    assert rig.ledger() == [("12:00", "start", "fired")]
    assert len(rig.runs()) == 1


def test_a_summary_of_an_earlier_version_stops_no_dag(rig: Rig) -> None:
    rig.dag("a", 'schedule: "0 12 * * *"\n')
    with rig.stack.engine.begin() as connection:
        connection.execute(t.schedules.delete())
        connection.execute(update(t.dags).values(summary={}))
    assert (rig.one.firing.adopt(), rig.at("12:00")) == (1, 1)


def test_missed_times_are_recorded_and_not_made_up_for(rig: Rig) -> None:
    rig.dag("a", 'schedule: "*/10 * * * *"\n')

    rig.at("12:31:30")

    assert rig.ledger() == [(at, "start", "missed") for at in ("12:00", "12:10", "12:20", "12:30")]
    assert set(rig.reasons()) == {"no scheduler was running in time"}
    assert rig.runs() == []


@pytest.mark.parametrize(
    ("catchup", "fired"),
    [
        ("latest", ["12:30"]),
        ("all", ["12:00", "12:10", "12:20", "12:30"]),
        ("{policy: all, limit: 2}", ["12:20", "12:30"]),
        ("{policy: all, windowSec: 700}", ["12:20", "12:30"]),
    ],
)
def test_catching_up_by_policy_goes_through_the_queue_in_order(rig: Rig, catchup: str, fired: list[str]) -> None:
    rig.dag("a", f'schedule: "*/10 * * * *"\ncatchup: {catchup}\n')

    rig.at("12:31:30")

    assert [at for at, _, outcome in rig.ledger() if outcome == "fired"] == fired
    assert len(rig.ledger()) == 4
    assert [status for _, status in rig.runs()] == ["queued"] * len(fired)
    order = []
    for _ in fired:
        assert rig.one.admission.admit("a") == 1
        order += [run_id[15:19] for run_id, status in rig.runs() if status == "running"]
        rig.end()
    assert order == [at.replace(":", "") for at in fired]


def test_clocks_that_jump_fire_nothing_twice_and_explain_what_was_jumped_over(rig: Rig) -> None:
    rig.dag("a", 'schedule: "0 * * * *"\n')
    rig.at("12:00")
    rig.end()
    rig.at("15:00")
    rig.end()
    for clock in ("12:00", "13:00", "14:00:30", "15:00"):
        rig.at(clock, by=rig.two)
    rig.at("16:00")

    assert rig.ledger() == [
        ("12:00", "start", "fired"),
        ("13:00", "start", "missed"),
        ("14:00", "start", "missed"),
        ("15:00", "start", "fired"),
        ("16:00", "start", "fired"),
    ]
    assert len(rig.runs()) == 3


def test_a_year_away_costs_a_bounded_number_of_rows(rig: Rig) -> None:
    rig.dag("a", 'schedule: "* * * * *"\ncatchup: latest\n')

    rig.at("12:00", day=365)

    rows = sorted(rig.stack.rows(t.cron_slots), key=lambda row: row["slot_at"])
    assert len(rows) == 501
    assert rows[0]["slot_at"] == T0.replace(hour=12, minute=0, second=0)
    assert rows[0]["until_at"] + timedelta(minutes=1) == rows[1]["slot_at"]
    assert [row["outcome"] for row in rows[-2:]] == ["missed", "fired"]


def test_guards_of_a_start(rig: Rig) -> None:
    rig.dag("a", 'schedule: ["*/10 * * * *", "0 * * * *"]\n')
    rig.dag("b", 'schedule: "*/10 * * * *"\nskipIfSuccessful: true\n')
    rig.at("12:00")
    rig.at("12:10")
    rig.end()
    with rig.stack.engine.begin() as connection:
        connection.execute(update(t.dags).where(t.dags.c.file_name == "a").values(suspended=True))
    rig.at("12:20")

    assert rig.reasons("a") == ["", "the DAG is already running", "the DAG is suspended"]
    assert rig.ledger("b") == [("12:00", "start", "fired"), ("12:10", "start", "skipped"), ("12:20", "start", "fired")]

    rig.end()
    began = rig.now + timedelta(minutes=5)
    started = {"dag_run_id": "by-hand", "started_at": began, "created_at": began}
    with rig.stack.engine.begin() as connection:
        connection.execute(
            update(t.dag_runs).where(t.dag_runs.c.dag_run_id.like("sched-20261124T1220%")).values(started)
        )
    rig.at("12:30")
    assert "already successful since the last scheduled time" in rig.reasons("b")[-1]


def test_stop_comes_before_start_and_restart_waits_for_the_end(rig: Rig) -> None:
    rig.dag("a", 'schedule:\n  start: "0 * * * *"\n  stop: "30 * * * *"\n  restart: "45 * * * *"\nrestartWaitSec: 60\n')
    rig.at("12:00")
    rig.at("12:30")
    rig.at("12:45")

    assert rig.ledger() == [("12:00", "start", "fired"), ("12:30", "stop", "fired"), ("12:45", "restart", "fired")]
    stopped, again = rig.runs()
    assert rig.reasons()[1] == "stopped 1 run(s)"
    assert again[1] == "running" if stopped[1] != "running" else "queued"
    if stopped[1] == "running":
        assert rig.one.admission.admit("a") == 0
        rig.end("aborted")
        assert rig.one.admission.admit("a") == 0
        rig.now += timedelta(seconds=61)
        assert rig.one.admission.admit("a") == 1


def test_a_restart_runs_what_ran_with_the_values_it_had(rig: Rig) -> None:
    schedule = 'schedule:\n  start: "0 * * * *"\n  restart: "45 * * * *"\n'
    rig.dag("a", schedule + 'env: ["E=`date +%s%N`"]\nparams: "D=`date +%s%N`"\nrestartWaitSec: 60\n')
    rig.at("12:00")
    (stopped,) = rig.stack.rows(t.dag_runs)
    values = {"env": [["E", "1"]], "params": [["D", "2"]], "params_json": '{"D":"2"}'}
    with rig.stack.engine.begin() as connection:
        connection.execute(update(t.dag_runs).values(version=stopped["version"] + 1, **values))
    edited = c.PutSpec(file_name="a", spec=schedule + STEPS)
    rig.one.transactor.decide(lambda batch: handle(batch, edited))
    rig.one.firing.adopt()
    rig.at("12:45")

    (again,) = (row for row in rig.stack.rows(t.dag_runs) if row["run_key"] != stopped["run_key"])
    assert {name: again[name] for name in values} == values
    assert [again[name] for name in ("spec_hash", "file_name")] == [
        stopped[name] for name in ("spec_hash", "file_name")
    ]
    assert {row["kind"] for row in rig.stack.rows(t.nodes, run_key=again["run_key"])} == {"step"}
    assert rig.one.admission.admit("a") == 0
    rig.now += timedelta(seconds=61)
    assert rig.one.admission.admit("a") == 1


def test_a_stop_with_nothing_running_is_skipped(rig: Rig) -> None:
    rig.dag("a", 'schedule:\n  stop: "30 * * * *"\n')
    rig.at("12:30")

    assert rig.reasons() == ["no run was running"]


def test_a_paused_dag_is_not_decided_until_it_goes_on_with_the_catchup_chosen(rig: Rig) -> None:
    rig.dag("a", 'schedule: "*/10 * * * *"\n')
    rig.queue(c.SetPause(scope="dag", name="a", by="ann"))
    assert rig.at("12:00") == 0
    rig.at("12:10")
    assert rig.ledger() == []

    rig.now = T0.replace(hour=12, minute=15)
    rig.queue(c.EndPause(scope="dag", name="a", catchup="latest"))
    rig.at("12:15:01")
    rig.at("12:20")

    assert rig.ledger() == [("12:00", "start", "missed"), ("12:10", "start", "fired"), ("12:20", "start", "fired")]
    assert rig.reasons() == ["paused by ann", "caught up: paused by ann", ""]


def test_a_renamed_dag_keeps_its_pause_and_its_undecided_times(rig: Rig) -> None:
    rig.dag("a", 'schedule: "*/10 * * * *"\n')
    rig.queue(c.SetPause(scope="dag", name="a", by="ann"))
    rig.at("12:05")
    rename = c.RenameDag(file_name="a", new_file_name="b")
    rig.one.transactor.decide(lambda batch: handle(batch, rename))
    rig.one.firing.adopt()
    assert rig.at("12:10") == 0

    rig.now = T0.replace(hour=12, minute=15)
    rig.queue(c.EndPause(scope="dag", name="b"))
    rig.at("12:20")
    assert rig.ledger("b") == [("12:00", "start", "missed"), ("12:10", "start", "missed"), ("12:20", "start", "fired")]
    assert rig.ledger("a") == []


@pytest.mark.parametrize(
    ("edited", "ledger"),
    [
        (
            'description: x\nschedule: "*/10 * * * *"\n',
            [("12:00", "missed"), ("12:10", "missed"), ("12:20", "missed"), ("12:30", "fired")],
        ),
        (
            'schedule: "5,30 * * * *"\n',
            [("12:00", "missed"), ("12:10", "missed"), ("12:30", "fired")],
        ),
    ],
)
def test_an_edit_of_a_paused_dag_drops_no_scheduled_time(rig: Rig, edited: str, ledger: list[tuple[str, str]]) -> None:
    rig.dag("a", 'schedule: "*/10 * * * *"\n')
    rig.queue(c.SetPause(scope="dag", name="a", by="ann"))
    rig.at("12:15")
    command = c.PutSpec(file_name="a", spec=edited + STEPS)
    rig.one.transactor.decide(lambda batch: handle(batch, command))
    rig.one.firing.adopt()
    rig.at("12:25")
    rig.queue(c.EndPause(scope="dag", name="a"))
    rig.at("12:30")

    assert [(at, outcome) for at, _, outcome in rig.ledger()] == ledger


def test_pausing_everything_holds_every_scheduled_time(rig: Rig) -> None:
    rig.dag("a", 'schedule: "*/10 * * * *"\ncatchup: all\n')
    rig.queue(c.SetPause(scope="global", by="ann"))
    rig.at("12:05")
    assert rig.ledger() == []

    rig.queue(c.EndPause(scope="global", catchup="none"))
    rig.at("12:10")

    assert rig.ledger() == [("12:00", "start", "missed"), ("12:10", "start", "fired")]


def test_edits_deletions_and_faults_move_the_next_scheduled_time(rig: Rig) -> None:
    rig.dag("a", 'schedule: "*/10 * * * *"\n')

    def edit(spec: str) -> None:
        command = c.PutSpec(file_name="a", spec=spec + STEPS)
        rig.one.transactor.decide(lambda batch: handle(batch, command))
        rig.one.firing.adopt()

    edit('schedule: "5 * * * *"\n')
    assert rig.at("12:00") == 0
    assert rig.at("12:05") == 1
    edit("")
    [row] = rig.stack.rows(t.schedules)
    assert (row["next_fire_at"], row["next_start_at"]) == (None, None)
    command = c.DeleteDag(file_name="a")
    rig.one.transactor.decide(lambda batch: handle(batch, command))
    assert rig.stack.rows(t.schedules) == []
    assert rig.ledger() == [("12:05", "start", "fired")]


def _at_once(calls: list[Callable[[], object]]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_four_schedulers_fire_each_of_many_scheduled_times_once(rig: Rig) -> None:
    for number in range(300):
        rig.dag(f"d{number}", 'schedule: "0 12 * * *"\n')
    while rig.one.firing.adopt():
        pass
    schedulers = [rig.one, rig.two, rig.another(), rig.another()]
    rig.now = T0.replace(hour=12, minute=0, second=1)

    _at_once([one.firing.fire_due for one in schedulers])

    with rig.stack.engine.begin() as connection:
        assert connection.execute(select(func.count()).select_from(t.cron_slots)).scalar_one() == 300
        assert connection.execute(select(func.count()).select_from(t.dag_runs)).scalar_one() == 300


def test_fires_over_days_with_restarts_jumps_and_pauses_are_as_expected(rig: Rig) -> None:
    dice = random.Random(7)
    periods = {"d0": 10, "d1": 15, "d2": 60, "d3": 180}
    for name, minutes in periods.items():
        spec = f"*/{minutes} * * * *" if minutes < 60 else f"0 */{minutes // 60} * * *"
        rig.dag(name, f'schedule: "{spec}"\n')
    expected: dict[tuple[str, datetime], str] = {}
    moment = T0.replace(minute=59, second=0)
    end = moment + timedelta(days=1)
    while moment < end:
        moment += timedelta(minutes=1)
        away = dice.random() < 0.02
        gap = timedelta(minutes=dice.randint(2, 200)) if away else timedelta()
        for name, minutes in periods.items():
            at = moment
            while at <= moment + gap:
                if (at.hour * 60 + at.minute) % minutes == 0:
                    expected[name, at] = "fired" if at == moment + gap else "missed"
                at += timedelta(minutes=1)
        moment += gap
        rig.now = moment + timedelta(seconds=dice.randint(0, 50))
        dice.choice([rig.one, rig.two]).firing.fire_due()
        rig.end()

    rows = rig.stack.rows(t.cron_slots)
    assert {(row["file_name"], row["slot_at"]): row["outcome"] for row in rows} == expected


def test_the_running_scheduler_wakes_by_itself(stack: Stack) -> None:
    stack.scheduler()
    stack.dag("a", 'schedule: "* * * * *"\n' + STEPS)

    eventually(lambda: len(stack.rows(t.schedules)) == 1)
    [row] = stack.rows(t.schedules)
    assert row["next_fire_at"].second == 0
    with stack.engine.begin() as connection:
        early = row["next_fire_at"] - timedelta(minutes=1)
        connection.execute(update(t.schedules).values(next_fire_at=early, decided_until=early - timedelta(seconds=1)))
    stack.ask(c.SuspendDag(file_name="a", suspend=False))

    eventually(lambda: len(stack.rows(t.cron_slots)) >= 1)
