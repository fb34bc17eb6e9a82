"""``dagway verify`` finds each kind of damage, by the right check and id, and nothing in a sound database.

Each test damages the database in a transaction that is rolled back.
"""

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import Connection, Table, delete, insert, select, text, update

from services.cli import cli
from shared.store import tables as t
from shared.store.checks.base import StoreSnapshot, Violation
from shared.store.checks.verify import CHECKS, violations
from shared.store.engine import transaction
from tests.conformance.conftest import Deployment
from tests.conformance.sound_database import AGO, LEASE_S, Sound, sound_database
from tests.harness.statements import statements

REVERSED = "type: graph\nsteps:\n  - {name: first, command: a, depends: second}\n  - {name: second, command: b}\n"


@pytest.fixture(scope="module")
def sound(deployment: Deployment) -> Iterator[Sound]:
    with sound_database(deployment) as made:
        yield made


def found(connection: Connection, now: datetime) -> dict[str, list[Violation]]:
    results: dict[str, list[Violation]] = {}
    for check, violation in violations(StoreSnapshot(connection, now, LEASE_S)):
        results.setdefault(check.name, []).append(violation)
    return results


def test_a_sound_database_has_no_violation(sound: Sound) -> None:
    with transaction(sound.stack.engine) as connection:
        assert found(connection, sound.now) == {}


def test_the_checks_of_all_transitions_and_of_all_attempts_read_these_once(sound: Sound) -> None:
    with statements(sound.stack.engine) as sent, transaction(sound.stack.engine) as connection:
        found(connection, sound.now)

    assert len([each for each in sent if each.startswith("SELECT transitions.run_key") and "why" in each]) == 1
    assert len([each for each in sent if each.startswith("SELECT attempts.run_key") and "outcome" in each]) == 1


def test_an_execution_of_an_attempt_that_was_never_sent_is_found(sound: Sound) -> None:
    with sound.stack.engine.connect() as connection, connection.begin() as held:
        Damage(connection, sound).change(t.attempts, {"begun": "never_sent"}, token=sound.given_up)

        assert [one.ids["token"] for one in found(connection, sound.now)["execution-holder"]] == [sound.given_up]
        held.rollback()


def test_a_step_that_may_be_tried_again_may_wait_for_a_pool(sound: Sound) -> None:
    with sound.stack.engine.connect() as connection, connection.begin() as held:
        damage = Damage(connection, sound)
        damage.change(t.nodes, {"token": None, "retry_at": sound.now - AGO}, run_key=damage.running, idx=1)
        assert "has no timer" in found(connection, sound.now)["timer-age"][0].text

        asked = {"entry_order": sound.now, "asked_at": sound.now, "limit": 0, "interval_s": 0}
        damage.add(t.pool_waits, run_key=damage.running, node=1, kind="lock", name="l", **asked)

        assert "timer-age" not in found(connection, sound.now)
        held.rollback()


def test_a_running_step_may_wait_for_another_one_of_its_run(sound: Sound) -> None:
    with sound.stack.engine.connect() as connection, connection.begin() as held:
        damage = Damage(connection, sound)
        damage.change(t.nodes, {"token": None}, run_key=damage.running, idx=1)
        assert "step-waits-for-something" in found(connection, sound.now)

        damage.change(t.nodes, {"token": damage.token}, run_key=damage.running, idx=0)

        assert "step-waits-for-something" not in found(connection, sound.now)
        held.rollback()


def test_a_run_lends_its_place_in_a_queue_over_a_run_in_another_queue(sound: Sound) -> None:
    with sound.stack.engine.connect() as connection, connection.begin() as held:
        damage = Damage(connection, sound)
        damage.runs_since("top", 3)
        damage.runs_since("middle", 2, queue="own", above="top", was="not_started")
        damage.runs_since("below", 1, above="middle")

        assert "queue-limit" not in found(connection, sound.now)
        held.rollback()


def test_a_sub_run_may_take_the_place_of_its_caller_in_a_queue_that_direct_starts_have_overfilled(sound: Sound) -> None:
    with sound.stack.engine.connect() as connection, connection.begin() as held:
        damage = Damage(connection, sound)
        damage.runs_since("direct", 4, was="not_started")
        damage.runs_since("caller", 3, was="not_started")
        damage.runs_since("below", 2, above="caller")
        assert "queue-limit" not in found(connection, sound.now)

        damage.runs_since("second", 1, above="caller")

        (violation,) = found(connection, sound.now)["queue-limit"]
        assert violation.ids == {"queue": "narrow", "run_key": "second"}
        held.rollback()


