"""What causes each alert, and its cure: the commands of its page, or what the page says in words."""

import itertools
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sqlalchemy import Update, update

from shared.clock import utc_now
from shared.ids import new_run_id
from shared.store import tables as t
from shared.store.engine import open_engine, transaction
from shared.transport.base import COMMANDS, Outgoing
from shared.transport.open import open_transport
from tests.alerts.attempt_scenes import ATTEMPTS
from tests.alerts.database_scenes import DATABASE
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
shared.clock.utc_now = lambda: right() + datetime.timedelta(seconds=60)
"""
_ALARM = "{resource_limit, memory, node()}"


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


def _queue_for_long(watched: Watched) -> None:
    """A run of a full queue has waited for 20 minutes: the time passes in its row."""
    client = watched.cluster.client
    client.insist("PUT", "/queues/full", {"maxConcurrency": 1}, key="full")
    client.create("queued", "queue: full\n" + _HELD.format(file=watched.folder / "first"))
    client.start("queued", "r1")
    pid_in(watched.folder / "first")
    answer = client.ask("POST", "/dags/queued/enqueue", {"dagRunId": "r2"}, key="queued-r2")
    assert answer.status == 200, answer
    long_ago = utc_now() - timedelta(minutes=20)
    _write(watched, update(t.dag_runs).where(t.dag_runs.c.dag_run_id == "r2").values(queued_at=long_ago))


def _raise_the_limit(watched: Watched) -> None:
    watched.cluster.client.insist("PUT", "/queues/full", {"maxConcurrency": 2}, key="roomy")
    watched.cluster.client.until("running", "queued", "r2")


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


def _suspend(watched: Watched) -> None:
    answer = watched.cluster.client.insist("POST", "/dags/bad/suspend", {"suspend": True}, key="suspended")
    assert answer.status == 200, answer


def _mark(watched: Watched, outcome: str) -> None:
    _write(watched, update(t.inbox).where(t.inbox.c.command_id == "create-damaged").values(outcome=outcome))


def _damage(watched: Watched) -> None:
    watched.cluster.client.create("damaged", _QUICK)
    _mark(watched, "refused")


def _repair(watched: Watched) -> None:
    said = watched.compose.carry_out("docker compose exec api dagway verify", code=1)
    assert "command-outcome" in said
    _mark(watched, "recorded")


def _no_database(watched: Watched) -> None:
    watched.cluster.postgres.stop()


def _ask_without_database(watched: Watched) -> None:
    _no_database(watched)
    eventually(lambda: watched.firing("DagwayStoreAway"), timeout_s=180)

    def asked() -> bool:
        assert watched.cluster.client.ask("GET", "/dags").status == 503
        return watched.firing("DagwayErrorRate")

    eventually(asked, timeout_s=180)


def _older_worker(watched: Watched) -> None:
    (worker, *_), code = watched.cluster.workers, watched.folder / "released"
    worker.terminate()
    worker.env["PYTHONPATH"] = str(code if code.exists() else unpack_code(code))
    watched.cluster.start(worker)


def _finish_the_rollout(watched: Watched) -> None:
    _afresh(watched, watched.cluster.workers[0])


def _afresh(watched: Watched, process: DagwayProcess) -> None:
    process.terminate()
    del process.env["PYTHONPATH"]
    watched.compose.carry_out("docker compose up --detach --wait")


def _wrong_clock(watched: Watched) -> None:
    folder: Path = watched.folder / "clock"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(_WRONG_CLOCK)
    scheduler = watched.cluster.schedulers[0]
    scheduler.terminate()
    scheduler.env["PYTHONPATH"] = str(folder)
    watched.cluster.start(scheduler)


def _send_nonsense(watched: Watched) -> None:
    transport = open_transport(watched.cluster.amqp_urls["scheduler"], name="stranger")
    transport.send(Outgoing(COMMANDS, b"nonsense", new_run_id())).result(60)
    transport.close()


def _purge_dead_letters(watched: Watched) -> None:
    listed = watched.compose.carry_out("docker compose exec scheduler dagway dead-letters list --bodies")
    assert "nonsense" in listed
    vhost = unquote(urlsplit(watched.cluster.amqp_urls["scheduler"]).path.removeprefix("/"))
    watched.cluster.rabbit.ctl("purge_queue", "--vhost", vhost, "dagway.dead")


def _end_the_alarm(watched: Watched) -> None:
    watched.cluster.rabbit.eval(f"rabbit_alarm:clear_alarm({_ALARM}), ok.")


SCENES: dict[str, Scene] = {
    "DagwayNoScheduler": Scene(lambda watched: _kill(*watched.cluster.schedulers)),
    "DagwayNoGateway": Scene(lambda watched: _kill(*watched.cluster.gateways)),
    "DagwayServiceDown": Scene(lambda watched: _kill(watched.cluster.workers[0])),
    "DagwayNoWorkers": Scene(_no_worker),
    "DagwayStoreAway": Scene(_no_database),
    "DagwayErrorRate": Scene(
        _ask_without_database,
        lambda watched: watched.compose.carry_out("docker compose restart postgres"),
        "see [DagwayStoreAway](DagwayStoreAway.md)",
        inhibited_by="DagwayStoreAway",
    ),
    "DagwayBrokerAway": Scene(lambda watched: watched.cluster.rabbit.kill()),
    "DagwayBrokerBlocked": Scene(
        lambda watched: watched.cluster.rabbit.eval(f"rabbit_alarm:set_alarm({{{_ALARM}, []}}), ok."),
        _end_the_alarm,
        "Give the broker more room",
    ),
    "DagwayLeasesLost": Scene(
        _lose_an_attempt,
        lambda watched: watched.cluster.start(),
        "`OOMKilled`: raise the memory limit",
    ),
    "DagwayQueueWaitLong": Scene(_queue_for_long, _raise_the_limit, "At its limit: raise the limit"),
    "DagwayRunsFailing": Scene(_fail_runs, _suspend, "One workflow: suspend it"),
    "DagwayViolations": Scene(_damage, _repair, "Do what the command prints below the violation"),
    "DagwayMessagesRefused": Scene(_send_nonsense, _purge_dead_letters, "keep the dead letters as evidence"),
    "DagwayDeadLetters": Scene(_send_nonsense, _purge_dead_letters, "save it to a file with `list --bodies`"),
    "DagwayVersionSkew": Scene(_older_worker, _finish_the_rollout, "Some processes are older: finish the rollout"),
    "DagwayClockSkew": Scene(
        _wrong_clock,
        lambda watched: _afresh(watched, watched.cluster.schedulers[0]),
        "Synchronise the clock of the host",
    ),
    **ATTEMPTS,
    **DATABASE,
    **ROOM,
    **STUCK,
    **WATCHING,
}
SHORT = ("DagwayNoScheduler", "DagwayNoWorkers", "DagwayServiceDown")
"""Scenes of the normal tests; ``make alerts`` plays all."""
