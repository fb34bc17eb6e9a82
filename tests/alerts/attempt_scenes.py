"""Scenes about attempts that were taken from their worker, or that began on two."""

import os
from collections.abc import Sequence
from urllib.parse import urlsplit, urlunsplit

from shared.clock import utc_now
from shared.contracts.codec import decode, encode
from shared.contracts.tasks import Task
from shared.transport.base import Delivery, Outgoing, task_queue, worker_queue
from shared.transport.rabbitmq.transport import RabbitTransport
from tests.alerts.pages import check_of
from tests.alerts.scene import Scene
from tests.alerts.watched import Watched
from tests.harness.client import ask_probe
from tests.harness.eventually import eventually
from tests.harness.procs import DagwayProcess
from tests.harness.signing import signed_as

__all__ = ["ATTEMPTS"]

_STEPS = 40
_MOST_RUNS = 10
_REFUSED = "dagway_stale_writes_refused_total "
_ENOUGH = 20
"""More refused reports than the alert asks for."""
_WAITS = """
  - name: step-{number}
    command: |
      touch {folder}/began-{number}
      exec cat {folder}/gate
"""
"""Waits until the pipe ``gate`` is opened for writing."""
_THIEF = "thief"
_UNSERVED = {"nobody": "yes"}
_COPIED = """
workerSelector: {{nobody: "yes"}}
steps:
  - name: one
    command: |
      touch {folder}/copies
      until test -e {folder}/enough; do sleep 0.1; done
"""


def _freeze_a_worker(watched: Watched) -> None:
    """The only worker stands still for longer than its lease while it runs many steps; then it reports them all."""
    cluster, folder = watched.cluster, watched.folder
    (worker,) = cluster.workers
    worker.terminate()
    worker.env["DAGWAY_WORKER_SLOTS"] = str(_STEPS)
    cluster.start(worker)
    os.mkfifo(folder / "gate")
    steps = "".join(_WAITS.format(number=number, folder=folder) for number in range(_STEPS))
    cluster.client.create("frozen", f"type: graph\nsteps:{steps}")
    # A worker that reads first that an attempt was revoked does not report it: then the next run must do.
    for run_id in (f"r{number}" for number in range(_MOST_RUNS)):
        cluster.client.start("frozen", run_id)
        eventually(lambda: all((folder / f"began-{number}").exists() for number in range(_STEPS)), timeout_s=120)
        worker.freeze()
        cluster.client.until("failed", "frozen", run_id, timeout_s=180)
        (folder / "gate").open("w").close()
        worker.thaw()
        eventually(lambda: cluster.client.ask("GET", "/workers").json["workers"][0]["busyPollers"] == 0, timeout_s=120)
        for number in range(_STEPS):
            (folder / f"began-{number}").unlink()
        if _reports_refused(cluster.schedulers) > _ENOUGH:
            return


def _reports_refused(schedulers: Sequence[DagwayProcess]) -> float:
    """Return how many reports of stale attempts these schedulers have refused."""
    texts = [ask_probe(f"http://127.0.0.1:{each.env['DAGWAY_METRICS_PORT']}/metrics")[1] for each in schedulers]
    return sum(float(line.split()[-1]) for text in texts for line in text.splitlines() if line.startswith(_REFUSED))


def _copy_a_task(watched: Watched) -> None:
    """Somebody who has the schedulers' key and a login of the broker sends a task to two workers."""
    cluster, folder = watched.cluster, watched.folder
    parts = urlsplit(cluster.amqp_urls["scheduler"])
    vhost = parts.path.removeprefix("/")
    cluster.rabbit.ctl("add_user", _THIEF, _THIEF)
    cluster.rabbit.ctl("set_permissions", "--vhost", vhost, _THIEF, ".*", ".*", ".*")
    url = urlunsplit(parts._replace(netloc=f"{_THIEF}:{_THIEF}@{parts.hostname}:{parts.port}"))
    other = cluster.worker("w2")
    cluster.workers.append(other)
    cluster.start(other)
    transport = RabbitTransport(url, name="thief")
    eventually(lambda: transport.healthy)
    queue = task_queue(_UNSERVED)
    cluster.client.create("copied", _COPIED.format(folder=folder))
    transport.declare([queue])
    consumer = transport.consume([queue], prefetch=1)
    cluster.client.start("copied")

    def taken() -> Delivery:
        deliveries = consumer.take(1, 1)
        assert deliveries
        return deliveries[0]

    delivery = eventually(taken)
    task = decode(delivery.body).body
    assert isinstance(task, Task)
    delivery.ack()
    sender = signed_as("scheduler", transport)
    for worker_id in ("w1", "w2"):
        body = encode(task.model_copy(update={"dispatched_at": utc_now()}), id=task.token, at=utc_now())
        sender.send(Outgoing(worker_queue(worker_id), body, task.token)).result(60)
        # The second worker may be told to stop before its step has written anything.
        eventually((folder / "copies").exists)
    consumer.close()
    transport.close()


def _who_may_send(watched: Watched) -> dict[str, str]:
    rows = watched.compose.carry_out(check_of("DagwayStepsBegunTwice", "executions"))
    assert "|w2|" in rows, rows
    allowed = watched.compose.carry_out(check_of("DagwayStepsBegunTwice", "list_permissions"))
    assert _THIEF in allowed, allowed
    return {"LOGIN": _THIEF}


def _end_the_copies(watched: Watched) -> None:
    assert _THIEF not in watched.compose.carry_out(check_of("DagwayStepsBegunTwice", "list_permissions"))
    (watched.folder / "enough").touch()
    watched.cluster.client.until("succeeded", "copied")


ATTEMPTS = {
    "DagwayStaleWritesRefused": Scene(_freeze_a_worker),
    "DagwayStepsBegunTwice": Scene(
        _copy_a_task, says=("a login that is not Dagway's",), fill=_who_may_send, then=_end_the_copies
    ),
}