class Damage:
    """What the tests below do to the database, in the test's transaction."""

    def __init__(self, connection: Connection, sound: Sound) -> None:
        self.connection, self.sound = connection, sound
        self.now, self.token = sound.now, sound.token
        self.ended, self.running = sound.ended["run_key"], sound.running["run_key"]

    def change(self, table: Table, values: dict[str, Any], **where: Any) -> None:
        query = update(table).where(*(table.c[name] == value for name, value in where.items())).values(values)
        assert self.connection.execute(query).rowcount == 1

    def remove(self, table: Table, **where: Any) -> None:
        query = delete(table).where(*(table.c[name] == value for name, value in where.items()))
        assert self.connection.execute(query).rowcount > 0

    def add(self, table: Table, **row: Any) -> None:
        self.connection.execute(insert(table).values(row))

    def copy(self, table: Table, changes: dict[str, Any], **where: Any) -> None:
        """Insert a copy of a row with these changes."""
        query = select(table).where(*(table.c[name] == value for name, value in where.items()))
        row = self.connection.execute(query).mappings().one()
        self.add(table, **{**row, **changes})

    def run(self, key: str, **changes: Any) -> None:
        self.copy(
            t.dag_runs,
            {"run_key": key, "dag_run_id": key, "last_seq": 0, "version": 0, **changes},
            run_key=self.running,
        )

    # -- one method for each check ------------------------------------------------------------

    def command_outcome(self) -> None:
        self.change(t.inbox, {"outcome": "refused"}, command_id="start")

    def command_run(self) -> None:
        for table in (t.attempts, t.executions, t.dag_runs):
            self.remove(table, run_key=self.ended)

    def run_unique(self) -> None:
        self.connection.execute(text("DROP INDEX uq_dag_runs_id"))
        self.run("copy", status="queued", dag_run_id="ended")

    def outbox_age(self) -> None:
        self.add(t.outbox, id="m1", route=["tasks", "durable", None], body=b"", created_at=self.now - AGO)

    def history_gapless(self) -> None:
        self.change(t.dag_runs, {"last_seq": 99}, run_key=self.ended)

    def history_legal(self) -> None:
        self.change(t.transitions, {"became": "rejected"}, run_key=self.ended, node=0, became="succeeded")
        self.change(t.nodes, {"status": "rejected"}, run_key=self.ended, idx=0)

    def history_state(self) -> None:
        self.change(t.nodes, {"status": "failed"}, run_key=self.ended, idx=1)

    def run_one_end(self) -> None:
        self.change(t.dag_runs, {"run_attempt": 2}, run_key=self.ended)

    def step_order(self) -> None:
        self.add(t.specs, hash="reversed", yaml=REVERSED, created_at=self.now)
        self.change(t.dag_runs, {"spec_hash": "reversed"}, run_key=self.ended)

    def attempt_open_once(self) -> None:
        self.change(t.nodes, {"token": self.token}, run_key=self.running, idx=1)

    def attempt_numbers(self) -> None:
        self.change(t.attempts, {"number": 3}, token=self.token)

    def attempt_one_success(self) -> None:
        self.copy(t.attempts, {"token": "again", "number": 2}, token=self.token)
        self.copy(t.executions, {"token": "again"}, token=self.token)
        self.change(t.attempts, {"outcome": "failed"}, token="again")

    def attempt_left_open(self) -> None:
        self.change(t.workers, {"lease_until": self.now - AGO}, worker_id="w1")

    def attempt_ended(self) -> None:
        self.change(t.nodes, {"token": "x", "token_state": "dispatched"}, run_key=self.running, idx=0)

    def execution_holder(self) -> None:
        self.copy(t.executions, {"worker_id": "w2"}, token=self.token)

    def execution_told(self) -> None:
        self.copy(t.executions, {"worker_id": "w2", "accepted": False, "at": self.now - AGO}, token=self.token)

    def step_waits_for_something(self) -> None:
        self.change(t.nodes, {"token": None}, run_key=self.running, idx=1)

    def run_goes_on(self) -> None:
        self.run("idle")

    def timer_age(self) -> None:
        self.add(t.timers, run_key=self.running, node=1, kind="timeout", due_at=self.now - AGO)

    def run_at_rest(self) -> None:
        self.change(t.dag_runs, {"status": "succeeded"}, run_key=self.running)

    def sub_run_parent(self) -> None:
        self.run("orphan", status="queued", root_key=self.ended, parent_key="gone", parent_node=0)

    def lease_in_future(self) -> None:
        self.change(t.workers, {"lease_until": self.now + AGO}, worker_id="w1")

    def owner(self) -> None:
        self.chunk("nobody's", run_key="gone")

    def chunk(self, token: str, **more: Any) -> None:
        facts = {"run_key": self.ended, "node": 0, "run_attempt": 1, "number": 1, "lines": 0, "at": self.now - AGO}
        self.add(
            t.log_chunks, token=token, **{"stream": "stdout", "seq": 0, "offset": 0, "data": b"abc", **facts, **more}
        )

    def queue_limit(self) -> None:
        for key, hours in (("wide1", 2), ("wide2", 1)):
            self.runs_since(key, hours)

    def runs_since(self, key: str, hours: int, *, queue: str = "narrow", above: str = "", was: str = "queued") -> None:
        """Add a running run that began that long ago; ``above``: the run that called it."""
        self.run(key, queue=queue, last_seq=1, parent_key=above or None)
        at = self.now - timedelta(hours=hours)
        self.add(t.transitions, run_key=key, seq=1, at=at, node=None, was=was, became="running", why="", by="")
        self.add(t.timers, run_key=key, node=-1, kind="timeout", due_at=self.now + AGO)

    def pool_limit(self) -> None:
        for node in (0, 1):
            self.place("lock", self.running, node, self.now)

    def pool_place(self) -> None:
        self.place("pool", self.ended, 0, self.now - AGO)

    def place(self, kind: str, run_key: str, node: int, at: datetime) -> None:
        name = f"{kind}{node}" if kind == "pool" else "l"
        self.add(
            t.pool_places, id=f"p{node}", kind=kind, name=name, run_key=run_key, node=node, entered_at=at, until_at=None
        )

    def log_contiguous(self) -> None:
        self.change(t.attempts, {"finished_at": self.now - AGO}, token=self.token)
        self.chunk(self.token)
        self.chunk(self.token, seq=2, offset=9)

    def log_bytes(self) -> None:
        self.change(t.attempts, {"finished_at": self.now - AGO, "stderr_bytes": 7}, token=self.token)

    def schedule_ledger(self) -> None:
        hour = self.now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
        self.remove(t.cron_slots, slot_at=hour)

    def schedule_late(self) -> None:
        self.change(t.schedules, {"next_fire_at": self.now - AGO}, file_name="timed")


