"""What causes each alert, and which commands of its page are the cure."""

import itertools
from datetime import timedelta

from sqlalchemy import Update, update

from shared.clock import utc_now
from shared.ids import new_run_id
from shared.store import tables as t
from shared.store.engine import open_engine, transaction
from shared.transport.base import COMMANDS, Outgoing
from shared.transport.open import open_transport
from tests.alerts.attempt_scenes import ATTEMPTS
from tests.alerts.database_scenes import DATABASE
from tests.alerts.pages import check_of
from tests.alerts.room_scenes import ROOM
from tests.alerts.scene import Scene
from tests.alerts.stuck_scenes import STUCK
from tests.alerts.watched import Watched
from tests.alerts.watching_scenes import WATCHING
from tests.golden.code import unpack_code
from tests.harness.cluster import pid_in
from tests.harness.eventually import eventually
from tests.harness.procs import DagwayProcess

__all__ = ["SCENES", "SHORT"]

_QUICK = "steps:\n  - name: one\n    command: 'true'\n"
_BAD = "steps:\n  - name: one\n    command: exit 3\n"
_HELD = "steps:\n  - name: one\n    command: |\n      echo $$ > {file}\n      exec sleep 600\n"
_WRONG_CLOCK = """
import datetime, shared.clock
right = shared.clock.utc_now
ahead = "{file}"
shared.clock.utc_now = lambda: right() + datetime.timedelta(seconds=float(open(ahead).read()))
"""
_KEYS = {"DAGWAY_COMMAND_KEYS": f"other={'x' * 48}"}


def _kill(*processes: DagwayProcess) -> None:
    for process in processes:
        process.kill9()


def _no_worker(watched: Watched) -> None:
    cluster = watched.cluster
    for worker in cluster.workers:
        worker.terminate()
    cluster.client.create("unserved", _QUICK)
    cluster.client.start("unserved")


def _lose_an_attempt(watched: Watched) -> None:
    cluster, file = watched.cluster, watched.folder / "held"
    cluster.client.create("held", _HELD.format(file=file))
    cluster.client.start("held")
    pid_in(file)
    _kill(*cluster.workers)
    cluster.client.until("failed", "held")


def _a_step_runs(watched: Watched) -> None:
    """The alert would end by itself: what the cure has brought back is a worker."""
    watched.cluster.client.create("after-the-loss", _QUICK)
    watched.cluster.client.start("after-the-loss")
    watched.cluster.client.until("succeeded", "after-the-loss")


def _queue_for_long(watched: Watched) -> None:
    """A run of a full queue has waited for 20 minutes: the time passes in its row."""
    client = watched.cluster.client
    client.insist("PUT", "/queues/full", {"maxConcurrency": 1}, key="full")
    client.create("queued", "queue: full\n" + _HELD.format(file=watched.folder / "first"))
    client.start("queued", "r1")
    pid_in(watched.folder / "first")
    answer = client.ask("POST", "/dags/queued/enqueue", {"dagRunId": "r2"}, key="queued-r2")
    assert answer.status == 200, answer
    _make_it_wait(watched, "queued", "r2")


def _need_a_label(watched: Watched) -> None:
    """A run has waited for 20 minutes for a worker with a label that none has."""
    client = watched.cluster.client
    client.create("labelled", "workerSelector: {disk: fast}\n" + _QUICK)
    answer = client.ask("POST", "/dags/labelled/enqueue", {"dagRunId": "r1"}, key="labelled")
    assert answer.status == 200, answer
    _make_it_wait(watched, "labelled", "r1")


def _make_it_wait(watched: Watched, dag: str, run_id: str) -> None:
    chosen = (t.dag_runs.c.dag_name == dag) & (t.dag_runs.c.dag_run_id == run_id)
    _write(watched, update(t.dag_runs).where(chosen).values(queued_at=utc_now() - timedelta(minutes=20)))


def _write(watched: Watched, statement: Update) -> None:
    engine = open_engine(watched.cluster.urls["owner"])
    with transaction(engine) as connection:
        connection.execute(statement)
    engine.dispose()


def _fail_runs(watched: Watched) -> None:
    client = watched.cluster.client
    client.create("bad", _BAD)
    numbers = itertools.count()

    def failed() -> bool:
        for number in itertools.islice(numbers, 5):
            client.start("bad", f"r{number}")
        return watched.firing("DagwayRunsFailing")

    eventually(failed, timeout_s=180)


def _damage(watched: Watched) -> None:
    watched.cluster.client.create("damaged", _QUICK)
    _write(watched, update(t.inbox).where(t.inbox.c.command_id == "create-damaged").values(outcome="refused"))


def _repair(watched: Watched) -> dict[str, str]:
    said = watched.compose.carry_out(check_of("DagwayViolations", "verify"), code=1)
    assert "command-outcome" in said
    return {"STATEMENT": "UPDATE inbox SET outcome = 'recorded' WHERE command_id = 'create-damaged'"}


def _no_database(watched: Watched) -> None:
    watched.cluster.postgres.stop()


