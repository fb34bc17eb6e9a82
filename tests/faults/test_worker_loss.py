"""Workers that die or are cut off in the middle of a step."""

import json
from pathlib import Path
from typing import Any

from shared.store import tables as t
from tests.faults.conftest import attempts, error_of
from tests.harness.cluster import Cluster, gone, pid_in
from tests.harness.counterparts import MailCounterpart
from tests.harness.eventually import PATIENCE_S, eventually
from tests.harness.procs import DagwayProcess

LONG = """
steps:
  - name: long
    script: |
      echo try >> {folder}/tries
      setsid sleep 600 &
      echo $! > {folder}/child
      echo $$ > {folder}/pid
      test "$(wc -l < {folder}/tries)" -ge 2 && exit 0
      wait
{policy}
  - name: after
    command: echo after
"""
RETRIED = "    retryPolicy: {limit: 2, intervalSec: 0}"


def holder(cluster: Cluster, dag: str) -> DagwayProcess:
    """Return the worker process that runs a step of ``r1``."""
    cluster.client.until_step("running", dag, "r1", "long")
    worker_id = cluster.client.run(dag)["workerId"]
    return next(worker for worker in cluster.workers if worker.env["DAGWAY_WORKER_ID"] == worker_id)


def begin(cluster: Cluster, dag: str, folder: Path, policy: str) -> tuple[DagwayProcess, list[int]]:
    """Start a run; return the worker that runs its step, and the step's processes."""
    cluster.client.create(dag, LONG.format(folder=folder, policy=policy))
    cluster.client.start(dag)
    pids = [pid_in(folder / "pid"), pid_in(folder / "child")]
    return holder(cluster, dag), pids


def test_a_killed_workers_step_dies_with_it_and_fails_as_lost(cluster: Cluster, tmp_path: Path) -> None:
    worker, pids = begin(cluster, "killed", tmp_path, "")

    worker.kill9()

    eventually(lambda: all(gone(pid) for pid in pids))
    run = cluster.client.until("failed", "killed")
    assert cluster.client.steps("killed") == {"long": "failed", "after": "aborted"}
    assert "was lost" in error_of(run, "long")
    assert attempts(cluster, "killed") == [("long", 1, "lost", None)]
    assert (tmp_path / "tries").read_text() == "try\n"


def test_a_killed_workers_step_is_tried_again_where_its_policy_says_so(cluster: Cluster, tmp_path: Path) -> None:
    worker, pids = begin(cluster, "retried", tmp_path, RETRIED)

    worker.kill9()

    cluster.client.until("succeeded", "retried")
    eventually(lambda: all(gone(pid) for pid in pids))
    assert attempts(cluster, "retried") == [
        ("long", 1, "lost", None),
        ("long", 2, "finished", "succeeded"),
        ("after", 1, "finished", "succeeded"),
    ]
    assert (tmp_path / "tries").read_text() == "try\ntry\n"


def test_a_worker_restarted_immediately_is_not_taken_for_its_old_incarnation(cluster: Cluster, tmp_path: Path) -> None:
    worker, pids = begin(cluster, "restarted", tmp_path, "")

    worker.kill9()
    cluster.start(worker)

    cluster.client.until("failed", "restarted")
    eventually(lambda: all(gone(pid) for pid in pids))
    assert attempts(cluster, "restarted") == [("long", 1, "lost", None)]


def test_a_late_report_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    client = cluster.client
    spec = (
        f"steps:\n  - name: long\n    script: |\n      echo $$ > {tmp_path}/pid\n"
        f"      until test -e {tmp_path}/go; do sleep 0.05; done\n      echo done >> {tmp_path}/done\n"
    )
    client.create("late", spec)
    client.start("late")
    pid = pid_in(tmp_path / "pid")
    worker = holder(cluster, "late")
    worker.freeze()
    try:
        run = client.until("failed", "late")
        (tmp_path / "go").touch()
        eventually(lambda: gone(pid))
        assert (tmp_path / "done").read_text() == "done\n"
    finally:
        worker.thaw()

    cluster.ready(worker)
    client.start("late", "r2")
    client.until("succeeded", "late", "r2")
    assert client.run("late") == run
    assert "was lost" in error_of(run, "long")
    assert attempts(cluster, "late") == [("long", 1, "lost", None)]