MORE = {
    # What the same damage violates too.
    "attempt-open-once": {"execution-holder"},
    "step-waits-for-something": {"execution-holder"},
    "run-goes-on": {"history-state"},
    "run-at-rest": {"history-state", "run-one-end"},
}
IDS: dict[str, Callable[[Damage], tuple[str, str]]] = {
    "command-outcome": lambda _: ("command_id", "start"),
    "command-run": lambda _: ("dag_run_id", "ended"),
    "run-unique": lambda _: ("dag_run_id", "ended"),
    "outbox-age": lambda _: ("message_id", "m1"),
    "attempt-open-once": lambda d: ("token", d.token),
    "attempt-left-open": lambda d: ("run_key", d.running),
    "attempt-ended": lambda _: ("token", "x"),
    "execution-holder": lambda d: ("token", d.token),
    "execution-told": lambda d: ("token", d.token),
    "step-waits-for-something": lambda d: ("run_key", d.running),
    "run-goes-on": lambda _: ("run_key", "idle"),
    "timer-age": lambda d: ("run_key", d.running),
    "run-at-rest": lambda d: ("run_key", d.running),
    "sub-run-parent": lambda _: ("run_key", "orphan"),
    "lease-in-future": lambda _: ("worker_id", "w1"),
    "owner": lambda _: ("run_key", "gone"),
    "queue-limit": lambda _: ("queue", "narrow"),
    "pool-limit": lambda _: ("name", "l"),
    "log-contiguous": lambda d: ("token", d.token),
    "log-bytes": lambda d: ("token", d.token),
    "schedule-ledger": lambda _: ("file_name", "timed"),
    "schedule-late": lambda _: ("file_name", "timed"),
}
"""The id that the check must name; without an entry, the ended run's key."""


