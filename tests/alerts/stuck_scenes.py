"""Scenes in which schedulers run but cannot do a part of their work: a message, a timer or a report waits."""

from contextlib import closing

import psycopg2

from shared.clock import utc_now
from shared.store import tables as t
from tests.alerts.pages import check_of
from tests.alerts.scene import Scene
from tests.alerts.watched import Watched
from tests.harness.cluster import pid_in
from tests.harness.eventually import eventually

__all__ = ["STUCK"]

_RETRIED = """
steps:
  - name: one
    command: test -e {file} || {{ touch {file}; exit 3; }}
    retryPolicy: {{limit: 1, intervalSec: {pause_s}}}
"""
_WAITS = """
steps:
  - name: one
    command: |
      echo $$ > {folder}/waits
      until test -e {folder}/go; do sleep 0.1; done
"""
_EVERY_MINUTE = "schedule: '* * * * *'\nsteps:\n  - command: 'true'\n"


def _let_retry_wait(watched: Watched, dag: str, pause_s: int) -> str:
    """Let a run wait for its retry; return its key."""
    watched.cluster.client.create(dag, _RETRIED.format(file=watched.folder / dag, pause_s=pause_s))
    watched.cluster.client.start(dag)
    (run,) = watched.cluster.rows(t.dag_runs, dag_name=dag)
    eventually(lambda: bool(watched.cluster.rows(t.timers, run_key=run["run_key"])))
    return str(run["run_key"])


def _owe_a_message(watched: Watched) -> None:
    """The broker dies before a retry is due: its task is committed and cannot be sent."""
    _let_retry_wait(watched, "owed", pause_s=15)
    watched.cluster.rabbit.kill()


def _its_run_ends(watched: Watched) -> None:
    watched.cluster.client.until("succeeded", "owed", timeout_s=180)


def _lock(watched: Watched, run_key: str) -> None:
    """Lock the row of a run in a session of somebody else, which then does nothing."""
    session = watched.keep(closing(psycopg2.connect(watched.cluster.urls["owner"])))
    with session.cursor() as cursor:
        cursor.execute("SELECT 1 FROM dag_runs WHERE run_key = %s FOR UPDATE", (run_key,))


def _locking_session(watched: Watched, page: str) -> dict[str, str]:
    """Find the session by the query on the page."""
    rows = watched.compose.carry_out(check_of(page, "pg_stat_activity")).splitlines()
    (pid,) = [row.split("|")[0] for row in rows if "idle in transaction" in row and "FOR UPDATE" in row]
    return {"PID": pid}


def _hold_a_timer(watched: Watched) -> None:
    _lock(watched, _let_retry_wait(watched, "late", pause_s=5))


def _hold_a_report(watched: Watched) -> None:
    client = watched.cluster.client
    client.create("parked", _WAITS.format(folder=watched.folder))
    client.start("parked")
    pid_in(watched.folder / "waits")
    client.until("running", "parked")
    (run,) = watched.cluster.rows(t.dag_runs, dag_name="parked")
    _lock(watched, run["run_key"])
    (watched.folder / "go").touch()


def _miss_a_fire(watched: Watched) -> None:
    """No scheduler runs during a whole minute at whose beginning a DAG is due."""
    cluster = watched.cluster
    cluster.client.create("hello", _EVERY_MINUTE)
    for scheduler in cluster.schedulers:
        scheduler.kill9()
    killed = utc_now()
    # Its whole minute long a scheduled time fires, and the first one after the kill is at most a minute later.
    eventually(lambda: (utc_now() - killed).total_seconds() > 125, timeout_s=180)
    cluster.start(*cluster.schedulers)


def _missed(watched: Watched) -> dict[str, str]:
    missed = watched.compose.carry_out(check_of("DagwayFiresMissed", "cron_slots"))
    assert "no scheduler was running in time" in missed
    return {"DAG": "hello"}


def _delete_it(watched: Watched) -> None:
    assert watched.cluster.client.insist("DELETE", "/dags/hello", key="delete-hello").status in {200, 204}


STUCK = {
    "DagwayOutboxOld": Scene(
        _owe_a_message, says=("The broker is down",), then=_its_run_ends, inhibited_by="DagwayBrokerDown"
    ),
    "DagwayTimersOverdue": Scene(
        _hold_a_timer,
        fill=lambda watched: _locking_session(watched, "DagwayTimersOverdue"),
        then=lambda watched: watched.cluster.client.until("succeeded", "late"),
    ),
    "DagwayLossesUnnoticed": Scene(
        _hold_a_report,
        says=("A session that is not Dagway's holds the lock",),
        fill=lambda watched: _locking_session(watched, "DagwayLossesUnnoticed"),
        then=lambda watched: watched.cluster.client.until("succeeded", "parked"),
    ),
    "DagwayFiresMissed": Scene(_miss_a_fire, fill=_missed, then=_delete_it),
}