def _ask_without_database(watched: Watched) -> None:
    _no_database(watched)
    eventually(lambda: watched.firing("DagwayDatabaseDown"), timeout_s=180)

    def asked() -> bool:
        assert watched.cluster.client.ask("GET", "/dags").status == 503
        return watched.firing("DagwayErrorRate")

    eventually(asked, timeout_s=180)


def _older_worker(watched: Watched) -> None:
    (worker, *_), code = watched.cluster.workers, watched.folder / "released"
    worker.terminate()
    worker.env["PYTHONPATH"] = str(code if code.exists() else unpack_code(code))
    watched.cluster.start(worker)


def _wrong_clock(watched: Watched) -> None:
    folder = watched.folder / "clock"
    folder.mkdir(exist_ok=True)
    (folder / "ahead").write_text("60")
    (folder / "sitecustomize.py").write_text(_WRONG_CLOCK.format(file=folder / "ahead"))
    scheduler = watched.cluster.schedulers[0]
    scheduler.terminate()
    scheduler.env["PYTHONPATH"] = str(folder)
    watched.cluster.start(scheduler)


def _send_nonsense(watched: Watched) -> None:
    transport = open_transport(watched.cluster.amqp_urls["scheduler"], name="stranger")
    transport.send(Outgoing(COMMANDS, b"nonsense", new_run_id())).result(60)
    transport.close()


def _saved(watched: Watched) -> None:
    assert "nonsense" in (watched.folder / "dead-letters.txt").read_text()


def _wrong_keys(watched: Watched) -> None:
    """Schedulers with other keys than the gateway refuse its command."""
    cluster = watched.cluster
    cluster.client.create("refused", _QUICK)
    for scheduler in cluster.schedulers:
        scheduler.terminate()
        scheduler.env |= _KEYS
    cluster.start(*cluster.schedulers)
    (watched.folder / "refused").write_text(new_run_id())
    answer = cluster.client.ask("POST", "/dags/refused/start", {"dagRunId": (watched.folder / "refused").read_text()})
    assert answer.status == 202, answer


def _it_is_carried_out(watched: Watched) -> None:
    watched.cluster.client.until("succeeded", "refused", (watched.folder / "refused").read_text())


SCENES: dict[str, Scene] = {
    "DagwayNoScheduler": Scene(lambda watched: _kill(*watched.cluster.schedulers)),
    "DagwayNoGateway": Scene(lambda watched: _kill(*watched.cluster.gateways)),
    "DagwayServiceDown": Scene(lambda watched: _kill(watched.cluster.workers[0])),
    "DagwayNoWorkers": Scene(_no_worker),
    "DagwayDatabaseDown": Scene(_no_database),
    "DagwayErrorRate": Scene(
        _ask_without_database, says=("and the database does not answer",), inhibited_by="DagwayDatabaseDown"
    ),
    "DagwayBrokerDown": Scene(lambda watched: watched.cluster.rabbit.kill()),
    "DagwayBrokerBlocked": Scene(
        lambda watched: watched.cluster.rabbit.ctl("set_vm_memory_high_watermark", "absolute", "10MB"),
        says=("The memory is full",),
    ),
    "DagwayLeasesLost": Scene(_lose_an_attempt, says=("The worker is gone",), then=_a_step_runs),
    "DagwayQueueWaitLong": Scene(
        _queue_for_long,
        says=("The queue is at its limit",),
        fill=lambda _: {"QUEUE": "full"},
        then=lambda watched: watched.cluster.client.until("running", "queued", "r2"),
    ),
    "DagwayRunsFailing": Scene(_fail_runs, says=("One workflow",), fill=lambda _: {"DAG": "bad"}),
    "DagwayViolations": Scene(_damage, says=("A row was changed",), fill=_repair),
    "DagwayMessagesRefused": Scene(_send_nonsense, says=("No service of yours",), then=_saved),
    "DagwayDeadLetters": Scene(_send_nonsense, says=("fails again and again",), then=_saved),
    "DagwayVersionSkew": Scene(_older_worker),
    "DagwayClockSkew": Scene(
        _wrong_clock,
        says=("Set the clock",),
        machine={"sudo chronyc -a makestep": lambda watched: (watched.folder / "clock/ahead").write_text("0")},
    ),
    **ATTEMPTS,
    **DATABASE,
    **ROOM,
    **STUCK,
    **WATCHING,
}
AGAIN: dict[str, Scene] = {
    "DagwayMessagesRefused": Scene(_wrong_keys, says=("has wrong keys",), then=_it_is_carried_out),
    "DagwayDeadLetters": Scene(_wrong_keys, says=("`delivery.unreadable`",), then=_it_is_carried_out),
    "DagwayQueueWaitLong": Scene(
        _need_a_label,
        says=("No worker has the labels",),
        fill=lambda _: {"LABELS": "disk=fast"},
        then=lambda watched: watched.cluster.client.until("succeeded", "labelled"),
    ),
}
"""Scenes of other cures on the same pages."""
SHORT = ("DagwayNoScheduler", "DagwayNoWorkers", "DagwayServiceDown")
"""Scenes of the normal tests; ``make alerts`` plays all."""