@pytest.mark.parametrize("name", [check.name for check in CHECKS])
def test_a_damage_is_found_by_its_check_and_id(sound: Sound, name: str) -> None:
    with sound.stack.engine.connect() as connection, connection.begin() as held:
        damage = Damage(connection, sound)
        act: Callable[[], None] = getattr(damage, name.replace("-", "_"))
        act()

        violations = found(connection, sound.now)

        key, value = IDS[name](damage) if name in IDS else ("run_key", damage.ended)
        assert name in violations
        assert violations.keys() <= {name} | MORE.get(name, set()), violations
        assert value in [violation.ids[key] for violation in violations[name]]
        held.rollback()


def test_the_command_prints_what_it_found_and_what_to_do(sound: Sound) -> None:
    args = [
        "verify",
        "--database-url",
        str(sound.stack.engine.url.render_as_string(hide_password=False)),
        "--limit",
        "1",
    ]

    fine = CliRunner().invoke(cli, args)
    assert (fine.exit_code, fine.output.splitlines()[-1]) == (0, f"{len(CHECKS)} checks, 0 violations")
    with transaction(sound.stack.engine) as connection:
        connection.execute(update(t.dag_runs).values(last_seq=t.dag_runs.c.last_seq + 1))
    try:
        told = CliRunner().invoke(cli, args)
        in_json = CliRunner().invoke(cli, [*args, "--json", "--check", "history-gapless"])
    finally:
        with transaction(sound.stack.engine) as connection:
            connection.execute(update(t.dag_runs).values(last_seq=t.dag_runs.c.last_seq - 1))

    assert told.exit_code == in_json.exit_code == 1
    assert "    and 5 more\n    what to do: Rows of `transitions` are missing" in told.output
    (check,) = json.loads(in_json.output)["checks"]
    assert (check["name"], check["count"], len(check["violations"])) == ("history-gapless", 6, 1)
    assert check["violations"][0]["ids"]["run_key"] in {sound.ended["run_key"], sound.running["run_key"]}


def test_the_command_says_why_it_could_not_check(tmp_path: Path) -> None:
    def said(*args: str) -> str:
        result = CliRunner().invoke(cli, ["verify", *args])
        assert result.exit_code == 2
        return result.stderr

    assert said("--data-dir", str(tmp_path)).startswith("dagway: there is no database ")
    assert "run dagway migrate" in said("--database-url", f"sqlite:///{tmp_path}/empty.db")
    away = said("--database-url", "postgresql://nobody@127.0.0.1:1/none")
    assert away.startswith("dagway: the database is unavailable: ")
    assert "known: command-outcome" in said("--check", "nonsense")


def test_what_was_due_while_no_scheduler_ran_is_not_overdue(sound: Sound) -> None:
    with sound.stack.engine.connect() as connection, connection.begin() as held:
        Damage(connection, sound).outbox_age()
        connection.execute(update(t.services).values(heartbeat_at=sound.now - 2 * AGO))

        assert found(connection, sound.now) == {}
        connection.execute(
            update(t.services).values(started_at=sound.now - timedelta(seconds=9), heartbeat_at=sound.now)
        )
        assert found(connection, sound.now) == {}
        held.rollback()


def test_the_time_between_two_schedulers_does_not_count(sound: Sound) -> None:
    second, services = timedelta(seconds=1), t.services.c
    with sound.stack.engine.connect() as connection, connection.begin() as held:
        due = sound.now - StoreSnapshot(connection, sound.now, LEASE_S).grace - second
        connection.execute(insert(t.outbox).values(id="m1", route=["tasks", "durable", None], body=b"", created_at=due))
        connection.execute(update(t.services).values(started_at=due - AGO, heartbeat_at=due + 2 * second))
        (first,) = connection.execute(select(t.services).where(services.kind == "scheduler")).mappings()
        later = {"instance_id": "later", "started_at": sound.now - second, "heartbeat_at": sound.now}
        connection.execute(insert(t.services).values({**first, **later}))

        assert found(connection, sound.now) == {}
        connection.execute(
            update(t.services).where(services.instance_id == "later").values(started_at=due + 2.5 * second)
        )
        assert set(found(connection, sound.now)) == {"outbox-age"}
        held.rollback()


def test_a_schedule_that_is_about_to_be_adopted_is_not_judged(sound: Sound) -> None:
    with sound.stack.engine.connect() as connection, connection.begin() as held:
        Damage(connection, sound).change(t.schedules, {"zone": ""}, file_name="timed")

        assert "schedule-ledger" not in found(connection, sound.now)
        held.rollback()