def test_a_silent_workers_step_is_ended_when_it_is_heard_again(cluster: Cluster, tmp_path: Path) -> None:
    client = cluster.client
    client.create("silent", f"steps:\n  - name: long\n    command: echo $$ > {tmp_path}/pid; exec sleep 600\n")
    client.start("silent")
    pid = pid_in(tmp_path / "pid")
    worker = holder(cluster, "silent")
    worker.freeze()
    try:
        client.until("failed", "silent")
        assert not gone(pid)
    finally:
        worker.thaw()

    eventually(lambda: gone(pid))
    assert attempts(cluster, "silent") == [("long", 1, "lost", None)]


TELLING = """
smtp: {{host: 127.0.0.1, port: {port}}}
mailOn: {{failure: true}}
errorMail: {{from: dag@x.org, to: ops@x.org}}
steps: [exit 3]
"""


def test_a_mail_is_sent_by_another_worker_when_the_first_is_killed(cluster: Cluster) -> None:
    with MailCounterpart(None) as server:
        server.taking.clear()
        cluster.client.create("told", TELLING.format(port=server.port))
        cluster.client.start("told")
        ended = cluster.client.until("failed", "told")
        assert server.waiting.wait(PATIENCE_S)
        # It sends the mail before the report of its start is recorded.
        follow_up = eventually(lambda: begun_follow_up(cluster))
        holder = next(one for one in cluster.workers if one.env["DAGWAY_WORKER_ID"] == follow_up["token_worker"])

        holder.kill9()
        server.taking.set()

        recipients, mail = server.mails.get(timeout=PATIENCE_S)
        assert (recipients, mail["Subject"]) == (["ops@x.org"], "told (failed)")

        def done() -> bool:
            (node,) = cluster.rows(t.nodes, name="follow-up", run_key=follow_up["run_key"])
            return (node["status"], node["token"], node["outputs"]) == ("succeeded", None, {})

        eventually(done)
        assert server.mails.empty()
    assert cluster.client.run("told") == ended, "the run stays as it ended"
    assert attempts(cluster, "told") == [
        ("cmd_1", 1, "finished", "failed"),
        ("follow-up", 1, "lost", None),
        ("follow-up", 2, "finished", "succeeded"),
    ]


def begun_follow_up(cluster: Cluster) -> dict[str, Any]:
    """Return the row of the only follow-up that a worker has begun."""
    found = [row for row in cluster.rows(t.nodes, name="follow-up") if row["token_worker"]]
    assert len(found) == 1, found
    return found[0]


CALLING = """
steps:
  - {{name: first, id: c, call: sub}}
  - {{name: read, command: "cat ${{c.stdout}}"}}
---
name: sub
steps:
  - command: |
      touch {folder}/begun
      until test -e {folder}/go; do sleep 0.05; done
      echo hello
    output: X
    retryPolicy: {{limit: 2, intervalSec: 0}}
"""


def test_the_result_of_a_sub_run_is_printed_on_the_worker_that_took_over(cluster: Cluster, tmp_path: Path) -> None:
    cluster.client.create("calling", CALLING.format(folder=tmp_path))
    cluster.client.start("calling")
    eventually((tmp_path / "begun").exists)
    lost = cluster.client.run("calling")["workerId"]
    next(worker for worker in cluster.workers if worker.env["DAGWAY_WORKER_ID"] == lost).kill9()
    (tmp_path / "go").touch()

    ended = cluster.client.until("succeeded", "calling")

    assert ended["workerId"] != lost
    printed = json.loads(cluster.client.text("calling", "r1", "read"))
    assert (printed["name"], printed["status"], printed["outputs"]) == ("sub", "succeeded", {"X": "hello"})
    assert json.loads(cluster.client.text("calling", "r1", "first")) == printed
    finished = [(step, outcome) for step, _, state, outcome in attempts(cluster, "calling") if state == "finished"]
    assert finished == [("first", "succeeded"), ("first", "succeeded"), ("read", "succeeded")]
